//! The one trait that an allocator under test implements.

use core::fmt;

use enumflags2::{BitFlags, bitflags};

use crate::diff::{Accounts, Operation};
use crate::module::Features;
use crate::{AllocRequest, BlockInfo, Errno, Inconsistency, KernelBug, Snapshot, Warning};

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

/// What an implementation offers beyond allocating, freeing and counting what
/// is free. What is not offered is not asked for and not compared.
#[bitflags]
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Clear and dirty memory are told apart: clear allocations, frees as
    /// cleared, [`Implementation::clear_avail`], [`Block::clear`].
    Clear = 1 << 0,
    /// [`Implementation::reset_clear`].
    ResetClear = 1 << 1,
    /// [`Implementation::trim`].
    Trim = 1 << 2,
    /// [`Implementation::free_block`].
    FreeBlock = 1 << 3,
    /// [`Implementation::block_at`].
    BlockAt = 1 << 4,
    /// [`Implementation::snapshot`].
    Snapshot = 1 << 5,
    /// Allocations within a range.
    Range = 1 << 6,
    /// Allocations from the top down.
    TopDown = 1 << 7,
    /// Contiguous allocations.
    Contiguous = 1 << 8,
    /// A `min_block_size` above the chunk size.
    Alignment = 1 << 9,
    /// Untrimmed allocations.
    TrimDisable = 1 << 10,
    /// [`Implementation::fail_nth`].
    FailNth = 1 << 11,
    /// Trims from a start other than the block's own.
    TrimStart = 1 << 12,
    /// A size that is a power of two below `min_block_size` is aligned, and not rounded
    /// up.
    OffsetAlign = 1 << 13,
    /// Sizes that are no multiple of `min_block_size`.
    RoundsUp = 1 << 14,
    /// [`Implementation::fini`].
    Fini = 1 << 15,
    /// [`Implementation::alloc_onto`].
    AllocOnto = 1 << 16,
    /// [`AllocRequest::extra_flags`].
    ExtraFlags = 1 << 17,
}

/// A set of [`Capability`]s.
pub type Capabilities = BitFlags<Capability>;

/// An allocator that can be compared with the kernel's.
///
/// Offsets and sizes are in bytes and count from the start of the space. A call
/// that fails changes nothing and returns the error number that the kernel
/// would. A caller passes an allocation only to the allocator it came from.
pub trait Implementation: Sized {
    /// What is allocated by one [`alloc`](Self::alloc): one or more blocks.
    type Allocation;

    /// What this implementation offers; unless said, all but
    /// [`FailNth`](Capability::FailNth), [`Fini`](Capability::Fini),
    /// [`AllocOnto`](Capability::AllocOnto) and [`ExtraFlags`](Capability::ExtraFlags).
    fn capabilities(&self) -> Capabilities {
        use Capability::{AllocOnto, ExtraFlags, FailNth, Fini};
        !(FailNth | Fini | AllocOnto | ExtraFlags)
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

    /// A new allocator with all of `space` free and dirty.
    fn create(space: Space) -> Result<Self, Errno>;

    /// Allocates.
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
    fn blocks(&self, allocation: &Self::Allocation, blocks: &mut Vec<Block>);

    /// Frees a whole allocation, marking it cleared or dirty.
    fn free(&mut self, allocation: Self::Allocation, cleared: bool);

    /// Takes the block at position `index` out of an allocation and frees it,
    /// marking it cleared or dirty. `index` is below the number of blocks; an
    /// allocation may become empty.
    fn free_block(&mut self, _allocation: &mut Self::Allocation, _index: usize, _cleared: bool) {}

    /// Shrinks an allocation of a single block to the `new_size` bytes from
    /// `start`, or from its own start, as `gpu_buddy_block_trim()` does.
    fn trim(
        &mut self,
        _allocation: &mut Self::Allocation,
        _start: Option<u64>,
        _new_size: u64,
    ) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes every free block clear, or dirty.
    fn reset_clear(&mut self, _clear: bool) {}

    /// The allocated block at an offset; `None` where it is free, `ENXIO`
    /// where it is outside the space.
    fn block_at(&self, _offset: u64) -> Result<Option<Block>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes allocations of the allocator's own objects fail from here on: the
    /// `nth` from now, counted from 1, and the `times - 1` after it. Replaces
    /// what was set before; `times` 0 ends it.
    fn fail_nth(&mut self, _nth: u64, _times: u64) {}

    /// Tears the allocator down as it is, whatever is allocated. Returns how many of its
    /// own objects it has left behind. It is not called again, and nothing else is.
    fn fini(&mut self) -> usize {
        0
    }

    /// Free bytes.
    fn avail(&self) -> u64;

    /// Free bytes known to be zeroed.
    fn clear_avail(&self) -> u64 {
        0
    }

    /// What is free, of both kinds.
    fn accounts(&self) -> Accounts {
        Accounts { avail: self.avail(), clear_avail: self.clear_avail() }
    }

    /// The whole state as plain data.
    fn snapshot(&self) -> Option<Snapshot> {
        None
    }

    /// What the allocator has to say by itself of the calls since this was asked
    /// last.
    fn report(&mut self) -> Report {
        Report::default()
    }

    /// What is wrong in the allocator's own structures.
    fn scan(&self) -> Vec<Inconsistency> {
        Vec::new()
    }

    /// Takes over from a snapshot which free blocks are clear; false where that
    /// is not offered, or more than that differs.
    fn restore(&mut self, _snapshot: &Snapshot) -> bool {
        false
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
}

impl Report {
    /// It has nothing to say.
    pub(in crate::diff) const NOTHING: Self =
        Self { warnings: Vec::new(), bug: None, faulted: false, leaked: 0, panic: None };
}
