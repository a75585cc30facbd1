//! The kernel's C, as an implementation like any other.

use core::ops::{Deref, DerefMut};

use crate::{
    AllocRequest, AllocatedBlocks, Alignment, Errno, GpuBuddy, GpuBuddyParams, Snapshot,
};

use super::{Block, Implementation, Space};

/// The kernel's C behind the safe API.
#[derive(Debug)]
pub struct C(GpuBuddy);

/// An allocation of [`C`].
#[derive(Debug)]
pub struct CAllocation(AllocatedBlocks);

impl C {
    /// Wraps an allocator that there is already.
    #[must_use]
    pub fn new(buddy: GpuBuddy) -> Self {
        Self(buddy)
    }

    /// The allocator.
    #[must_use]
    pub fn buddy(&self) -> &GpuBuddy {
        &self.0
    }

    /// The allocator, without the wrapper.
    #[must_use]
    pub fn into_buddy(self) -> GpuBuddy {
        self.0
    }
}

impl Deref for CAllocation {
    type Target = AllocatedBlocks;

    fn deref(&self) -> &AllocatedBlocks {
        &self.0
    }
}

impl DerefMut for CAllocation {
    fn deref_mut(&mut self) -> &mut AllocatedBlocks {
        &mut self.0
    }
}

impl Implementation for C {
    type Allocation = CAllocation;

    fn create(space: Space) -> Result<Self, Errno> {
        let chunk_size = usize::try_from(space.chunk_size)
            .ok()
            .and_then(Alignment::new_checked)
            .ok_or(Errno::EINVAL)?;
        GpuBuddy::new(GpuBuddyParams { base_offset: 0, size: space.size, chunk_size })
            .map(Self)
            .map_err(|error| error.errno())
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<CAllocation, Errno> {
        self.0.alloc(request).map(CAllocation).map_err(|error| error.errno())
    }

    fn blocks(&self, allocation: &CAllocation, blocks: &mut Vec<Block>) {
        blocks.extend(allocation.0.iter().map(|block| Block::from(block.info())));
    }

    fn free(&mut self, allocation: CAllocation, cleared: bool) {
        if cleared {
            allocation.0.free_cleared();
        }
    }

    fn free_block(&mut self, allocation: &mut CAllocation, index: usize, cleared: bool) {
        if let Some(block) = allocation.0.take(index)
            && cleared
        {
            block.free_cleared();
        }
    }

    fn trim(
        &mut self,
        allocation: &mut CAllocation,
        start: Option<u64>,
        new_size: u64,
    ) -> Result<(), Errno> {
        allocation.0.trim(start, new_size).map_err(|error| error.errno())
    }

    fn reset_clear(&mut self, clear: bool) {
        // Fails only for an unusable allocator, which every other call reports.
        let _ = self.0.reset_clear(clear);
    }

    fn block_at(&self, offset: u64) -> Result<Option<Block>, Errno> {
        let found = self.0.block_at(offset).map_err(|error| error.errno())?;
        Ok(found.map(Block::from))
    }

    fn avail(&self) -> u64 {
        self.0.avail()
    }

    fn clear_avail(&self) -> u64 {
        self.0.clear_avail()
    }

    fn snapshot(&self) -> Option<Snapshot> {
        self.0.snapshot().ok()
    }
}
