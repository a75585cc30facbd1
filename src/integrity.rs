//! Checks that the C's own data structures agree with each other: the tree of blocks, the trees of
//! free blocks, and the counters.

mod all_blocks;
mod free_blocks;
mod free_trees;
mod inconsistency;
#[cfg(test)]
mod tests;

use free_blocks::{Link, Node};
pub use free_trees::FreeTrees;
pub(crate) use free_trees::{TreeShape, free_trees};
pub use inconsistency::{FreeTree, Inconsistency};

use core::ffi::c_void;

use rustc_hash::FxHashMap;

use crate::module::abi::{Order, RECORD_ALLOCATED, RECORD_FREE, Record};
use crate::module::{Inspection, MOST_ORDERS};

/// Checks what was read of an initialised allocator. `orders` are read only after the sizes of the
/// arrays are known to be right. A wrong pointer is reported, not followed: only blocks that the
/// tree of blocks leads to are read. Also returns the number of these.
///
/// # Safety
///
/// `mm` is the allocator that was inspected, and has not changed since.
pub(crate) unsafe fn scan(
    mm: *const c_void,
    inspection: &Inspection,
) -> (Vec<Inconsistency>, usize) {
    let blocks = FxHashMap::with_capacity_and_hasher(inspection.records.len(), Default::default());
    let mut scan = Scan {
        inspection,
        blocks,
        counts: [Count::default(); MOST_ORDERS],
        nodes: Vec::new(),
        links: Vec::new(),
        found: Vec::new(),
    };
    if scan.has_shape() {
        // SAFETY: as the caller says, and `has_shape` found `max_order` right, so the arrays have
        // that many orders.
        let orders = unsafe { inspection.module.orders(mm, inspection.state.max_order) };
        scan.tree_of_blocks();
        scan.free_blocks(&orders);
        scan.accounts(&orders);
    }
    (scan.found, scan.blocks.len())
}

/// The highest order and the number of roots that follow from the size.
fn shape(inspection: &Inspection) -> (u32, u32) {
    let chunks = inspection.state.size / inspection.state.chunk_size;
    (chunks.ilog2(), chunks.count_ones())
}

/// A block that the tree of blocks leads to.
struct Known<'a> {
    record: &'a Record,
    in_tree: bool,
}

/// The numbers of blocks of an order.
#[derive(Clone, Copy, Default)]
struct Count {
    dirty: u64,
    clear: u64,
    used: u64,
}

struct Scan<'a> {
    inspection: &'a Inspection,
    blocks: FxHashMap<usize, Known<'a>>,
    /// By order.
    counts: [Count; MOST_ORDERS],
    /// The nodes of one tree, and the links still to be read. Reused for the next tree.
    nodes: Vec<Node>,
    links: Vec<Link>,
    found: Vec<Inconsistency>,
}

impl<'a> Scan<'a> {
    /// Whether the arrays have the length that follows from the size. If not, nothing can be read
    /// safely.
    fn has_shape(&mut self) -> bool {
        let state = self.inspection.state;
        let (max_order, roots) = shape(self.inspection);
        if state.max_order != max_order {
            let is = state.max_order;
            self.found.push(Inconsistency::MaxOrder { is, expected: max_order });
        }
        if state.n_roots != roots {
            self.found.push(Inconsistency::RootCount { is: state.n_roots, expected: roots });
        }
        self.found.is_empty()
    }

    fn block_size(&self, order: u32) -> u64 {
        self.inspection.state.chunk_size << order
    }

    fn count(&mut self, record: &Record) {
        // An order that is too high is reported elsewhere.
        let Some(count) = self.counts.get_mut(record.order as usize) else { return };
        match (record.state, record.clear) {
            (RECORD_FREE, false) => count.dirty += 1,
            (RECORD_FREE, true) => count.clear += 1,
            (RECORD_ALLOCATED, _) => count.used += 1,
            _ => {}
        }
    }

    fn accounts(&mut self, kept: &[Order]) {
        // Wrong orders may add up to more than 64 bits.
        let (mut avail, mut clear_avail) = (0_u64, 0_u64);
        for (order, &Count { dirty, clear, .. }) in (0..).zip(&self.counts[..kept.len()]) {
            let bytes = |blocks: u64| blocks.wrapping_mul(self.block_size(order));
            avail = avail.wrapping_add(bytes(dirty + clear));
            clear_avail = clear_avail.wrapping_add(bytes(clear));
        }
        let state = self.inspection.state;
        if state.avail != avail {
            self.found.push(Inconsistency::Avail { is: state.avail, expected: avail });
        }
        if state.clear_avail != clear_avail {
            let is = state.clear_avail;
            self.found.push(Inconsistency::ClearAvail { is, expected: clear_avail });
        }
        if !self.inspection.module.has("scoreboard") {
            return;
        }
        for (order, kept) in (0u32..).zip(kept) {
            let Count { dirty, clear, used } = self.counts[order as usize];
            if kept.free_count != dirty + clear {
                let (is, expected) = (kept.free_count, dirty + clear);
                self.found.push(Inconsistency::FreeScoreboard { order, is, expected });
            }
            if kept.used_count != used {
                let (is, expected) = (kept.used_count, used);
                self.found.push(Inconsistency::UsedScoreboard { order, is, expected });
            }
        }
    }
}
