//! Parameters of an allocator.

use crate::{Alignment, InvalidArgument};

/// Parameters of a new allocator, for [`GpuBuddy::new`](crate::GpuBuddy::new).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuBuddyParams {
    /// The address, in bytes, at which the space starts. It is added to every reported offset.
    /// Ranges that are passed in count from the start of the space.
    pub base_offset: u64,
    /// The size of the space in bytes, rounded down to a multiple of the chunk size: see
    /// [`GpuBuddy::size`](crate::GpuBuddy::size).
    #[doc(alias = "physical_memory_size")]
    pub size: u64,
    /// The smallest unit of allocation: at least 4 KiB.
    pub chunk_size: Alignment,
}

impl GpuBuddyParams {
    /// Checks the parameters, and rounds the size down to a multiple of the chunk size.
    pub(crate) fn checked(self) -> Result<Self, InvalidArgument> {
        let Self { base_offset, size, .. } = self;
        let chunk_size = self.chunk_size.as_u64();
        if size < chunk_size {
            return Err(InvalidArgument::SpaceTooSmall { size, chunk_size });
        }
        if chunk_size < crate::sizes::SZ_4K as u64 {
            return Err(InvalidArgument::ChunkTooSmall { chunk_size });
        }
        if base_offset.checked_add(size).is_none() {
            return Err(InvalidArgument::BaseOffsetOverflow { base_offset, size });
        }
        Ok(Self { size: size - size % chunk_size, ..self })
    }
}
