//! Alignments: powers of two, in bytes.

use core::fmt;

/// An alignment: a power of two, in bytes.
///
/// The counterpart of the kernel crate's `ptr::Alignment`, with the same
/// constructors.
///
/// ```
/// use gpu_buddy::{Alignment, sizes::SZ_4K};
///
/// let alignment = Alignment::new::<SZ_4K>();
/// assert_eq!(alignment.as_usize(), 4096);
/// assert_eq!(alignment.log2(), 12);
/// assert_eq!(Alignment::new_checked(6000), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alignment {
    // At most 63, so that the shift in `as_usize` cannot overflow.
    log2: u32,
}

impl Alignment {
    /// An alignment of `ALIGN` bytes, checked at compile time.
    ///
    /// ```compile_fail
    /// gpu_buddy::Alignment::new::<6000>();
    /// ```
    #[must_use]
    pub const fn new<const ALIGN: usize>() -> Self {
        const { assert!(ALIGN.is_power_of_two(), "an alignment must be a power of two") };
        Self { log2: ALIGN.trailing_zeros() }
    }

    /// An alignment of `align` bytes; `None` if that is not a power of two.
    #[must_use]
    pub const fn new_checked(align: usize) -> Option<Self> {
        if align.is_power_of_two() { Some(Self { log2: align.trailing_zeros() }) } else { None }
    }

    /// The alignment that Rust gives the type `T`.
    #[must_use]
    pub const fn of<T>() -> Self {
        Self { log2: align_of::<T>().trailing_zeros() }
    }

    /// The alignment in bytes.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        1 << self.log2
    }

    /// The alignment in bytes as `u64`, the type of the allocator's sizes.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        1 << self.log2
    }

    /// The base-2 logarithm of the alignment: 12 for 4 KiB.
    #[must_use]
    pub const fn log2(self) -> u32 {
        self.log2
    }
}

impl fmt::Debug for Alignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Alignment({})", self.as_usize())
    }
}

impl fmt::Display for Alignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_usize().fmt(f)
    }
}
