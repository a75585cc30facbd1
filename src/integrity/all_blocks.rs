//! The tree of all blocks.

use core::ffi::c_void;
use std::collections::hash_map::Entry;

use crate::module::abi::{RECORD_ALLOCATED, RECORD_FREE, RECORD_SPLIT, Record};

use super::{Inconsistency, Known, Scan};

impl<'a> Scan<'a> {
    /// Reads the records in the order in which the adapter wrote them. Reports a misplaced block,
    /// and continues below it.
    pub(super) fn tree_of_blocks(&mut self) {
        let state = self.inspection.state;
        let mut records = self.inspection.records.iter();
        let mut offset = 0;
        // The halves that are still to come, for each block on the way down.
        let mut waiting: Vec<Place> = Vec::new();
        for _ in 0..state.n_roots {
            let order = ((state.size - offset) / state.chunk_size).ilog2();
            // The root's address is known only after it is read.
            let Some(root) = records.next() else {
                self.found.push(Inconsistency::MissingBlock { offset, order });
                return;
            };
            let place = Place { block: root.block, offset, order, parent: core::ptr::null() };
            self.block(root, place, true, &mut waiting);
            while let Some(place) = waiting.pop() {
                let Place { block, offset, order, .. } = place;
                // The adapter did not read such a block.
                if block.is_null() || !block.cast::<u64>().is_aligned() {
                    self.found.push(Inconsistency::MissingBlock { offset, order });
                    continue;
                }
                let Some(record) = records.next() else { return };
                self.block(record, place, false, &mut waiting);
            }
            offset += self.block_size(order);
        }
        if self.inspection.endless {
            self.found.push(Inconsistency::Endless { live: self.inspection.records.len() });
        }
        self.unmerged();
    }

    /// Checks a block. `place` is where it should be.
    fn block(&mut self, record: &'a Record, place: Place, is_root: bool, waiting: &mut Vec<Place>) {
        let Record { block, offset, order, .. } = *record;
        let split = record.state == RECORD_SPLIT && order > 0;
        // The adapter descends into such a block, so the records of its halves follow.
        if split && (is_root || order <= place.order) {
            let order = order - 1;
            let right = offset.wrapping_add(self.block_size(order));
            let half = |block, offset| Place { block, offset, order, parent: record.block };
            waiting.push(half(record.right, right));
            waiting.push(half(record.left, offset));
        }
        match self.blocks.entry(block.addr()) {
            Entry::Occupied(_) => {
                let Place { offset, order, .. } = place;
                self.found.push(Inconsistency::MissingBlock { offset, order });
                return;
            }
            Entry::Vacant(entry) => _ = entry.insert(Known { record, in_tree: false }),
        }
        self.count(record);
        if record.parent != place.parent {
            self.found.push(Inconsistency::Parent { offset, order });
        }
        if !(RECORD_ALLOCATED..=RECORD_SPLIT).contains(&record.state)
            || (record.state == RECORD_SPLIT && order == 0)
        {
            self.found.push(Inconsistency::State { offset, order });
            return;
        }
        if record.state == RECORD_SPLIT && record.clear {
            self.found.push(Inconsistency::SplitClear { offset, order });
        }
        if (offset, order) != (place.offset, place.order) {
            let (expected_offset, expected_order) = (place.offset, place.order);
            self.found.push(if is_root {
                Inconsistency::Root { offset, order, expected_offset, expected_order }
            } else {
                Inconsistency::Half { offset, order, expected_offset, expected_order }
            });
        }
    }

    /// Finds buddies that should be merged. The record of a free left half is followed by that of the
    /// right half.
    fn unmerged(&mut self) {
        for records in self.inspection.records.windows(3) {
            if let [whole, left, right] = records
                && (whole.state, left.state, right.state)
                    == (RECORD_SPLIT, RECORD_FREE, RECORD_FREE)
                && (whole.left, whole.right) == (left.block, right.block)
                && left.clear == right.clear
                && left.block != right.block
            {
                let Record { offset, order, .. } = *whole;
                self.found.push(Inconsistency::Unmerged { offset, order });
            }
        }
    }
}

/// Where a block should be.
#[derive(Clone, Copy)]
struct Place {
    block: *const c_void,
    offset: u64,
    order: u32,
    parent: *const c_void,
}
