//! Judges the placement of an allocation.

use crate::{AllocRequest, GpuBuddyAllocFlag};

use super::{Block, Contract, Detail, Promise};

impl Contract {
    /// Judges the places of an allocation's blocks, without regard to what else is allocated.
    pub(super) fn check_placement(&mut self, request: &AllocRequest, blocks: &[Block]) {
        let (mut total, mut lowest, mut highest) = (0u64, u64::MAX, 0);
        for block in blocks {
            if !self.is_shaped(block) {
                self.breach(Promise::BlockShape, Detail::Block(*block, 0..self.space.size));
            }
            let size = self.size_of(block);
            let end = block.offset.saturating_add(size);
            if end > self.space.size {
                self.breach(Promise::InSpace, Detail::Block(*block, 0..self.space.size));
            }
            if request.range && (block.offset < request.start || end > request.end) {
                self.breach(Promise::InRange, Detail::Block(*block, request.start..request.end));
            }
            total = total.saturating_add(size);
            (lowest, highest) = (lowest.min(block.offset), highest.max(end));
        }
        if !self.adds_up(request, total) {
            let detail = Detail::Sum { asked: request.size, got: total };
            self.breach(Promise::AddsUp, detail);
        }
        if request.flags.contains(GpuBuddyAllocFlag::Contiguous) {
            if highest.saturating_sub(lowest) != total {
                let detail = Detail::Gap { size: total, span: highest.saturating_sub(lowest) };
                self.breach(Promise::Contiguous, detail);
            }
            if lowest != u64::MAX && !is_aligned(lowest, request.min_block_size) {
                self.unaligned(lowest, highest, request);
            }
        } else if blocks.iter().any(|block| {
            let size = self.size_of(block);
            size < request.min_block_size || !is_aligned(block.offset, request.min_block_size)
        }) {
            self.check_runs(request, blocks);
        }
    }

    /// A block of at least `min_block_size` is aligned by its shape. Trimming cuts the tail into
    /// smaller blocks, so these are judged together with the blocks before them.
    fn check_runs(&mut self, request: &AllocRequest, blocks: &[Block]) {
        let mut runs = self.runs_of(blocks);
        if runs.iter().any(|&(start, _)| !is_aligned(start, request.min_block_size)) {
            // They may be adjacent, but handed out in another order.
            let mut sorted = blocks.to_vec();
            sorted.sort_unstable();
            runs = self.runs_of(&sorted);
        }
        for &(start, end) in &runs {
            if !is_aligned(start, request.min_block_size) {
                self.unaligned(start, end, request);
            }
        }
        let tails =
            runs.iter().filter(|(start, end)| !is_aligned(end - start, request.min_block_size));
        if let Some(&(start, end)) = tails.clone().next()
            && tails.count() > 1
        {
            let detail = Detail::Run { start, end, min_block_size: request.min_block_size };
            self.breach(Promise::MinBlockSize, detail);
        }
    }

    fn unaligned(&mut self, start: u64, end: u64, request: &AllocRequest) {
        let detail = Detail::Run { start, end, min_block_size: request.min_block_size };
        self.breach(Promise::Aligned, detail);
    }

    /// Joins blocks that begin where the one before ends: the start and end of each run.
    pub(super) fn runs_of(&self, blocks: &[Block]) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for block in blocks {
            let end = block.offset.saturating_add(self.size_of(block));
            match runs.last_mut() {
                Some(run) if run.1 == block.offset => run.1 = end,
                _ => runs.push((block.offset, end)),
            }
        }
        runs
    }

    /// Whether order and alignment are possible in this space.
    pub(super) fn is_shaped(&self, block: &Block) -> bool {
        let largest = (self.space.size / self.space.chunk_size).ilog2();
        block.order <= largest && is_aligned(block.offset, self.size_of(block))
    }

    fn adds_up(&self, request: &AllocRequest, total: u64) -> bool {
        let AllocRequest { size, min_block_size, flags, .. } = *request;
        // If memory ran out, the allocator may not have been able to trim.
        let trimmed = !flags.contains(GpuBuddyAllocFlag::TrimDisable) && !self.faulted;
        let rounded = if flags.contains(GpuBuddyAllocFlag::Contiguous) {
            size.checked_next_power_of_two()
        } else {
            size.checked_next_multiple_of(min_block_size)
        };
        total == size || (!trimmed && Some(total) == rounded)
    }
}

fn is_aligned(offset: u64, alignment: u64) -> bool {
    // Invalid alignments are reported elsewhere.
    alignment.is_power_of_two() && offset & (alignment - 1) == 0
}
