//! Scans the C's own structures: the tree of blocks, the trees of free blocks
//! and the accounts have to agree with each other.

mod free_trees;
#[cfg(test)]
mod tests;

pub use free_trees::FreeTrees;
pub(crate) use free_trees::{TreeShape, free_trees};

use core::ffi::c_void;
use core::fmt;

use rustc_hash::FxHashMap;

use crate::module::Inspection;
use crate::module::abi::{
    FREE_TREE, FREE_TWO_TREES, Head, Order, RECORD_ALLOCATED, RECORD_FREE, RECORD_SPLIT, Record,
};

/// Where the C's own structures contradict each other. Offsets and sizes are in
/// bytes, from the start of the space; a block has `chunk_size << order` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Inconsistency {
    /// The highest order is that of the largest block that fits.
    #[error("max_order is {is}, not {expected}")]
    MaxOrder { is: u32, expected: u32 },

    /// There is a root for each bit of the size.
    #[error("there are {is} roots, not {expected}")]
    RootCount { is: u32, expected: u32 },

    /// The roots tile the space, the largest first.
    #[error("the root at {expected_offset} of order {expected_order} is at {offset} of {order}")]
    Root { offset: u64, order: u32, expected_offset: u64, expected_order: u32 },

    /// A root or a half is a block of its own.
    #[error("the block that should be at {offset}, of order {order}, is missing or used twice")]
    MissingBlock { offset: u64, order: u32 },

    /// The halves of a split block tile it.
    #[error("the half at {expected_offset} of order {expected_order} is at {offset} of {order}")]
    Half { offset: u64, order: u32, expected_offset: u64, expected_order: u32 },

    /// A half knows what it is half of; a root is half of nothing.
    #[error("the block at {offset} of order {order} has the wrong parent")]
    Parent { offset: u64, order: u32 },

    /// A block is free, allocated or split, and above order 0 if split.
    #[error("the block at {offset} of order {order} has no valid state")]
    State { offset: u64, order: u32 },

    /// A split block has no clear state of its own.
    #[error("the split block at {offset} of order {order} is marked clear")]
    SplitClear { offset: u64, order: u32 },

    /// Two free buddies of the same clear state are merged.
    #[error("the halves of the block at {offset} of order {order} are free, alike and not merged")]
    Unmerged { offset: u64, order: u32 },

    /// A free block is in a tree.
    #[error("the free block at {offset} of order {order} is in no tree or list of free ones")]
    NotInTree { offset: u64, order: u32 },

    /// What is in a tree is free, and of the tree's order and clear state.
    #[error("the block at {offset} is in the wrong tree: {}", Named(*tree, *order))]
    WrongTree { offset: u64, order: u32, tree: FreeTree },

    /// A tree holds blocks of this allocator, each once.
    #[error("there is a node that is no block, or is there twice, in {}", Named(*tree, *order))]
    ForeignNode { order: u32, tree: FreeTree },

    /// A tree is sorted by offset.
    #[error("the block at {offset} is out of order in {}", Named(*tree, *order))]
    Unsorted { offset: u64, order: u32, tree: FreeTree },

    /// A node of a tree is linked to the one above, one of a list to the one before.
    #[error("the block at {offset} has a wrong link back in {}", Named(*tree, *order))]
    ParentLink { offset: u64, order: u32, tree: FreeTree },

    /// A red node, and so the root, is not below a red one or a root itself.
    #[error("the block at {offset} is red where it must not be in {}", Named(*tree, *order))]
    RedNode { offset: u64, order: u32, tree: FreeTree },

    /// Below a node, each way down meets the same number of black ones.
    #[error("the block at {offset} is unbalanced in {}", Named(*tree, *order))]
    BlackHeight { offset: u64, order: u32, tree: FreeTree },

    /// A node knows the best alignment below, as a number of zero bits.
    #[error(
        "the block at {offset} of order {order} has subtree_max_alignment {is}, not {expected}"
    )]
    MaxAlignment { offset: u64, order: u32, is: u32, expected: u32 },

    /// Free bytes are those of the free blocks.
    #[error("avail is {is}, but {expected} bytes are free")]
    Avail { is: u64, expected: u64 },

    /// Clear bytes are those of the clear free blocks.
    #[error("clear_avail is {is}, but {expected} bytes are free and clear")]
    ClearAvail { is: u64, expected: u64 },

    /// Free blocks are counted by order.
    #[error("of order {order}, {is} blocks are counted as free, not {expected}")]
    FreeScoreboard { order: u32, is: u64, expected: u64 },

    /// Allocated blocks are counted by order.
    #[error("of order {order}, {is} blocks are counted as allocated, not {expected}")]
    UsedScoreboard { order: u32, is: u64, expected: u64 },

    /// There are no more blocks than objects that are alive.
    #[error("the tree of blocks has more than the {live} blocks that are alive")]
    Endless { live: usize },

    /// An object that is alive is a block of the tree or one of a few arrays.
    #[error("{is} objects are alive, but {expected} are in use")]
    LiveObjects { is: usize, expected: usize },
}

/// A structure that holds the free blocks of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FreeTree {
    /// The tree of clear blocks.
    Clear,
    /// The tree of dirty blocks.
    Dirty,
    /// The one tree of a kernel that has no two.
    Single,
    /// The list of a kernel that has no trees.
    List,
}

impl fmt::Display for FreeTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear => "the clear tree",
            Self::Dirty => "the dirty tree",
            Self::Single => "the free tree",
            Self::List => "the free list",
        })
    }
}

impl FreeTree {
    /// Whether a free block of this clear state belongs in it.
    fn holds(self, clear: bool) -> bool {
        match self {
            Self::Clear => clear,
            Self::Dirty => !clear,
            Self::Single | Self::List => true,
        }
    }
}

/// A structure with its order, for messages.
struct Named(FreeTree, u32);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of order {}", self.0, self.1)
    }
}

/// Scans what was read of an initialised allocator, whose `orders` are read when
/// the shape is known to be right. What is wrong is found, and not followed: only
/// blocks that the tree of blocks leads to count. Returns how many these were, too.
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
        // SAFETY: as the caller says, and there are arrays for so many orders.
        let orders = unsafe { inspection.module.orders(mm, inspection.state.max_order) };
        scan.tree_of_blocks();
        scan.free_blocks(&orders);
        scan.accounts(&orders);
    }
    (scan.found, scan.blocks.len())
}

/// A block that the tree of blocks leads to.
struct Known<'a> {
    record: &'a Record,
    in_tree: bool,
}

struct Scan<'a> {
    inspection: &'a Inspection,
    blocks: FxHashMap<usize, Known<'a>>,
    /// The nodes of one tree, and those that are still to be read. Kept for the
    /// next tree.
    nodes: Vec<Node>,
    links: Vec<Link>,
    found: Vec<Inconsistency>,
}

impl<'a> Scan<'a> {
    /// Whether the arrays have the length that the size calls for. Otherwise
    /// nothing can be read safely.
    fn has_shape(&mut self) -> bool {
        let state = self.inspection.state;
        let chunks = state.size / state.chunk_size;
        let (max_order, roots) = (chunks.ilog2(), chunks.count_ones());
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

    /// Goes through the records as the C wrote them. A block that is not where it
    /// should be is found, and so is what is below it.
    fn tree_of_blocks(&mut self) {
        let state = self.inspection.state;
        let mut records = self.inspection.records.iter();
        let mut offset = 0;
        // The halves of each block on the way down that are to come.
        let mut waiting: Vec<Place> = Vec::new();
        for _ in 0..state.n_roots {
            let order = ((state.size - offset) / state.chunk_size).ilog2();
            // Which block is the root is not known before it is read.
            let Some(root) = records.next() else {
                self.found.push(Inconsistency::MissingBlock { offset, order });
                return;
            };
            let place = Place { block: root.block, offset, order, parent: core::ptr::null() };
            self.block(root, place, true, &mut waiting);
            while let Some(place) = waiting.pop() {
                let Place { block, offset, order, .. } = place;
                // Such a block was not read.
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

    /// Looks at a block. `place` is where it should be.
    fn block(&mut self, record: &'a Record, place: Place, is_root: bool, waiting: &mut Vec<Place>) {
        let Record { block, offset, order, .. } = *record;
        let split = record.state == RECORD_SPLIT && order > 0;
        // The C goes on below such a block; so the records of its halves follow.
        if split && (is_root || order <= place.order) {
            let order = order - 1;
            let right = offset.wrapping_add(self.block_size(order));
            let half = |block, offset| Place { block, offset, order, parent: record.block };
            waiting.push(half(record.right, right));
            waiting.push(half(record.left, offset));
        }
        if self.blocks.contains_key(&block.addr()) {
            let Place { offset, order, .. } = place;
            self.found.push(Inconsistency::MissingBlock { offset, order });
            return;
        }
        self.blocks.insert(block.addr(), Known { record, in_tree: false });
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

    /// Finds buddies that should be one block.
    fn unmerged(&mut self) {
        for record in self.inspection.records.iter().filter(|r| r.state == RECORD_SPLIT) {
            let half = |block: *const c_void| self.blocks.get(&block.addr());
            if let (Some(left), Some(right)) = (half(record.left), half(record.right))
                && (left.record.state, right.record.state) == (RECORD_FREE, RECORD_FREE)
                && left.record.clear == right.record.clear
                && left.record.block != right.record.block
            {
                let Record { offset, order, .. } = *record;
                self.found.push(Inconsistency::Unmerged { offset, order });
            }
        }
    }

    fn free_blocks(&mut self, orders: &[Order]) {
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
        // A tree that could not be read to its end says nothing about the rest.
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

    /// The block that a node is in, if the node is where one should be. It is marked
    /// as seen.
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
                // Its node may be its user's.
                return None;
            }
        }
        Some(record)
    }

    /// Reads one list; false where it could not be read to its end.
    fn free_list(&mut self, head: &Head, order: u32) -> bool {
        let tree = FreeTree::List;
        // Not every generation keeps it sorted.
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

    /// Reads one tree; false where it could not be read to its end.
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
            // The lowest bit is the colour, and set for black.
            let red = parent_color & 1 == 0;
            let above_node = above.map_or(0, |above: usize| nodes[above].node);
            if (parent_color & !3) as usize != above_node {
                self.found.push(Inconsistency::ParentLink { offset, order, tree });
            }
            if red && above.is_none_or(|above| nodes[above].red) {
                self.found.push(Inconsistency::RedNode { offset, order, tree });
            }
            let index = nodes.len();
            // A node out of order is no bound for those below.
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

    /// Checks what a node says of those below it. Nodes come after those above.
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

    fn accounts(&mut self, kept: &[Order]) {
        let orders = kept.len();
        let (mut avail, mut clear_avail) = (0, 0);
        let (mut free, mut used) = (vec![0u64; orders], vec![0u64; orders]);
        for Known { record, .. } in self.blocks.values() {
            let order = record.order as usize;
            // Such a block is reported already.
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

/// Where a block should be.
#[derive(Clone, Copy)]
struct Place {
    block: *const c_void,
    offset: u64,
    order: u32,
    parent: *const c_void,
}

/// A node of a tree of free blocks that is to be read.
struct Link {
    /// Its address.
    node: usize,
    /// The index of the node above.
    above: Option<usize>,
    /// Its offset lies in `from..to`.
    from: u64,
    to: u64,
}

/// A node of a tree of free blocks.
#[derive(Clone, Copy)]
struct Node {
    /// Its address.
    node: usize,
    above: Option<usize>,
    /// It is the left one of the node above.
    is_left: bool,
    left: usize,
    red: bool,
    offset: u64,
    /// Black nodes on the way down, to the left and to the right.
    black_heights: [u32; 2],
    /// What it says of the best alignment of this node and those below, and what is
    /// known of it so far.
    is_alignment: u32,
    alignment: u32,
}

/// The alignment of an offset as the C counts it: zero bits, and for 0 more
/// than there can be.
fn alignment(offset: u64) -> u32 {
    if offset == 0 { u64::BITS + 1 } else { offset.trailing_zeros() }
}
