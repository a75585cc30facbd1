//! The one trait that an allocator under test implements.

use core::fmt;

#[cfg(doc)]
use crate::diff::Capability;
use crate::diff::{Accounts, Capabilities, Operation};
use crate::module::Features;
use crate::wrapper::Misuse;
use crate::{
    AllocRequest, BlockInfo, Errno, FreeTrees, Inconsistency, KernelBug, Snapshot, Warning,
};

/// The space that an allocator manages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Space {
    /// Its size in bytes.
    pub size: u64,
    /// The smallest unit in bytes.
    pub chunk_size: u64,
    /// The address, in bytes, of the start of the space, for allocators that are told of
    /// it as [`GpuBuddyParams::base_offset`](crate::GpuBuddyParams::base_offset). The C is
    /// not. Offsets count from the start of the space, whatever the base is.
    pub base: u64,
}

impl Space {
    /// A space of `size` bytes in chunks of `chunk_size` bytes, at address 0.
    #[must_use]
    pub const fn new(size: u64, chunk_size: u64) -> Self {
        Self { size, chunk_size, base: 0 }
    }
}

/// One allocated block, as an implementation reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// Bytes from the start of the space.
    pub offset: u64,
    /// The block is `chunk_size << order` bytes long.
    pub order: u32,
    /// Whether the memory is known to be zeroed.
    pub clear: bool,
}

impl Block {
    /// Its size in bytes; 0 if its order is too large for any.
    #[must_use]
    pub fn size(&self, chunk_size: u64) -> u64 {
        // Shifted out, a size is wrong as well.
        let size = chunk_size.checked_shl(self.order).unwrap_or(0);
        if size >> self.order.min(63) == chunk_size { size } else { 0 }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clear = if self.clear { " clear" } else { "" };
        write!(f, "{} order {}{clear}", crate::diff::format_size(self.offset), self.order)
    }
}

impl From<BlockInfo> for Block {
    fn from(BlockInfo { offset, order, clear, .. }: BlockInfo) -> Self {
        Self { offset, order, clear }
    }
}

/// An allocator that can be compared with the kernel's.
///
/// Six functions are needed: [`create`](Self::create), [`alloc`](Self::alloc),
/// [`blocks`](Self::blocks), [`free`](Self::free) and [`avail`](Self::avail), and
/// [`capabilities`](Self::capabilities) for whoever offers more than plain requests. The rest
/// is asked for only if a [`Capability`] says so. For an allocator that hands out one run of
/// units at a time, [`adapter`](crate::diff::adapter) has all this ready.
///
/// Offsets and sizes are in bytes and count from the start of the space. A call that fails
/// changes nothing. A caller passes an allocation only to the allocator it came from, and
/// frees it once. A call that panics is a finding; the allocator is not used after it.
///
/// # Errors
///
/// The numbers are those of the kernel's functions, and of each the contract says when it is
/// wrong. Exactly which of them is returned is compared if the comparison is
/// [`Exact`](crate::diff::Comparison::Exact) or
/// [`Observable`](crate::diff::Comparison::Observable).
///
/// | number | when |
/// | --- | --- |
/// | `EINVAL` | the arguments make no sense: not even an empty space satisfies them |
/// | `ENOSPC` | there is no room now, and would be in an emptier space |
/// | `ENXIO` | [`block_at`](Self::block_at): the offset is outside of the space |
/// | `ENOMEM` | the allocator's own memory ran out: with [`FailNth`](Capability::FailNth) only |
/// | `EOPNOTSUPP` | [`create`](Self::create): the allocator has limits that exclude this space |
pub trait Implementation: Sized {
    /// What is allocated by one [`alloc`](Self::alloc): one or more blocks.
    type Allocation;

    /// What this implementation offers: nothing, unless said.
    fn capabilities(&self) -> Capabilities {
        Capabilities::empty()
    }

    /// The features of the kernel whose choices this makes: those of a kernel's own code,
    /// or of code that does all that it does. Breaches of the contract may then be known.
    fn kernel(&self) -> Option<Features> {
        None
    }

    /// Whether this is the kernel's own code.
    fn runs_kernel_code(&self) -> bool {
        false
    }

    /// Why an operation must not be done here, if it must not. It is then skipped.
    fn declines(&self, _operation: &Operation) -> Option<&'static str> {
        None
    }

    /// A new allocator with all of `space` free and dirty, as of `gpu_buddy_init()`.
    ///
    /// The size need not be a multiple of the chunk size: what is over is not managed. It
    /// need not be a power of two of chunks either.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the chunk size is below 4096 or no power of two, or if there is not one
    /// whole chunk. `EOPNOTSUPP` if the allocator cannot have this space, but others: it is
    /// counted as declined.
    fn create(space: Space) -> Result<Self, Errno>;

    /// Allocates, as `gpu_buddy_alloc_blocks()` does.
    ///
    /// A plain request, without [`Contiguous`](crate::GpuBuddyAllocFlag::Contiguous), may be
    /// made of any number of blocks at any places. So there is room for it whenever so much
    /// is free, however scattered: with an alignment, if it is free in aligned blocks of
    /// `min_block_size`.
    ///
    /// What a request is rounded up to is given back before the call returns, unless
    /// trimming is disabled: the blocks add up to `size`. The kernel rounds a contiguous
    /// request up to a power of two, and any other to a multiple of `min_block_size`, but
    /// for a power of two below it.
    ///
    /// `min_block_size` is the alignment. But for the tail of an allocation, which trimming
    /// makes smaller, it is the size of the smallest block as well.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `size` is 0, no multiple of the chunk size, or larger than the space; if
    /// `min_block_size` is below the chunk size or no power of two; if what the size is
    /// rounded up to is larger than the space (a contiguous request is then tried as it is,
    /// if it has no range); if the range is not made of chunks, or ends beyond the space; if
    /// an exact range, which is as long as the size, is not aligned at both ends.
    ///
    /// `ENOSPC` if there is no room. What was taken until then is given back. A range that is
    /// shorter than the size may be refused with either number.
    fn alloc(&mut self, request: &AllocRequest) -> Result<Self::Allocation, Errno>;

    /// Allocates, and adds the blocks to the end of `allocation`, which keeps those that it
    /// has, also where this fails: `gpu_buddy_alloc_blocks()` with a list that is not empty.
    fn alloc_onto(
        &mut self,
        _allocation: &mut Self::Allocation,
        _request: &AllocRequest,
    ) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Appends the blocks of an allocation to `blocks`, in the order that the
    /// allocator hands them out in.
    ///
    /// Each is a power of two of chunks, and aligned to its size. An allocator that knows
    /// no such blocks reports a run as several of them.
    fn blocks(&self, allocation: &Self::Allocation, blocks: &mut Vec<Block>);

    /// Frees a whole allocation, as `gpu_buddy_free_list()` does. `cleared` says that the
    /// caller has zeroed the memory: it is clear then, whatever it was when it was
    /// allocated. Otherwise it is dirty. Without
    /// [`FreeCleared`](Capability::FreeCleared) it is false.
    fn free(&mut self, allocation: Self::Allocation, cleared: bool);

    /// Takes the block at position `index` out of an allocation and frees it, as
    /// `gpu_buddy_free_list()` does with a list of one block. The blocks behind it move up.
    ///
    /// `index` is below the number of blocks. An allocation may become empty, and is freed
    /// all the same. `cleared` is as for [`free`](Self::free).
    fn free_block(&mut self, _allocation: &mut Self::Allocation, _index: usize, _cleared: bool) {}

    /// Shrinks an allocation of a single block to the `new_size` bytes from `start`, or from
    /// its own start, as `gpu_buddy_block_trim()` does. What is left may be several blocks,
    /// by ascending offset, as clear as the block was; the rest becomes free.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the allocation is not one block; if `new_size` is 0, no multiple of the
    /// chunk size, or larger than the block. If it is all of the block, nothing is done, and
    /// `start` is not looked at. Otherwise `EINVAL` if `start` is no multiple of the chunk
    /// size, or if the new block does not lie in the old one.
    fn trim(
        &mut self,
        _allocation: &mut Self::Allocation,
        _start: Option<u64>,
        _new_size: u64,
    ) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes every free block clear, or dirty, as `gpu_buddy_reset_clear()` does. What is
    /// allocated stays as it is.
    fn reset_clear(&mut self, _clear: bool) {}

    /// The allocated block at an offset, as of `gpu_buddy_allocated_addr_to_block()`; `None`
    /// if the chunk there is free.
    ///
    /// # Errors
    ///
    /// `ENXIO` if the offset is outside of the space.
    fn block_at(&self, _offset: u64) -> Result<Option<Block>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes allocations of the allocator's own objects fail from here on: the
    /// `nth` from now, counted from 1, and the `times - 1` after it. Replaces
    /// what was set before; `times` 0 ends it.
    fn fail_nth(&mut self, _nth: u64, _times: u64) {}

    /// Tears the allocator down as it is, whatever is allocated, as `gpu_buddy_fini()` does.
    /// Returns how many of its own objects it has left behind. It is not called again, and
    /// nothing else is.
    fn fini(&mut self) -> usize {
        0
    }

    /// Free bytes: `avail` of `struct gpu_buddy`. The space, down to whole chunks, less what
    /// is allocated.
    fn avail(&self) -> u64;

    /// Free bytes known to be zeroed: `clear_avail` of `struct gpu_buddy`. A part of
    /// [`avail`](Self::avail).
    fn clear_avail(&self) -> u64 {
        0
    }

    /// What is free, of both kinds.
    fn accounts(&self) -> Accounts {
        Accounts { avail: self.avail(), clear_avail: self.clear_avail() }
    }

    /// The whole state as plain data: every block of every root, by ascending offset, a
    /// split one before its halves.
    fn snapshot(&self) -> Option<Snapshot> {
        None
    }

    /// What the allocator has to say by itself of the calls since this was asked
    /// last.
    fn report(&mut self) -> Report {
        Report::default()
    }

    /// Prints the state, and a block of it, as for a developer: `gpu_buddy_print()` and
    /// `gpu_buddy_block_print()`. Returns what was printed.
    fn printed(&mut self) -> Option<Printed> {
        None
    }

    /// What is wrong in the allocator's own structures.
    fn scan(&self) -> Vec<Inconsistency> {
        Vec::new()
    }

    /// How it goes to make another allocator of the same space if memory for its own objects
    /// runs out: at the first object, at the second, and so on. Each was torn down if it
    /// could be made.
    fn creations_without_memory(&self) -> Vec<(Result<(), Errno>, Report)> {
        Vec::new()
    }

    /// The trees that it keeps its free blocks in, if it is a kernel that has such trees.
    fn free_trees(&self) -> Option<FreeTrees> {
        None
    }

    /// [`reset_clear`](Self::reset_clear), missing what the kernel misses whose trees these
    /// are: for an implementation that makes the kernel's choices, and keeps no such trees.
    fn reset_clear_as(&mut self, clear: bool, _trees: &FreeTrees) {
        self.reset_clear(clear);
    }
}

/// An allocator that several threads can use at once, each through a handle of its own.
pub trait Shareable: Implementation<Allocation: Send> + Send {
    /// Another handle to the same allocator, for another thread.
    #[must_use]
    fn share(&self) -> Self;

    /// Takes the number of the last call on this handle that was made since it was asked
    /// last; `None` if there was none, because some arguments were refused before the
    /// allocator saw them. The allocator counts the calls of all its handles from 1, in the
    /// order in which they take effect: under its lock, say.
    fn take_last_call(&mut self) -> Option<u64>;
}

/// What an allocator has printed of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// Of the whole, a line each.
    pub state: Vec<String>,
    /// Of an allocated block, if there is one.
    pub block: Option<(Block, String)>,
}

/// What an allocator says by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Warnings that were raised.
    pub warnings: Vec<Warning>,
    /// The BUG that made it unusable.
    pub bug: Option<KernelBug>,
    /// Whether memory for its own objects ran out.
    pub faulted: bool,
    /// How many of its own objects the teardown has left behind.
    pub leaked: usize,
    /// What the panic said that made it unusable.
    pub panic: Option<String>,
    /// What the last call cost, in a unit of the implementation's own that does not
    /// depend on the machine; `None` if there was no call, or if it does not count.
    /// [`KernelC`](crate::diff::KernelC) counts the steps of the C through its trees and
    /// lists, and its calls of the slab.
    pub cost: Option<u64>,
    /// Rules of the raw layer that a wrapper has broken: see [`wrapper`](crate::wrapper).
    pub misuses: Vec<Misuse>,
}

impl Report {
    /// It has nothing to say.
    pub(in crate::diff) const NOTHING: Self = Self {
        warnings: Vec::new(),
        bug: None,
        faulted: false,
        leaked: 0,
        panic: None,
        cost: None,
        misuses: Vec::new(),
    };
}
