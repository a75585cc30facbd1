//! The trees and lists of free blocks.

use core::ffi::c_void;

use crate::module::abi::{FREE_TREE, FREE_TWO_TREES, Head, Order, RECORD_FREE, Record};

use super::{FreeTree, Inconsistency, Scan};

impl<'a> Scan<'a> {
    pub(super) fn free_blocks(&mut self, orders: &[Order]) {
        let kinds: &[FreeTree] = match self.inspection.module.table().free_kind {
            FREE_TWO_TREES => &[FreeTree::Clear, FreeTree::Dirty],
            FREE_TREE => &[FreeTree::Single],
            _ => &[FreeTree::List],
        };
        let mut complete = true;
        for (index, &tree) in kinds.iter().enumerate() {
            for (order, heads) in (0..).zip(orders) {
                let head = &heads.heads[index];
                complete &= match tree {
                    FreeTree::List => self.free_list(head, order),
                    _ => self.free_tree(head.first, order, tree),
                };
            }
        }
        // If a tree could not be read to its end, blocks may seem to be missing.
        if complete {
            let mut outside: Vec<_> = self
                .blocks
                .values()
                .filter(|known| known.record.state == RECORD_FREE && !known.in_tree)
                .map(|known| (known.record.offset, known.record.order))
                .collect();
            outside.sort_unstable();
            let not_in_tree = |(offset, order)| Inconsistency::NotInTree { offset, order };
            self.found.extend(outside.into_iter().map(not_in_tree));
        }
    }

    /// The block of a node, if the node is a known one. Marks it as seen.
    fn enter(&mut self, node: *const c_void, order: u32, tree: FreeTree) -> Option<&'a Record> {
        let offset_in_block = self.inspection.module.table().node_offset as usize;
        let block = node.addr().wrapping_sub(offset_in_block);
        let Some(known) = self.blocks.get_mut(&block).filter(|known| !known.in_tree) else {
            self.found.push(Inconsistency::ForeignNode { order, tree });
            return None;
        };
        known.in_tree = true;
        let record = known.record;
        if record.state != RECORD_FREE || record.order != order || !tree.holds(record.clear) {
            let offset = record.offset;
            self.found.push(Inconsistency::WrongTree { offset, order, tree });
            if record.state != RECORD_FREE {
                // The memory of its node may be used for something else.
                return None;
            }
        }
        Some(record)
    }

    /// Checks one list. Returns false if it could not be read to its end.
    fn free_list(&mut self, head: &Head, order: u32) -> bool {
        let tree = FreeTree::List;
        // Not every kernel keeps it sorted.
        let (mut node, mut before) = (head.first, head.head);
        while node != head.head {
            let Some(record) = self.enter(node, order, tree) else { return false };
            let offset = record.offset;
            let [next, prev, _] = record.links;
            if prev as usize != before.addr() {
                self.found.push(Inconsistency::ParentLink { offset, order, tree });
            }
            (before, node) = (node, core::ptr::without_provenance(next as usize));
        }
        if head.last != before {
            self.found.push(Inconsistency::ForeignNode { order, tree });
        }
        true
    }

    /// Checks one tree. Returns false if it could not be read to its end.
    fn free_tree(&mut self, root: *const c_void, order: u32, tree: FreeTree) -> bool {
        let mut complete = true;
        if root.is_null() {
            return complete;
        }
        let mut nodes = core::mem::take(&mut self.nodes);
        let mut next = core::mem::take(&mut self.links);
        nodes.clear();
        next.push(Link { node: root.addr(), above: None, from: 0, to: u64::MAX });
        while let Some(Link { node, above, from, to }) = next.pop() {
            let address = core::ptr::without_provenance(node);
            let Some(record) = self.enter(address, order, tree) else {
                complete = false;
                continue;
            };
            let offset = record.offset;
            if !(from..to).contains(&offset) {
                self.found.push(Inconsistency::Unsorted { offset, order, tree });
            }
            let [parent_color, right, left] = record.links;
            let (left, right) = (left as usize, right as usize);
            // The lowest bit is the colour: 1 is black.
            let red = parent_color & 1 == 0;
            let above_node = above.map_or(0, |above: usize| nodes[above].node);
            if (parent_color & !3) as usize != above_node {
                self.found.push(Inconsistency::ParentLink { offset, order, tree });
            }
            if red && above.is_none_or(|above| nodes[above].red) {
                self.found.push(Inconsistency::RedNode { offset, order, tree });
            }
            let index = nodes.len();
            // A node out of order does not bound its descendants.
            let middle = offset.clamp(from, to);
            for (node, from, to) in [(left, from, middle), (right, middle, to)] {
                if node != 0 {
                    next.push(Link { node, above: Some(index), from, to });
                }
            }
            nodes.push(Node {
                node,
                above,
                is_left: above.is_some_and(|above| nodes[above].left == node),
                left,
                red,
                offset,
                black_heights: [0; 2],
                is_alignment: record.subtree_max_alignment,
                alignment: alignment(offset),
            });
        }
        if complete {
            self.fold_from_below(&mut nodes, order, tree);
        }
        (self.nodes, self.links) = (nodes, next);
        complete
    }

    /// Checks what each node says of its descendants. Nodes come after their parents.
    fn fold_from_below(&mut self, nodes: &mut [Node], order: u32, tree: FreeTree) {
        let augmented = self.inspection.module.has("offset_align");
        for index in (0..nodes.len()).rev() {
            let Node {
                above, is_left, red, offset, black_heights, is_alignment, alignment, ..
            } = nodes[index];
            let [left, right] = black_heights;
            if left != right {
                self.found.push(Inconsistency::BlackHeight { offset, order, tree });
            }
            if augmented && is_alignment != alignment {
                let (is, expected) = (is_alignment, alignment);
                self.found.push(Inconsistency::MaxAlignment { offset, order, is, expected });
            }
            if let Some(above) = above {
                let above = &mut nodes[above];
                above.black_heights[usize::from(!is_left)] = left.max(right) + u32::from(!red);
                above.alignment = above.alignment.max(alignment);
            }
        }
    }
}

/// A node of a tree of free blocks that is still to be read.
pub(super) struct Link {
    /// Its address.
    node: usize,
    /// The index of its parent.
    above: Option<usize>,
    /// Its offset must be in `from..to`.
    from: u64,
    to: u64,
}

/// A node of a tree of free blocks.
#[derive(Clone, Copy)]
pub(super) struct Node {
    /// Its address.
    node: usize,
    above: Option<usize>,
    /// Whether it is the left child.
    is_left: bool,
    left: usize,
    red: bool,
    offset: u64,
    /// The number of black nodes on a path down, to the left and to the right.
    black_heights: [u32; 2],
    /// The node's `subtree_max_alignment`, and the value computed so far.
    is_alignment: u32,
    alignment: u32,
}

/// The alignment of an offset as the C counts it: the number of trailing zero bits; for 0, more
/// than any other offset has.
fn alignment(offset: u64) -> u32 {
    if offset == 0 { u64::BITS + 1 } else { offset.trailing_zeros() }
}
