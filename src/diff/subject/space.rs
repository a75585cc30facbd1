//! The space of an allocator under test.

use crate::{Alignment, Errno, GpuBuddyParams};

/// The space that an allocator manages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Space {
    /// Its size in bytes.
    pub size: u64,
    /// The smallest unit in bytes.
    pub chunk_size: u64,
    /// The address of the start of the space, in bytes, for allocators that take one: see
    /// [`GpuBuddyParams::base_offset`](crate::GpuBuddyParams::base_offset). The C does not. Offsets
    /// count from the start of the space, whatever the base.
    pub base: u64,
}

impl Space {
    /// A space of `size` bytes in chunks of `chunk_size` bytes, at address 0.
    #[must_use]
    pub const fn new(size: u64, chunk_size: u64) -> Self {
        Self { size, chunk_size, base: 0 }
    }

    /// The parameters of [`GpuBuddy::new`](crate::GpuBuddy::new). `EINVAL` if there is no such
    /// chunk size.
    pub(crate) fn params(self) -> Result<GpuBuddyParams, Errno> {
        let Self { size, chunk_size, base } = self;
        let chunk_size = usize::try_from(chunk_size)
            .ok()
            .and_then(Alignment::new_checked)
            .ok_or(Errno::EINVAL)?;
        Ok(GpuBuddyParams { base_offset: base, size, chunk_size })
    }

    /// Whether an allocator can manage it: the chunk size is a power of two of at least 4096 bytes,
    /// and the size is at least a chunk.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.why_invalid().is_none()
    }

    /// Why no allocator can manage it; `None` if one can.
    pub(in crate::diff) fn why_invalid(&self) -> Option<&'static str> {
        let Self { size, chunk_size, .. } = *self;
        if chunk_size < 4096 {
            Some("the chunk size is below 4096")
        } else if !chunk_size.is_power_of_two() {
            Some("the chunk size is not a power of two")
        } else if size < chunk_size {
            Some("the size is less than a chunk")
        } else {
            None
        }
    }
}
