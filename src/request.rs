//! A request with all arguments of the C function, as plain data.

use core::ops::Range;

use crate::error::InvalidArgument;
use crate::{GpuBuddyAllocFlag, GpuBuddyAllocFlags, GpuBuddyAllocMode, ffi};

/// The arguments of `gpu_buddy_alloc_blocks()`.
///
/// [`GpuBuddy::alloc_blocks`](crate::GpuBuddy::alloc_blocks) offers what the kernel's Rust binding
/// can ask for. A C driver can ask for more: above all, it can pass `start` and `end` without the
/// range flag, and the C reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AllocRequest {
    /// The start of the range, in bytes from the start of the space.
    pub start: u64,
    /// The end of the range in bytes, exclusive.
    pub end: u64,
    /// The size in bytes.
    pub size: u64,
    /// The smallest size of a block, and its alignment, in bytes.
    pub min_block_size: u64,
    /// `GPU_BUDDY_RANGE_ALLOCATION`: stay within `start..end`.
    pub range: bool,
    /// `GPU_BUDDY_TOPDOWN_ALLOCATION`: from the top of the space down.
    pub top_down: bool,
    /// The flags that go with every mode.
    pub flags: GpuBuddyAllocFlags,
    /// Further bits of the C's `flags` argument. The safe API refuses them, because their effect is
    /// unknown.
    pub extra_flags: u64,
}

impl AllocRequest {
    /// The request that the kernel's Rust binding makes from these arguments.
    #[must_use]
    pub fn new(
        mode: GpuBuddyAllocMode,
        size: u64,
        min_block_size: u64,
        flags: impl Into<GpuBuddyAllocFlags>,
    ) -> Self {
        let (start, end, range, top_down) = match mode {
            GpuBuddyAllocMode::Simple => (0, 0, false, false),
            GpuBuddyAllocMode::Range(Range { start, end }) => (start, end, true, false),
            GpuBuddyAllocMode::TopDown => (0, 0, false, true),
        };
        let flags = flags.into();
        Self { start, end, size, min_block_size, range, top_down, flags, extra_flags: 0 }
    }
}

impl AllocRequest {
    /// The checks of the C, in its order, and further ones that avoid undefined behaviour. `size`
    /// and `chunk_size` are those of the space, in bytes.
    pub(crate) fn check(&self, size: u64, chunk_size: u64) -> Result<(), InvalidArgument> {
        self.check_for(size, chunk_size, cfg!(offset_align))
    }

    /// The same for an allocator that aligns blocks to more than their size, or does not.
    pub(crate) fn check_for(
        &self,
        size: u64,
        chunk_size: u64,
        aligns: bool,
    ) -> Result<(), InvalidArgument> {
        let Self { start, end, min_block_size, size: requested, .. } = *self;
        // Both sizes are powers of two: a division by either takes as long as the other checks.
        let is_multiple = |value: u64| value & (chunk_size - 1) == 0;
        if self.extra_flags != 0 {
            return Err(InvalidArgument::UnknownFlags { bits: self.extra_flags });
        }
        if requested < chunk_size {
            return Err(InvalidArgument::SizeTooSmall { size: requested, chunk_size });
        }
        if min_block_size < chunk_size {
            return Err(InvalidArgument::MinBlockSizeTooSmall { min_block_size, chunk_size });
        }
        if !min_block_size.is_power_of_two() {
            return Err(InvalidArgument::MinBlockSizeNotPowerOfTwo { min_block_size });
        }
        if !is_multiple(requested) {
            return Err(InvalidArgument::SizeNotMultiple { size: requested, chunk_size });
        }
        if !is_multiple(start) || !is_multiple(end) {
            return Err(InvalidArgument::RangeNotMultiple { start, end, chunk_size });
        }
        if end > size {
            return Err(InvalidArgument::RangeBeyondSpace { start, end, size });
        }
        if start >= size || requested > size - start {
            return Err(InvalidArgument::RequestBeyondSpace { start, requested, size });
        }
        if start + requested == end {
            return if (start | end) & (min_block_size - 1) == 0 {
                Ok(())
            } else {
                Err(InvalidArgument::RangeNotAligned { start, end, min_block_size })
            };
        }
        self.check_rounded(size, chunk_size, aligns)
    }

    /// The checks of a request that is not an exact range, after its size is rounded up as by the
    /// C.
    fn check_rounded(
        &self,
        size: u64,
        chunk_size: u64,
        aligns: bool,
    ) -> Result<(), InvalidArgument> {
        let requested = self.size;
        let chunks = |size: u64| size >> chunk_size.trailing_zeros();
        if self.flags.contains(GpuBuddyAllocFlag::Contiguous) {
            let rounded = requested
                .checked_next_power_of_two()
                .ok_or(InvalidArgument::NoPowerOfTwo { requested })?;
            // Without a range, the C tries a size that is too large to round up as it is.
            return if self.range && rounded > size {
                Err(InvalidArgument::RoundedSizeTooLarge { requested, rounded, size })
            } else if self.range && chunks(rounded) > u64::from(u32::MAX) {
                Err(InvalidArgument::TooManyChunks { requested, chunks: chunks(rounded) })
            } else {
                Ok(())
            };
        }
        let keeps_size = aligns && requested < self.min_block_size && requested.is_power_of_two();
        // If rounding up overflows, the size is too large for every space.
        let rounded = if keeps_size {
            requested
        } else {
            let mask = self.min_block_size - 1;
            requested.checked_add(mask).map_or(u64::MAX, |above| above & !mask)
        };
        if rounded > size {
            return Err(InvalidArgument::RoundedSizeTooLarge { requested, rounded, size });
        }
        if chunks(rounded) > u64::from(u32::MAX) {
            return Err(InvalidArgument::TooManyChunks { requested, chunks: chunks(rounded) });
        }
        Ok(())
    }

    /// Sets the fields from the bits of the C's flags.
    pub(crate) fn set_bits(&mut self, bits: u64) {
        let named = GpuBuddyAllocFlags::from_bits_truncate(bits);
        let modes = ffi::GPU_BUDDY_RANGE_ALLOCATION | ffi::GPU_BUDDY_TOPDOWN_ALLOCATION;
        self.range = bits & ffi::GPU_BUDDY_RANGE_ALLOCATION != 0;
        self.top_down = bits & ffi::GPU_BUDDY_TOPDOWN_ALLOCATION != 0;
        self.flags = named;
        self.extra_flags = bits & !modes & !named.bits();
    }

    /// The bits of the flags, as the C takes them.
    pub(crate) fn bits(&self) -> u64 {
        let mut bits = self.flags.bits() | self.extra_flags;
        if self.range {
            bits |= ffi::GPU_BUDDY_RANGE_ALLOCATION;
        }
        if self.top_down {
            bits |= ffi::GPU_BUDDY_TOPDOWN_ALLOCATION;
        }
        bits
    }
}

/// The checks of the C for trimming `block` to `new_size` bytes from `start`, all in bytes from the
/// start of the space.
pub(crate) fn check_trim(
    block: Range<u64>,
    chunk_size: u64,
    start: Option<u64>,
    new_size: u64,
) -> Result<(), InvalidArgument> {
    let Range { start: block_start, end: block_end } = block;
    let block_size = block_end - block_start;
    if new_size > block_size {
        return Err(InvalidArgument::TrimTooLarge { new_size, block_size });
    }
    if new_size == 0 || !new_size.is_multiple_of(chunk_size) {
        return Err(InvalidArgument::TrimNotMultiple { new_size, chunk_size });
    }
    // The C reads the start only if something is to be freed.
    if let Some(start) = start
        && new_size != block_size
    {
        if !start.is_multiple_of(chunk_size) && start >= block_start {
            return Err(InvalidArgument::TrimStartNotMultiple { start, chunk_size });
        }
        if start < block_start || start >= block_end || new_size > block_end - start {
            return Err(InvalidArgument::TrimOutsideBlock {
                start,
                new_size,
                block_start,
                block_end,
            });
        }
    }
    Ok(())
}
