//! Records the numbers for a plot, call by call.

use gpu_buddy::diff::{NotCreated, Operation, TraceFile};
use gpu_buddy::module::Module;
use gpu_buddy::{BlockState, Snapshot};

use crate::map::state::{Stopped, start};

/// Maximum number of columns and samples, plus one at each end.
pub const COLUMNS: usize = 600;

/// Maximum number of blocks to visit, about one second in a debug build. A large tree is read less
/// often.
const VISITS: usize = 12 << 20;

/// Page sizes of GPUs: a block of this size is mapped with one entry.
const PAGES: [u64; 2] = [64 << 10, 2 << 20];

/// The state after some operations.
#[derive(Clone, Debug, Default)]
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
#[derive(Clone, Copy, Debug, Default)]
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
    /// Why the trace stopped early, if it did.
    pub stopped: Option<Stopped>,
}

/// Runs a trace on a kernel, without checks.
pub fn record(file: &TraceFile, module: Module) -> Result<Series, NotCreated> {
    let operations = &file.trace().operations;
    let mut pair = start(file, module)?;
    let Some(first) = pair.snapshot() else { unreachable!("a kernel has a state until a BUG") };
    let pages = PAGES
        .into_iter()
        .filter(|&page| first.chunk_size < page && page <= first.chunk_size << first.max_order());
    let mut series = Series {
        chunk_size: first.chunk_size,
        size: first.size,
        operations: 0,
        samples: Vec::new(),
        columns: Vec::new(),
        pages: pages.collect(),
        stopped: None,
    };
    let mut sampler = Sampler { calls: operations.len(), next: 0 };
    let accounts = pair.accounts();
    series.columns.push(Column {
        free: (accounts.avail, accounts.avail),
        clear: (accounts.clear_avail, accounts.clear_avail),
        ..Column::default()
    });
    sampler.take(&first, 0, &mut series);
    let width = operations.len().div_ceil(COLUMNS).max(1);
    for (index, operation) in operations.iter().enumerate() {
        if *operation == Operation::Fini {
            // Nothing is left after it.
            series.stopped = Some(Stopped::Fini);
            break;
        }
        pair.step(operation);
        if let Some(bug) = pair.bug() {
            series.stopped = Some(Stopped::Bug(bug));
            break;
        }
        series.operations = index + 1;
        let (accounts, steps) = (pair.accounts(), pair.costs().0);
        if index % width == 0 {
            series.columns.push(Column {
                free: (u64::MAX, 0),
                clear: (u64::MAX, 0),
                ..Column::default()
            });
        }
        if let Some(column) = series.columns.last_mut() {
            let wider = |(low, high): (u64, u64), to: u64| (low.min(to), high.max(to));
            column.operations = index + 1;
            column.free = wider(column.free, accounts.avail);
            column.clear = wider(column.clear, accounts.clear_avail);
            column.steps = column.steps.max(steps);
        }
        let ends = matches!(operations.get(index + 1), None | Some(Operation::Fini));
        if (ends || sampler.is_due(index + 1))
            && let Some(snapshot) = pair.snapshot()
        {
            sampler.take(&snapshot, index + 1, &mut series);
        }
    }
    Ok(series)
}

/// Decides when to read the whole state.
struct Sampler {
    /// Number of calls of the trace.
    calls: usize,
    /// The number of operations after which to read it next.
    next: usize,
}

impl Sampler {
    fn is_due(&self, operations: usize) -> bool {
        operations >= self.next
    }

    fn take(&mut self, snapshot: &Snapshot, operations: usize, series: &mut Series) {
        let blocks = snapshot.blocks.len();
        let rarely = blocks.saturating_mul(self.calls) / VISITS;
        self.next = operations + self.calls.div_ceil(COLUMNS).max(rarely).max(1);
        series.samples.push(sample(snapshot, operations, &series.pages));
    }
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
