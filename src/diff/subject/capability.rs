//! The capabilities of an implementation.

use enumflags2::{BitFlags, bitflags};

#[cfg(doc)]
use super::{Block, Implementation};

/// What an implementation supports beyond plain requests of whole chunks, freeing them, and
/// counting free memory.
///
/// Without a capability, its calls are never made and its results never compared. Each entry says
/// which calls it adds, then what is checked.
#[bitflags]
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Clear and dirty memory are tracked. Calls: requests for clear memory. Checked: clear memory
    /// is preferred, only memory that was freed as cleared is handed out as clear
    /// ([`Block::clear`]), and [`Implementation::clear_avail`].
    Clear = 1 << 0,
    /// Calls: [`Implementation::reset_clear`]. Checked: it reaches every free block, according to
    /// [`Implementation::clear_avail`].
    ResetClear = 1 << 1,
    /// Calls: [`Implementation::trim`] from the block's own start. Checked: exactly the requested
    /// part is left.
    Trim = 1 << 2,
    /// Calls: [`Implementation::free_block`] on any block of an allocation.
    FreeBlock = 1 << 3,
    /// Calls: [`Implementation::block_at`], inside and outside the space.
    BlockAt = 1 << 4,
    /// Calls: [`Implementation::snapshot`] from time to time. Checked: the blocks tile the space,
    /// the allocated ones are those handed out, and free buddies are merged. With
    /// [`Comparison::Exact`](crate::diff::Comparison::Exact), both snapshots are equal.
    Snapshot = 1 << 5,
    /// Calls: requests in a range, exact or larger than the size; at the end, one for the whole
    /// space as an exact range. Checked: each block is in the range.
    Range = 1 << 6,
    /// Calls: top-down requests. Checked: the highest place is taken, if there is a
    /// [`Snapshot`](Self::Snapshot).
    TopDown = 1 << 7,
    /// Calls: contiguous requests of any size, a power of two or not; at the end, one for the
    /// largest root. Checked: they have no gap, and succeed if one free run is large enough.
    Contiguous = 1 << 8,
    /// Calls: requests with a `min_block_size` above the chunk size, up to the size; at the end,
    /// one as large as the largest root. Checked: each block is aligned, and aligned room is found.
    Alignment = 1 << 9,
    /// Calls: requests that are not trimmed. Checked: they have the requested size, or what it is
    /// rounded up to.
    TrimDisable = 1 << 10,
    /// Calls: [`Implementation::fail_nth`]. Checked: a call then fails with `ENOMEM` and changes
    /// nothing.
    FailNth = 1 << 11,
    /// Calls: trims from a start other than the block's own. In addition to [`Trim`](Self::Trim).
    TrimStart = 1 << 12,
    /// Calls: requests with a `min_block_size` above a size that is a power of two. These are
    /// aligned, and not rounded up. In addition to [`Alignment`](Self::Alignment).
    OffsetAlign = 1 << 13,
    /// Calls: requests with a size that is not a multiple of `min_block_size`. In addition to
    /// [`Alignment`](Self::Alignment).
    RoundsUp = 1 << 14,
    /// Calls: [`Implementation::fini`], with and without allocations. Checked: it leaves no objects
    /// behind if nothing is allocated, and warns if something is.
    Fini = 1 << 15,
    /// Calls: [`Implementation::alloc_onto`]. Checked: the allocation keeps its blocks.
    AllocOnto = 1 << 16,
    /// Calls: requests with [`AllocRequest::extra_flags`](crate::AllocRequest::extra_flags), which
    /// are passed on.
    ExtraFlags = 1 << 17,
    /// Calls: frees as cleared. In addition to [`Clear`](Self::Clear). The kernel's Rust binding
    /// lacks it.
    FreeCleared = 1 << 18,
    /// Calls: requests with `start` and `end` but without the range flag, and top-down requests in
    /// a range. The C function can take these, the kernel's Rust binding cannot.
    RawBounds = 1 << 19,
}

/// A set of [`Capability`]s.
pub type Capabilities = BitFlags<Capability>;
