//! Parameters of an allocator.

use crate::Alignment;

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
