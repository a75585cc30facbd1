//! Records the numbers for a plot, call by call.

use gpu_buddy::diff::{Lockstep, Operation, Outcome};
use gpu_buddy::{BlockState, Snapshot};
use serde::{Deserialize, Serialize};

use crate::follow::{Observer, What};

/// Maximum number of columns and samples, plus one at each end.
pub const COLUMNS: usize = 600;

/// Maximum number of blocks to visit, about one second in a debug build. A large tree is read less
/// often.
const VISITS: usize = 12 << 20;

/// Page sizes of GPUs: a block of this size is mapped with one entry.
const PAGES: [u64; 2] = [64 << 10, 2 << 20];

/// The state after some operations.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Number of operations before it.
    pub operations: usize,
    /// In bytes.
    pub largest_free_block: u64,
    pub longest_free_run: u64,
    /// Share of the free memory outside the largest free block.
    pub outside_largest: f64,
    /// For each size of [`Series::pages`], the share of the free memory in smaller blocks.
    pub unusable: Vec<f64>,
    /// Blocks by order.
    pub free: Vec<u64>,
    pub allocated: Vec<u64>,
}

/// Adjacent calls that are drawn as one column.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Column {
    /// Number of operations up to the last of them.
    pub operations: usize,
    /// The least and the most free bytes.
    pub free: (u64, u64),
    pub clear: (u64, u64),
    /// The steps of the most expensive call, if there was one.
    pub steps: Option<u64>,
}

/// All numbers of a plot.
#[derive(Serialize, Deserialize)]
pub struct Series {
    pub chunk_size: u64,
    pub size: u64,
    /// Number of operations that ran and are shown.
    pub operations: usize,
    pub samples: Vec<Sample>,
    /// The first one is the state before the first operation.
    pub columns: Vec<Column>,
    /// The sizes of [`Sample::unusable`].
    pub pages: Vec<u64>,
}

/// Records the numbers.
pub struct Plotter {
    series: Series,
    /// The number of operations, and how many of them are drawn as one column.
    operations: usize,
    width: usize,
    /// The number of operations after which the whole state is read next.
    next: usize,
}

impl Observer for Plotter {
    type Seen = Series;
    const WHAT: What = What::Series;

    fn begin(operations: usize, pair: &mut Lockstep) -> Self {
        let first = state(pair);
        let largest = first.chunk_size << first.max_order();
        let pages = PAGES.into_iter().filter(|&page| first.chunk_size < page && page <= largest);
        let accounts = pair.accounts();
        let column = Column {
            free: (accounts.avail, accounts.avail),
            clear: (accounts.clear_avail, accounts.clear_avail),
            ..Column::default()
        };
        let series = Series {
            chunk_size: first.chunk_size,
            size: first.size,
            operations: 0,
            samples: Vec::new(),
            columns: vec![column],
            pages: pages.collect(),
        };
        let width = operations.div_ceil(COLUMNS).max(1);
        let mut plotter = Self { series, operations, width, next: 0 };
        plotter.take(&first, 0);
        plotter
    }

    fn observe(&mut self, index: usize, _: &Operation, _: Outcome, pair: &mut Lockstep) {
        let columns = &mut self.series.columns;
        self.series.operations = index + 1;
        let (accounts, steps) = (pair.accounts(), pair.costs().0);
        if index.is_multiple_of(self.width) {
            let none = (u64::MAX, 0);
            columns.push(Column { free: none, clear: none, ..Column::default() });
        }
        if let Some(column) = columns.last_mut() {
            let wider = |(low, high): (u64, u64), to: u64| (low.min(to), high.max(to));
            column.operations = index + 1;
            column.free = wider(column.free, accounts.avail);
            column.clear = wider(column.clear, accounts.clear_avail);
            column.steps = column.steps.max(steps);
        }
        // The last state is always read.
        if index + 1 >= self.next.min(self.operations) {
            self.take(&state(pair), index + 1);
        }
    }

    fn end(self, _: &mut Lockstep) -> Series {
        self.series
    }
}

impl Plotter {
    fn take(&mut self, snapshot: &Snapshot, operations: usize) {
        let blocks = snapshot.blocks.len();
        let rarely = blocks.saturating_mul(self.operations) / VISITS;
        self.next = operations + self.operations.div_ceil(COLUMNS).max(rarely).max(1);
        self.series.samples.push(sample(snapshot, operations, &self.series.pages));
    }
}

fn state(pair: &mut Lockstep) -> Snapshot {
    let Some(snapshot) = pair.snapshot() else { unreachable!("a kernel has a state until a BUG") };
    snapshot
}

fn sample(snapshot: &Snapshot, operations: usize, pages: &[u64]) -> Sample {
    let largest = snapshot.largest_free_block();
    let run = snapshot.longest_free_run();
    let statistics = snapshot.statistics();
    Sample {
        operations,
        largest_free_block: largest,
        longest_free_run: run.end - run.start,
        outside_largest: outside_largest(snapshot),
        unusable: pages.iter().map(|&page| unusable(snapshot, page)).collect(),
        free: statistics.iter().map(|order| order.free()).collect(),
        allocated: statistics.iter().map(|order| order.allocated).collect(),
    }
}

fn free_sizes(snapshot: &Snapshot) -> impl Iterator<Item = u64> {
    let free = snapshot.leaves().filter(|block| block.state == BlockState::Free);
    free.map(|block| snapshot.block_size(block))
}

/// The unusable free space index: the share of the free memory in blocks below `size` bytes. 1 if
/// nothing is free, as in the kernel's index for its page allocator.
pub fn unusable(snapshot: &Snapshot, size: u64) -> f64 {
    let small = free_sizes(snapshot).filter(|&block| block < size).sum();
    part(small, free_sizes(snapshot).sum())
}

fn outside_largest(snapshot: &Snapshot) -> f64 {
    let free: u64 = free_sizes(snapshot).sum();
    part(free - snapshot.largest_free_block().min(free), free)
}

fn part(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

impl Series {
    /// From the smallest to the largest order that has a block at some time.
    pub fn orders(&self) -> core::ops::Range<usize> {
        let count = self.samples.first().map_or(0, |sample| sample.free.len());
        let used = |order: &usize| {
            self.samples.iter().any(|sample| sample.free[*order] + sample.allocated[*order] > 0)
        };
        let first = (0..count).find(used).unwrap_or(0);
        first..(0..count).rfind(used).map_or(first, |last| last + 1)
    }

    /// The largest number of operations between two samples.
    pub fn sample_interval(&self) -> usize {
        let pairs = self.samples.windows(2);
        pairs.map(|pair| pair[1].operations - pair[0].operations).max().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpu_buddy::BlockInfo;

    /// 16 free chunks: blocks of 8, 4 and 2 chunks, and two single chunks.
    #[test]
    fn the_index_is_the_share_in_smaller_blocks() {
        let mut offset = 0;
        let mut block = |order: u32, state| {
            let block = BlockInfo { offset, order, state, clear: false };
            offset += 4096 << order;
            block
        };
        let free = [3, 2, 1, 0, 0].map(|order| block(order, BlockState::Free));
        let allocated = block(4, BlockState::Allocated);
        let blocks = free.into_iter().chain([allocated]).collect();
        let snapshot =
            Snapshot { chunk_size: 4096, size: 32 << 12, avail: 0, clear_avail: 0, blocks };
        let index = [4, 8, 16, 32, 64].map(|size| unusable(&snapshot, size << 10));
        assert_eq!(index, [0.0, 2.0 / 16.0, 4.0 / 16.0, 8.0 / 16.0, 1.0]);
        assert_eq!(outside_largest(&snapshot), 0.5);
        let full = Snapshot { blocks: vec![allocated], ..snapshot };
        assert_eq!((unusable(&full, 8192), outside_largest(&full)), (1.0, 1.0));
    }
}
