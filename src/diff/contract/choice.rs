//! Whether an allocation took clear memory and the highest place when it had a choice.
//!
//! The documentation does not say in which order blocks of different sizes are tried. So a block is
//! compared only with free blocks that could have taken its place as they are: of the same size or
//! larger and, if the allocation has several blocks, not used by it.

use core::ops::Range;

use crate::diff::Operation;
use crate::{AllocRequest, BlockState, GpuBuddyAllocFlag, Snapshot};

use super::{Block, Contract, Detail, Promise, Space};

/// What the allocator picked as one block, before it was trimmed.
#[derive(Clone, Copy)]
struct Pick {
    offset: u64,
    size: u64,
    clear: bool,
}

impl Contract {
    /// Whether the choice of an operation is judged.
    pub(in crate::diff) fn judges_choice(operation: &Operation) -> bool {
        matches!(operation, Operation::Alloc { request, .. }
            if request.top_down || request.flags.contains(GpuBuddyAllocFlag::Clear))
    }

    /// Judges the choice of an allocation. `before` is the state before it.
    pub(super) fn check_choice(
        &mut self,
        request: &AllocRequest,
        blocks: &[Block],
        before: &Snapshot,
    ) {
        let wants_clear = self.tracks_clear && request.flags.contains(GpuBuddyAllocFlag::Clear);
        let exact = request.range && request.start.checked_add(request.size) == Some(request.end);
        // An exact range leaves no choice. An empty range is not judged here. If memory ran out,
        // the preferred block may have been out of reach.
        let bounds = if request.range { request.start..request.end } else { 0..self.space.size };
        if self.faulted || exact || bounds.is_empty() || !(wants_clear || request.top_down) {
            return;
        }
        let picks = self.picks(request, blocks);
        let single = picks.len() == 1 && self.runs_of(blocks).len() == 1;
        let free: Vec<_> = before
            .leaves()
            .filter(|leaf| leaf.state == BlockState::Free)
            .map(|leaf| (leaf.offset..leaf.offset + before.block_size(leaf), leaf.clear))
            .filter(|(range, _)| {
                // A single block could have been any free block.
                single
                    || blocks.iter().all(|block| {
                        block.offset >= range.end
                            || block.offset + self.size_of(block) <= range.start
                    })
            })
            .collect();
        for pick in picks {
            let align = pick.size.max(request.min_block_size);
            // The highest place in a free block, if there is one.
            let place = |range: &Range<u64>| {
                let (start, end) = (range.start.max(bounds.start), range.end.min(bounds.end));
                let place = end.checked_sub(pick.size)? / align * align;
                (place >= start).then_some(place)
            };
            let block = Block {
                offset: pick.offset,
                order: (pick.size / self.space.chunk_size).ilog2(),
                clear: pick.clear,
            };
            let is_whole_root = |range: &Range<u64>, place: u64| {
                self.is_root(range) && place.saturating_add(align) <= range.end.min(bounds.end)
            };
            let clear = free.iter().filter(|(_, clear)| *clear);
            let places = clear.filter_map(|(range, _)| {
                let place = place(range)?;
                Some((place, is_whole_root(range, place)))
            });
            // A place in a root that is not split is the strongest evidence.
            let best = places.reduce(|best, other| if best.1 { best } else { other });
            if wants_clear
                && !pick.clear
                && let Some((place, in_whole_root)) = best
            {
                let detail = Detail::Place { block, place, in_whole_root };
                self.breach(Promise::PrefersClear, detail);
            }
            let alike = free.iter().filter(|(_, clear)| *clear == pick.clear);
            if request.top_down
                && let Some(place) = alike.filter_map(|(range, _)| place(range)).max()
                && place > pick.offset
            {
                let detail = Detail::Place { block, place, in_whole_root: false };
                self.breach(Promise::TopDown, detail);
            }
        }
    }

    /// Whether a root covers this range. There is a root for each bit of the number of chunks, the
    /// largest first.
    fn is_root(&self, range: &Range<u64>) -> bool {
        let Space { size, chunk_size, .. } = self.space;
        let (chunks, own) = (size / chunk_size, (range.end - range.start) / chunk_size);
        chunks & own != 0 && range.start / chunk_size == chunks & !(own | (own - 1))
    }

    /// The blocks as they were picked, as far as this can be inferred.
    fn picks(&self, request: &AllocRequest, blocks: &[Block]) -> Vec<Pick> {
        let AllocRequest { size, min_block_size, flags, .. } = *request;
        let contiguous = flags.contains(GpuBuddyAllocFlag::Contiguous);
        let rounded = if contiguous {
            size.checked_next_power_of_two()
        } else if size < min_block_size && size.is_power_of_two() {
            Some(size)
        } else {
            size.checked_next_multiple_of(min_block_size)
        };
        let Some(rounded) = rounded else { return Vec::new() };
        let picks = blocks.iter().map(|block| Pick {
            offset: block.offset,
            size: self.size_of(block),
            clear: block.clear,
        });
        let runs = self.runs_of(blocks);
        let trimmed = picks.clone().map(|pick| pick.size).sum::<u64>() != rounded;
        match *runs {
            // One block of a power of two, and what trimming left of it.
            [(offset, _)] if rounded.is_power_of_two() && offset.is_multiple_of(rounded) => {
                let clear = blocks[0].clear;
                let alike = blocks.iter().all(|block| block.clear == clear);
                alike.then_some(Pick { offset, size: rounded, clear }).into_iter().collect()
            }
            // Adjacent blocks, which had to fit together.
            _ if contiguous => Vec::new(),
            // The blocks of the last run are parts of a larger, trimmed one.
            [.., (start, _)] if trimmed => picks.take_while(|pick| pick.offset < start).collect(),
            _ => picks.collect(),
        }
    }
}
