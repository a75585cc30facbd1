//! What an allocator is made from.

use crate::Alignment;

/// Parameters of a new allocator, given to [`GpuBuddy::new`](crate::GpuBuddy::new).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuBuddyParams {
    /// The address, in bytes, at which the managed space starts. It is added
    /// to every offset that is reported; ranges that are passed in count from
    /// the start of the space.
    pub base_offset: u64,
    /// The size of the space in bytes. It is rounded down to a multiple of the
    /// chunk size; [`GpuBuddy::size`](crate::GpuBuddy::size) gives the result.
    #[doc(alias = "physical_memory_size")]
    pub size: u64,
    /// The smallest unit of allocation; at least 4 KiB.
    pub chunk_size: Alignment,
}
