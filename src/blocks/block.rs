//! One block of an allocation.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::{BlockInfo, GpuBuddy, ffi, tree};

use super::AllocatedBlocks;

/// One block of an allocation.
#[derive(Clone, Copy)]
pub struct AllocatedBlock<'a> {
    pub(super) block: NonNull<ffi::gpu_buddy_block>,
    pub(super) buddy: &'a GpuBuddy,
    pub(super) life: PhantomData<&'a AllocatedBlocks>,
}

// SAFETY: only the header of an allocated block is read, and the C does not write it while the
// block is allocated.
unsafe impl Send for AllocatedBlock<'_> {}
// SAFETY: as above.
unsafe impl Sync for AllocatedBlock<'_> {}

impl AllocatedBlock<'_> {
    /// The block's address in bytes: its offset in the space plus the base offset.
    ///
    /// C: `gpu_buddy_block_offset`, without the base offset.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.buddy.base_offset() + self.info().offset
    }

    /// The block's order: its size is `chunk_size << order`.
    ///
    /// C: `gpu_buddy_block_order`.
    #[must_use]
    pub fn order(&self) -> u32 {
        self.info().order
    }

    /// The block's size in bytes.
    ///
    /// C: `gpu_buddy_block_size`.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.buddy.chunk_size().as_u64() << self.order()
    }

    /// Whether the block was known to be zeroed when it was allocated.
    ///
    /// C: `gpu_buddy_block_is_clear`.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.info().clear
    }

    /// The block as plain data. Its offset is without the base offset.
    #[must_use]
    pub fn info(&self) -> BlockInfo {
        // SAFETY: the block is allocated for as long as it is borrowed.
        unsafe { tree::info(self.block.as_ptr()) }
    }
}

impl fmt::Debug for AllocatedBlock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllocatedBlock")
            .field("offset", &self.offset())
            .field("size", &self.size())
            .field("order", &self.order())
            .field("is_clear", &self.is_clear())
            .finish()
    }
}
