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

use crate::module::Inspection;
use crate::module::abi::{Order, RECORD_ALLOCATED, RECORD_FREE, Record};

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
    let mut scan =
        Scan { inspection, blocks, nodes: Vec::new(), links: Vec::new(), found: Vec::new() };
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

struct Scan<'a> {
    inspection: &'a Inspection,
    blocks: FxHashMap<usize, Known<'a>>,
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

    fn accounts(&mut self, kept: &[Order]) {
        let orders = kept.len();
        let (mut avail, mut clear_avail) = (0, 0);
        let (mut free, mut used) = (vec![0u64; orders], vec![0u64; orders]);
        for Known { record, .. } in self.blocks.values() {
            let order = record.order as usize;
            // Already reported.
            if order >= orders {
                continue;
            }
            let size = self.block_size(record.order);
            match record.state {
                RECORD_FREE => {
                    free[order] += 1;
                    avail += size;
                    clear_avail += if record.clear { size } else { 0 };
                }
                RECORD_ALLOCATED => used[order] += 1,
                _ => {}
            }
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
            let (free, used) = (free[order as usize], used[order as usize]);
            if kept.free_count != free {
                let (is, expected) = (kept.free_count, free);
                self.found.push(Inconsistency::FreeScoreboard { order, is, expected });
            }
            if kept.used_count != used {
                let (is, expected) = (kept.used_count, used);
                self.found.push(Inconsistency::UsedScoreboard { order, is, expected });
            }
        }
    }
}
