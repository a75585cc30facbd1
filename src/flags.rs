//! How to allocate: the mode, and the flags that go with every mode.

use core::ops::Range;

use enumflags2::{BitFlags, bitflags};

use crate::ffi;

/// Where in the space an allocation may be placed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GpuBuddyAllocMode {
    /// Anywhere: of the smallest free blocks that fit, the one with the
    /// highest offset.
    #[default]
    Simple,
    /// Within a range of bytes that counts from the start of the space, without
    /// the base offset. A range as long as the allocation is taken exactly,
    /// whatever the flags.
    ///
    /// C: `GPU_BUDDY_RANGE_ALLOCATION`.
    Range(Range<u64>),
    /// From the top of the space down.
    ///
    /// C: `GPU_BUDDY_TOPDOWN_ALLOCATION`.
    TopDown,
}

/// A modifier of an allocation. Flags are joined with `|`.
#[bitflags]
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuBuddyAllocFlag {
    /// The blocks follow one another without a gap.
    ///
    /// C: `GPU_BUDDY_CONTIGUOUS_ALLOCATION`.
    Contiguous = 1 << 2,
    /// Memory that is known to be zeroed is preferred.
    ///
    /// C: `GPU_BUDDY_CLEAR_ALLOCATION`.
    Clear = 1 << 3,
    /// What the blocks hold beyond the size asked for is kept, not given back.
    ///
    /// C: `GPU_BUDDY_TRIM_DISABLE`.
    TrimDisable = 1 << 5,
}

// The discriminants above must be literals; the header has the last word.
const _: () = assert!(
    GpuBuddyAllocFlag::Contiguous as u64 == ffi::GPU_BUDDY_CONTIGUOUS_ALLOCATION
        && GpuBuddyAllocFlag::Clear as u64 == ffi::GPU_BUDDY_CLEAR_ALLOCATION
        && GpuBuddyAllocFlag::TrimDisable as u64 == ffi::GPU_BUDDY_TRIM_DISABLE
);

/// A set of [`GpuBuddyAllocFlag`]s; the default is the empty set.
///
/// ```
/// use gpu_buddy::{GpuBuddyAllocFlag, GpuBuddyAllocFlags};
///
/// let one: GpuBuddyAllocFlags = GpuBuddyAllocFlag::Clear.into();
/// let two = GpuBuddyAllocFlag::Clear | GpuBuddyAllocFlag::Contiguous;
/// assert!(two.contains(one));
/// assert!(GpuBuddyAllocFlags::default().is_empty());
/// ```
#[doc(alias = "BuddyFlags")]
pub type GpuBuddyAllocFlags = BitFlags<GpuBuddyAllocFlag>;
