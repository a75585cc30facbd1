//! What is allocated: by id, and by place.

use core::ops::Range;
use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::diff::{Block, Id};

use super::chunk_set::{Bits, FEW_CHUNKS};

/// The blocks of each allocation.
#[derive(Clone, Debug, Default)]
pub(super) struct Allocations {
    allocations: FxHashMap<Id, Vec<Block>>,
    /// Kept for reuse, to save memory allocations.
    spare: Vec<Vec<Block>>,
}

impl Allocations {
    pub fn insert(&mut self, id: Id, blocks: &[Block]) {
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.extend_from_slice(blocks);
        self.allocations.insert(id, kept);
    }

    pub fn remove(&mut self, id: Id) -> Vec<Block> {
        self.allocations.remove(&id).unwrap_or_default()
    }

    pub fn remove_block(&mut self, id: Id, index: usize) -> Option<Block> {
        let blocks = self.allocations.get_mut(&id)?;
        (index < blocks.len()).then(|| blocks.remove(index))
    }

    /// Keeps the memory of what [`remove`](Self::remove) returned.
    pub fn recycle(&mut self, mut blocks: Vec<Block>) {
        if blocks.capacity() > 0 {
            blocks.clear();
            self.spare.push(blocks);
        }
    }
}

/// Allocated blocks by place, in chunks.
#[derive(Clone, Debug)]
pub(super) enum Occupancy {
    Few {
        /// A block's order plus 1 at its first chunk; 0 elsewhere.
        orders: Vec<u8>,
        taken: Bits,
        count: usize,
    },
    /// The order of each block by its first chunk; and the number of chunks.
    Many(BTreeMap<u64, u32>, u64),
}

impl Occupancy {
    /// An empty one, for a space of this many chunks.
    pub fn new(chunks: u64) -> Self {
        if chunks <= FEW_CHUNKS {
            Self::Few { orders: vec![0; chunks as usize], taken: Bits::new(chunks), count: 0 }
        } else {
            Self::Many(BTreeMap::new(), chunks)
        }
    }

    fn chunks(&self) -> u64 {
        match self {
            Self::Few { orders, .. } => orders.len() as u64,
            Self::Many(_, chunks) => *chunks,
        }
    }

    /// Adds a block inside the space. Returns false if it overlaps another one.
    pub fn insert(&mut self, start: u64, order: u32) -> bool {
        let range = start..start + (1 << order);
        let is_free = self.is_free(range.clone());
        match self {
            Self::Few { orders, taken, count } => {
                taken.insert(range);
                let before = core::mem::replace(&mut orders[start as usize], order as u8 + 1);
                *count += usize::from(before == 0);
            }
            Self::Many(blocks, _) => {
                blocks.insert(start, order);
            }
        }
        is_free
    }

    /// Removes a block that was added.
    pub fn remove(&mut self, start: u64, order: u32) {
        match self {
            Self::Few { orders, taken, count } => {
                taken.remove(start..start + (1 << order));
                let before = core::mem::take(&mut orders[start as usize]);
                *count -= usize::from(before != 0);
            }
            Self::Many(blocks, _) => {
                blocks.remove(&start);
            }
        }
    }

    /// The block that contains a chunk of the space: its first chunk and its order.
    pub fn at(&self, chunk: u64) -> Option<(u64, u32)> {
        match self {
            Self::Few { orders, .. } => (0..=orders.len().ilog2()).find_map(|order| {
                let start = chunk >> order << order;
                (u32::from(orders[start as usize]) == order + 1).then_some((start, order))
            }),
            Self::Many(blocks, _) => {
                let (&start, &order) = blocks.range(..=chunk).next_back()?;
                (chunk - start < 1 << order).then_some((start, order))
            }
        }
    }

    /// Whether nothing is allocated in a range of the space.
    pub fn is_free(&self, range: Range<u64>) -> bool {
        match self {
            Self::Few { taken, .. } => !taken.has_any(range),
            Self::Many(blocks, _) => {
                let last = blocks.range(..range.end).next_back();
                range.is_empty()
                    || last.is_none_or(|(start, order)| start + (1 << order) <= range.start)
            }
        }
    }

    /// Whether no range of `length` free chunks begins at a multiple of `align` inside `within`, if
    /// that is quick to decide; false if not.
    pub fn has_no_run(&self, within: Range<u64>, length: u64, align: u64) -> bool {
        let Self::Few { taken, .. } = self else { return false };
        let Range { mut start, end } = within;
        while let Some(from) = start.checked_next_multiple_of(align)
            && end.saturating_sub(from) >= length
        {
            // Every range that begins at or before the last allocated chunk contains it.
            match taken.last(from..from + length) {
                Some(last) => start = last + 1,
                None => return false,
            }
        }
        true
    }

    /// Calls `visit` with the maximal free ranges inside `within`, by ascending offset, until it
    /// returns false.
    pub fn free_runs(&self, within: Range<u64>, mut visit: impl FnMut(Range<u64>) -> bool) {
        let Range { mut start, end } = within.start..within.end.min(self.chunks());
        match self {
            Self::Few { taken, .. } => {
                while start < end {
                    let from = taken.find(false, start, end);
                    start = taken.find(true, from, end);
                    if from < start && !visit(from..start) {
                        return;
                    }
                }
            }
            Self::Many(blocks, _) => {
                if let Some((block, order)) = self.at(start.min(self.chunks() - 1)) {
                    start = start.max(block + (1 << order));
                }
                for (&block, &order) in blocks.range(start.min(end)..end) {
                    if start < block && !visit(start..block) {
                        return;
                    }
                    start = block + (1 << order);
                }
                if start < end {
                    visit(start..end);
                }
            }
        }
    }

    /// The number of allocated blocks.
    pub fn count(&self) -> usize {
        match self {
            Self::Few { count, .. } => *count,
            Self::Many(blocks, _) => blocks.len(),
        }
    }
}
