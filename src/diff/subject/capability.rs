//! What an implementation offers.

use enumflags2::{BitFlags, bitflags};

#[cfg(doc)]
use super::{Block, Implementation};

/// What an implementation offers beyond plain requests of whole chunks, freeing them, and
/// counting what is free.
///
/// What is not offered is neither asked for nor compared. Each entry says what is asked for
/// in addition, and what is checked then.
#[bitflags]
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Clear and dirty memory are told apart. Requests for clear memory. That clear memory is
    /// preferred, that only what was freed as cleared is handed out as clear
    /// ([`Block::clear`]), and [`Implementation::clear_avail`].
    Clear = 1 << 0,
    /// [`Implementation::reset_clear`]. That every free block is reached, by what
    /// [`Implementation::clear_avail`] says.
    ResetClear = 1 << 1,
    /// [`Implementation::trim`], from the block's own start. That what is left is the part
    /// that was asked for.
    Trim = 1 << 2,
    /// [`Implementation::free_block`], on any block of an allocation.
    FreeBlock = 1 << 3,
    /// [`Implementation::block_at`], inside and outside of the space.
    BlockAt = 1 << 4,
    /// [`Implementation::snapshot`], now and then. That the blocks tile the space, that what
    /// is allocated is what was handed out, and that free buddies are merged. With
    /// [`Comparison::Exact`](crate::diff::Comparison::Exact), that it is the same.
    Snapshot = 1 << 5,
    /// Requests within a range, exact or with room to spare; at the end, one for the whole
    /// space as an exact range. That each block is in the range.
    Range = 1 << 6,
    /// Requests from the top down. That the highest place is taken, if there is a
    /// [`Snapshot`](Self::Snapshot) to tell by.
    TopDown = 1 << 7,
    /// Contiguous requests of any size, a power of two or not; at the end, one for the
    /// largest root. That they have no gap, and that one which a free run has room for finds
    /// it.
    Contiguous = 1 << 8,
    /// A `min_block_size` above the chunk size, up to the size; at the end, one as large as
    /// the largest root. That each block is aligned, and that aligned room is found.
    Alignment = 1 << 9,
    /// Requests that are not trimmed. That they have the size asked for, or what it is
    /// rounded up to.
    TrimDisable = 1 << 10,
    /// [`Implementation::fail_nth`]. That a call fails with `ENOMEM` then, and changes
    /// nothing.
    FailNth = 1 << 11,
    /// Trims from a start other than the block's own; in addition to [`Trim`](Self::Trim).
    TrimStart = 1 << 12,
    /// A `min_block_size` above a size that is a power of two: such a request is aligned, and
    /// not rounded up. In addition to [`Alignment`](Self::Alignment).
    OffsetAlign = 1 << 13,
    /// Sizes that are no multiple of `min_block_size`; in addition to
    /// [`Alignment`](Self::Alignment).
    RoundsUp = 1 << 14,
    /// [`Implementation::fini`], with and without allocations. That it leaves nothing behind
    /// if nothing is allocated, and warns if something is.
    Fini = 1 << 15,
    /// [`Implementation::alloc_onto`]. That the allocation keeps the blocks that it has.
    AllocOnto = 1 << 16,
    /// [`AllocRequest::extra_flags`](crate::AllocRequest::extra_flags), which are passed on.
    ExtraFlags = 1 << 17,
    /// Frees as cleared; in addition to [`Clear`](Self::Clear). The kernel's Rust binding
    /// lacks it.
    FreeCleared = 1 << 18,
    /// `start` and `end` without the range flag, and a range from the top down: what the
    /// arguments of the C function can say, and the kernel's Rust binding cannot.
    RawBounds = 1 << 19,
}

/// A set of [`Capability`]s.
pub type Capabilities = BitFlags<Capability>;
