//! As an allocator under test.

use crate::diff::{Block, Capabilities, Capability, Implementation, Space};
use crate::module::Features;
use crate::{AllocRequest, Errno, Snapshot};

use super::{Blocks, PureBuddy};

impl Implementation for PureBuddy {
    type Allocation = Blocks;

    fn capabilities(&self) -> Capabilities {
        // An allocation begins with an empty list, and unknown flags are refused.
        !(Capability::FailNth | Capability::Fini | Capability::AllocOnto | Capability::ExtraFlags)
    }

    fn kernel(&self) -> Option<Features> {
        Some(Features::ALL)
    }

    fn create(space: Space) -> Result<Self, Errno> {
        Self::new(space.params()?).map_err(|error| error.errno())
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<Blocks, Errno> {
        Self::alloc(self, request).map_err(|error| error.errno())
    }

    fn blocks(&self, allocation: &Blocks, blocks: &mut Vec<Block>) {
        let base = self.base_offset();
        blocks.extend(allocation.iter().map(|block| {
            // By the reported address, to test that as well.
            Block { offset: block.offset() - base, ..Block::from(block.info()) }
        }));
    }

    fn free(&mut self, allocation: Blocks, cleared: bool) {
        if cleared {
            allocation.free_cleared();
        }
    }

    fn free_block(&mut self, allocation: &mut Blocks, index: usize, cleared: bool) {
        if let Some(block) = allocation.take(index)
            && cleared
        {
            block.free_cleared();
        }
    }

    fn trim(
        &mut self,
        allocation: &mut Blocks,
        start: Option<u64>,
        new_size: u64,
    ) -> Result<(), Errno> {
        allocation.trim(start, new_size).map_err(|error| error.errno())
    }

    fn reset_clear(&mut self, clear: bool) {
        Self::reset_clear(self, clear);
    }

    fn block_at(&self, offset: u64) -> Result<Option<Block>, Errno> {
        let found = Self::block_at(self, offset).map_err(|error| error.errno())?;
        Ok(found.map(Block::from))
    }

    fn avail(&self) -> u64 {
        Self::avail(self)
    }

    fn clear_avail(&self) -> u64 {
        Self::clear_avail(self)
    }

    fn snapshot(&self) -> Option<Snapshot> {
        Some(Self::snapshot(self))
    }
}
