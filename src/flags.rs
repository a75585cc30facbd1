//! Modes and flags of an allocation.

use core::ops::Range;

use enumflags2::{BitFlags, bitflags};

use crate::{InvalidArgument, ffi};

/// The place of an allocation in the space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GpuBuddyAllocMode {
    /// Anywhere: the free block with the highest offset, of the smallest size that fits.
    #[default]
    Simple,
    /// In a range, in bytes from the start of the space without the base offset. A range as long as
    /// the allocation is taken exactly, whatever the flags.
    ///
    /// C: `GPU_BUDDY_RANGE_ALLOCATION`.
    Range(Range<u64>),
    /// From the top of the space down.
    ///
    /// C: `GPU_BUDDY_TOPDOWN_ALLOCATION`.
    TopDown,
}

impl GpuBuddyAllocMode {
    /// Refuses an empty range.
    pub(crate) fn check(&self) -> Result<(), InvalidArgument> {
        match *self {
            Self::Range(Range { start, end }) if start >= end => {
                Err(InvalidArgument::RangeEmpty { start, end })
            }
            _ => Ok(()),
        }
    }
}

/// A flag of an allocation. Join flags with `|`.
#[bitflags]
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuBuddyAllocFlag {
    /// The blocks are adjacent, without a gap.
    ///
    /// C: `GPU_BUDDY_CONTIGUOUS_ALLOCATION`.
    Contiguous = 1 << 2,
    /// Prefer memory that is known to be zeroed.
    ///
    /// C: `GPU_BUDDY_CLEAR_ALLOCATION`.
    Clear = 1 << 3,
    /// Keep what the blocks have beyond the requested size, instead of freeing it.
    ///
    /// C: `GPU_BUDDY_TRIM_DISABLE`.
    TrimDisable = 1 << 5,
}

// `bitflags` needs literals; this checks them against the header.
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
