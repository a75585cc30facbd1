//! The safe API as an implementation.

use core::ops::{Deref, DerefMut};

use crate::fault::Fault;
use crate::module::{Features, Module};
use crate::{AllocRequest, AllocatedBlocks, Errno, FreeTrees, GpuBuddy, Inconsistency, Snapshot};

use crate::diff::{Block, Capabilities, Capability, Implementation, Report, Space};

/// The kernel's C behind the safe API.
#[derive(Debug)]
pub struct SafeApi {
    buddy: GpuBuddy,
    /// The number of warnings that were reported.
    warnings: usize,
    /// The number of memory failures that were reported.
    failed: u64,
    /// The number of live objects that are not blocks.
    arrays: usize,
}

/// An allocation of [`SafeApi`].
#[derive(Debug)]
pub struct SafeAllocation(AllocatedBlocks);

impl SafeApi {
    /// Wraps an existing allocator.
    #[must_use]
    pub fn new(buddy: GpuBuddy) -> Self {
        let blocks = buddy.snapshot().map_or(0, |snapshot| snapshot.blocks.len());
        let arrays = buddy.live_objects() - blocks;
        Self { buddy, warnings: 0, failed: 0, arrays }
    }

    /// The allocator.
    #[must_use]
    pub fn buddy(&self) -> &GpuBuddy {
        &self.buddy
    }

    /// The allocator, without the wrapper.
    #[must_use]
    pub fn into_buddy(self) -> GpuBuddy {
        self.buddy
    }
}

impl Deref for SafeAllocation {
    type Target = AllocatedBlocks;

    fn deref(&self) -> &AllocatedBlocks {
        &self.0
    }
}

impl DerefMut for SafeAllocation {
    fn deref_mut(&mut self) -> &mut AllocatedBlocks {
        &mut self.0
    }
}

impl Implementation for SafeApi {
    type Allocation = SafeAllocation;

    fn capabilities(&self) -> Capabilities {
        // The safe API computes what the C lacks.
        let capabilities = super::capabilities(Module::compiled_in()) | Capability::BlockAt;
        // It has no teardown but its drop, an allocation begins with an empty list, and unknown
        // flags are refused.
        capabilities & !(Capability::Fini | Capability::AllocOnto | Capability::ExtraFlags)
    }

    fn runs_kernel_code(&self) -> bool {
        true
    }

    fn kernel(&self) -> Option<Features> {
        Some(Module::compiled_in().features())
    }

    fn create(space: Space) -> Result<Self, Errno> {
        GpuBuddy::new(space.params()?).map(Self::new).map_err(|error| error.errno())
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<SafeAllocation, Errno> {
        self.buddy.alloc(request).map(SafeAllocation).map_err(|error| error.errno())
    }

    fn blocks(&self, allocation: &SafeAllocation, blocks: &mut Vec<Block>) {
        let base = self.buddy.base_offset();
        blocks.extend(allocation.0.iter().map(|block| {
            // By the reported address, to test that as well.
            Block { offset: block.offset().wrapping_sub(base), ..Block::from(block.info()) }
        }));
    }

    fn free(&mut self, allocation: SafeAllocation, cleared: bool) {
        if cleared {
            allocation.0.free_cleared();
        }
    }

    fn free_block(&mut self, allocation: &mut SafeAllocation, index: usize, cleared: bool) {
        if let Some(block) = allocation.0.take(index)
            && cleared
        {
            block.free_cleared();
        }
    }

    fn trim(
        &mut self,
        allocation: &mut SafeAllocation,
        start: Option<u64>,
        new_size: u64,
    ) -> Result<(), Errno> {
        allocation.0.trim(start, new_size).map_err(|error| error.errno())
    }

    fn reset_clear(&mut self, clear: bool) {
        // Fails only for an unusable allocator, which every other call reports.
        let _ = self.buddy.reset_clear(clear);
    }

    fn block_at(&self, offset: u64) -> Result<Option<Block>, Errno> {
        let found = self.buddy.block_at(offset).map_err(|error| error.errno())?;
        Ok(found.map(Block::from))
    }

    fn fail_nth(&mut self, nth: u64, times: u64) {
        self.buddy.set_fault((times > 0).then(|| Fault::nth(nth).times(times)));
    }

    fn avail(&self) -> u64 {
        self.buddy.avail()
    }

    fn clear_avail(&self) -> u64 {
        self.buddy.clear_avail()
    }

    fn snapshot(&self) -> Option<Snapshot> {
        self.buddy.snapshot().ok()
    }

    fn report(&mut self) -> Report {
        let (warnings, bug, failed) = self.buddy.events(self.warnings);
        let faulted = failed > self.failed;
        self.failed = failed;
        self.warnings += warnings.len();
        Report { warnings, bug, faulted, ..Report::default() }
    }

    fn free_trees(&self) -> Option<FreeTrees> {
        self.buddy.free_trees().ok().flatten()
    }

    fn scan(&self) -> Vec<Inconsistency> {
        let Ok((mut found, blocks)) = self.buddy.scan() else {
            return Vec::new();
        };
        let (is, expected) = (self.buddy.live_objects(), self.arrays + blocks);
        if is != expected {
            found.push(Inconsistency::LiveObjects { is, expected });
        }
        found
    }
}
