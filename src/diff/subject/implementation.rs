//! The trait of an allocator under test.

use core::fmt;

#[cfg(doc)]
use crate::diff::Capability;
use crate::diff::{Accounts, Capabilities, Operation};
use crate::module::Features;
use crate::wrapper::Misuse;
use crate::{
    AllocRequest, BlockInfo, Errno, FreeTrees, Inconsistency, KernelBug, Snapshot, Warning,
};

use super::Space;

/// One allocated block, as an implementation reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The offset in bytes from the start of the space.
    pub offset: u64,
    /// The block is `chunk_size << order` bytes long.
    pub order: u32,
    /// Whether the memory was known to be zeroed when it was allocated.
    pub clear: bool,
}

impl Block {
    /// Its size in bytes; 0 if that is more than 64 bits hold.
    #[must_use]
    pub fn size(&self, chunk_size: u64) -> u64 {
        // Detects bits that were shifted out.
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
/// Five functions are needed: [`create`](Self::create), [`alloc`](Self::alloc),
/// [`blocks`](Self::blocks), [`free`](Self::free) and [`avail`](Self::avail). Implement
/// [`capabilities`](Self::capabilities) to offer more than plain requests: the other functions are
/// called only if a [`Capability`] says so. For an allocator that returns one run of units at a
/// time, use [`adapter`](crate::diff::adapter).
///
/// Offsets and sizes are in bytes and count from the start of the space. A call that fails changes
/// nothing. The caller passes an allocation only to the allocator it came from, and frees it once.
/// A panic is a finding, and the allocator is not used after it.
///
/// # Errors
///
/// The error numbers are those of the kernel's functions. The contract judges each. Which of
/// several valid numbers is returned is compared only with
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
pub trait Implementation: Sized + 'static {
    /// The result of one [`alloc`](Self::alloc): one or more blocks.
    type Allocation;

    /// The capabilities of this implementation. Default: none.
    fn capabilities(&self) -> Capabilities {
        Capabilities::empty()
    }

    /// The features of the kernel whose code this runs, or whose choices it makes. Known breaches
    /// of that kernel then do not count as findings.
    fn kernel(&self) -> Option<Features> {
        None
    }

    /// Whether this is the kernel's own code.
    fn runs_kernel_code(&self) -> bool {
        false
    }

    /// The reason why an operation must not be done here; `None` if it may. It is then skipped.
    fn declines(&self, _operation: &Operation) -> Option<&'static str> {
        None
    }

    /// Creates an allocator with all of `space` free and dirty, as `gpu_buddy_init()` does.
    ///
    /// The size need not be a multiple of the chunk size: the rest is not managed. The number of
    /// chunks need not be a power of two.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the space is not [valid](Space::is_valid). `EOPNOTSUPP` if this allocator does not support such a space: it is then counted as
    /// declined.
    fn create(space: Space) -> Result<Self, Errno>;

    /// Allocates, as `gpu_buddy_alloc_blocks()` does.
    ///
    /// A request without [`Contiguous`](crate::GpuBuddyAllocFlag::Contiguous) may get any number of
    /// blocks at any places. So it must succeed whenever `size` bytes are free, however scattered;
    /// with an alignment, whenever they are free in aligned blocks of `min_block_size`.
    ///
    /// The kernel rounds a contiguous request up to a power of two, and any other up to a multiple
    /// of `min_block_size`, except a power of two below it. Unless trimming is disabled, the excess
    /// is given back before the call returns: the blocks add up to `size`.
    ///
    /// `min_block_size` is the alignment. It is also the size of the smallest block, except in the
    /// tail of an allocation, which trimming makes smaller.
    ///
    /// # Errors
    ///
    /// `EINVAL`
    ///
    /// - if `size` is 0, not a multiple of the chunk size, or larger than the space;
    /// - if `min_block_size` is below the chunk size or not a power of two;
    /// - if the rounded size is larger than the space (a contiguous request without a range is then
    ///   tried with its own size);
    /// - if a bound of the range is not a multiple of the chunk size, or the range ends beyond the
    ///   space;
    /// - if an exact range, which is as long as the size, is not aligned at both ends.
    ///
    /// `ENOSPC` if there is no room: nothing stays allocated. A range shorter than the size may be
    /// refused with either number.
    fn alloc(&mut self, request: &AllocRequest) -> Result<Self::Allocation, Errno>;

    /// Allocates, and appends the blocks to `allocation`, which keeps its blocks even if the call
    /// fails: `gpu_buddy_alloc_blocks()` with a list that is not empty. Errors as for
    /// [`alloc`](Self::alloc).
    fn alloc_onto(
        &mut self,
        _allocation: &mut Self::Allocation,
        _request: &AllocRequest,
    ) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Appends the blocks of an allocation to `blocks`, in the order of the allocator.
    ///
    /// The size of each is a power of two of chunks, and it is aligned to its size. An allocator
    /// without such blocks reports a run as several of them.
    fn blocks(&self, allocation: &Self::Allocation, blocks: &mut Vec<Block>);

    /// Frees a whole allocation, as `gpu_buddy_free_list()` does. If `cleared`, the caller has
    /// zeroed the memory, and it becomes clear; otherwise dirty. The state when it was allocated
    /// does not matter. Without [`FreeCleared`](Capability::FreeCleared), `cleared` is false.
    fn free(&mut self, allocation: Self::Allocation, cleared: bool);

    /// Removes the block at position `index` from an allocation and frees it, as
    /// `gpu_buddy_free_list()` does with a list of one block. The blocks after it move up.
    ///
    /// `index` is below the number of blocks. An allocation that becomes empty is still freed.
    /// `cleared` is as for [`free`](Self::free).
    fn free_block(&mut self, _allocation: &mut Self::Allocation, _index: usize, _cleared: bool) {}

    /// Shrinks an allocation of a single block to `new_size` bytes from `start`, as
    /// `gpu_buddy_block_trim()` does. With `None`, from the start of the block. The remaining
    /// blocks are by ascending offset, in the clear state of the old one; the rest becomes free.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the allocation is not one block; if `new_size` is 0, not a multiple of the chunk
    /// size, or larger than the block; if `start` is not a multiple of the chunk size, or the new
    /// part is not inside the block. If `new_size` is the whole block, nothing is done and `start`
    /// is ignored.
    fn trim(
        &mut self,
        _allocation: &mut Self::Allocation,
        _start: Option<u64>,
        _new_size: u64,
    ) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes every free block clear or dirty, as `gpu_buddy_reset_clear()` does. Allocated blocks
    /// do not change.
    fn reset_clear(&mut self, _clear: bool) {}

    /// The allocated block that contains an offset in bytes, as
    /// `gpu_buddy_allocated_addr_to_block()` finds it; `None` if the chunk there is free.
    ///
    /// # Errors
    ///
    /// `ENXIO` if the offset is outside the space.
    fn block_at(&self, _offset: u64) -> Result<Option<Block>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes allocations of the allocator's own objects fail: the `nth` from now, counted from 1,
    /// and the `times - 1` after it. Replaces the previous setting; `times` 0 ends failures.
    fn fail_nth(&mut self, _nth: u64, _times: u64) {}

    /// Tears the allocator down, even with blocks allocated, as `gpu_buddy_fini()` does. Returns
    /// how many of its own objects it left behind. No call follows.
    fn fini(&mut self) -> usize {
        0
    }

    /// Free bytes, as `avail` of `struct gpu_buddy`: the space in whole chunks minus what is
    /// allocated.
    fn avail(&self) -> u64;

    /// Free bytes that are known to be zeroed, as `clear_avail` of `struct gpu_buddy`. A part of
    /// [`avail`](Self::avail).
    fn clear_avail(&self) -> u64 {
        0
    }

    /// [`avail`](Self::avail) and [`clear_avail`](Self::clear_avail).
    fn accounts(&self) -> Accounts {
        Accounts { avail: self.avail(), clear_avail: self.clear_avail() }
    }

    /// The whole state as plain data: every block, by ascending offset, a split one before its
    /// halves.
    fn snapshot(&self) -> Option<Snapshot> {
        None
    }

    /// What the allocator reports by itself about the calls since the last report.
    fn report(&mut self) -> Report {
        Report::default()
    }

    /// Prints the state, and one block, for a developer: `gpu_buddy_print()` and
    /// `gpu_buddy_block_print()`. Returns the printed lines.
    fn printed(&mut self) -> Option<Printed> {
        None
    }

    /// The errors in the allocator's own data structures.
    fn scan(&self) -> Vec<Inconsistency> {
        Vec::new()
    }

    /// Creates other allocators of the same space while memory for their own objects runs out: at
    /// the first object, at the second, and so on. Tears down those that could be created. Returns
    /// each result.
    fn creations_without_memory(&self) -> Vec<(Result<(), Errno>, Report)> {
        Vec::new()
    }

    /// The trees of free blocks, if this is a kernel with such trees.
    fn free_trees(&self) -> Option<FreeTrees> {
        None
    }

    /// Like [`reset_clear`](Self::reset_clear), but misses the blocks that the kernel with these
    /// trees misses: for an implementation that makes the kernel's choices but has no such trees.
    fn reset_clear_as(&mut self, clear: bool, _trees: &FreeTrees) {
        self.reset_clear(clear);
    }
}

/// An allocator that several threads can use at once, each through its own handle.
pub trait Shareable: Implementation<Allocation: Send> + Send {
    /// Another handle to the same allocator, for another thread.
    #[must_use]
    fn share(&self) -> Self;

    /// Takes the sequence number of the last call on this handle since the last query; `None` if
    /// there was none, because invalid arguments were refused before the allocator saw them. The
    /// allocator counts the calls of all handles from 1, in the order in which they take effect,
    /// for instance under its lock.
    fn take_last_call(&mut self) -> Option<u64>;
}

/// What an allocator printed of its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// The lines about the whole allocator.
    pub state: Vec<String>,
    /// The line about an allocated block, if there is such a block; empty if nothing was printed.
    pub block: Option<(Block, String)>,
}

/// What an allocator reports by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Warnings that were raised.
    pub warnings: Vec<Warning>,
    /// The BUG that made it unusable.
    pub bug: Option<KernelBug>,
    /// Whether memory for its own objects ran out.
    pub faulted: bool,
    /// How many of its own objects the teardown left behind.
    pub leaked: usize,
    /// The message of the panic that made it unusable.
    pub panic: Option<String>,
    /// The cost of the last call, in the implementation's own unit, which does not depend on the
    /// machine; `None` if there was no call, or if calls are not counted.
    /// [`KernelC`](crate::diff::KernelC) counts the steps of the C through its trees and lists, and
    /// its calls of the slab allocator.
    pub cost: Option<u64>,
    /// The rules of the raw layer that a wrapper broke: see [`wrapper`](crate::wrapper).
    pub misuses: Vec<Misuse>,
}

impl Report {
    /// An empty report.
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
