//! Scans the C's own structures: the tree of blocks, the trees of free blocks
//! and the accounts have to agree with each other.

#[cfg(test)]
mod tests;

use core::fmt;
use core::mem::offset_of;

use rustc_hash::FxHashMap;

use crate::{BlockInfo, BlockState, ffi, tree};

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
    #[error("the free block at {offset} of order {order} is in no tree")]
    NotInTree { offset: u64, order: u32 },

    /// What is in a tree is free, and of the tree's order and clear state.
    #[error("the block at {offset} is in the wrong tree: {}", Tree { order: *order, clear: *clear })]
    WrongTree { offset: u64, order: u32, clear: bool },

    /// A tree holds blocks of this allocator, each once.
    #[error("there is a node that is no block, or is there twice, in {}", Tree { order: *order, clear: *clear })]
    ForeignNode { order: u32, clear: bool },

    /// A tree is sorted by offset.
    #[error("the block at {offset} is out of order in {}", Tree { order: *order, clear: *clear })]
    Unsorted { offset: u64, order: u32, clear: bool },

    /// A node of a tree is linked to the one above.
    #[error("the block at {offset} has a wrong link upwards in {}", Tree { order: *order, clear: *clear })]
    ParentLink { offset: u64, order: u32, clear: bool },

    /// A red node, and so the root, is not below a red one or a root itself.
    #[error("the block at {offset} is red where it must not be in {}", Tree { order: *order, clear: *clear })]
    RedNode { offset: u64, order: u32, clear: bool },

    /// Below a node, each way down meets the same number of black ones.
    #[error("the block at {offset} is unbalanced in {}", Tree { order: *order, clear: *clear })]
    BlackHeight { offset: u64, order: u32, clear: bool },

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

    /// An object that is alive is a block of the tree or one of a few arrays.
    #[error("{is} objects are alive, but {expected} are in use")]
    LiveObjects { is: usize, expected: usize },
}

/// Names a tree of free blocks.
struct Tree {
    order: u32,
    clear: bool,
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.clear { "clear" } else { "dirty" };
        write!(f, "the {state} tree of order {}", self.order)
    }
}

/// Where a block has its node of a tree of free blocks.
const NODE: usize = offset_of!(ffi::gpu_buddy_block, __bindgen_anon_1);

/// Scans an initialised allocator. What is wrong is found, and not followed:
/// only blocks that the tree of blocks leads to are read. Returns how many these
/// were, too: not many more than `expected`.
pub(crate) fn scan(mm: &ffi::gpu_buddy, expected: usize) -> (Vec<Inconsistency>, usize) {
    let blocks = FxHashMap::with_capacity_and_hasher(expected, Default::default());
    let mut scan = Scan { mm, blocks, nodes: Vec::new(), links: Vec::new(), found: Vec::new() };
    if scan.has_shape() {
        scan.tree_of_blocks();
        scan.free_trees();
        scan.accounts();
    }
    (scan.found, scan.blocks.len())
}

/// A block that the tree of blocks leads to.
struct Known {
    info: BlockInfo,
    in_tree: bool,
}

struct Scan<'a> {
    mm: &'a ffi::gpu_buddy,
    blocks: FxHashMap<*mut ffi::gpu_buddy_block, Known>,
    /// The nodes of one tree, and those that are still to be read. Kept for the
    /// next tree.
    nodes: Vec<Node>,
    links: Vec<Link>,
    found: Vec<Inconsistency>,
}

impl Scan<'_> {
    /// Whether the arrays have the length that the size calls for. Otherwise
    /// nothing can be read safely.
    fn has_shape(&mut self) -> bool {
        let chunks = self.mm.size / self.mm.chunk_size;
        let (max_order, roots) = (chunks.ilog2(), chunks.count_ones());
        if self.mm.max_order != max_order {
            let is = self.mm.max_order;
            self.found.push(Inconsistency::MaxOrder { is, expected: max_order });
        }
        if self.mm.n_roots != roots {
            self.found.push(Inconsistency::RootCount { is: self.mm.n_roots, expected: roots });
        }
        self.found.is_empty()
    }

    fn tree_of_blocks(&mut self) {
        let mut offset = 0;
        for index in 0..self.mm.n_roots as usize {
            // SAFETY: `mm` is initialised, and has as many roots as it should.
            let root = unsafe { *self.mm.roots.add(index) };
            let order = ((self.mm.size - offset) / self.mm.chunk_size).ilog2();
            let at = Place { offset, order, parent: core::ptr::null_mut() };
            if let Some(info) = self.block(root, at) {
                if (info.offset, info.order) == (offset, order) {
                    self.halves(root, info);
                } else {
                    self.found.push(Inconsistency::Root {
                        offset: info.offset,
                        order: info.order,
                        expected_offset: offset,
                        expected_order: order,
                    });
                }
            }
            offset += self.mm.chunk_size << order;
        }
    }

    /// Reads a block, unless there cannot be one. `at` is where it should be.
    fn block(&mut self, block: *mut ffi::gpu_buddy_block, at: Place) -> Option<BlockInfo> {
        let Place { offset, order, parent } = at;
        if block.is_null() || !block.is_aligned() || self.blocks.contains_key(&block) {
            self.found.push(Inconsistency::MissingBlock { offset, order });
            return None;
        }
        // SAFETY: the tree of blocks leads here, and the allocator is borrowed.
        let (info, state, above) = unsafe {
            (tree::info(block), (*block).header & ffi::GPU_BUDDY_HEADER_STATE, (*block).parent)
        };
        self.blocks.insert(block, Known { info, in_tree: false });
        let (offset, order) = (info.offset, info.order);
        if above != parent {
            self.found.push(Inconsistency::Parent { offset, order });
        }
        if state == 0 || (info.state == BlockState::Split && order == 0) {
            self.found.push(Inconsistency::State { offset, order });
            return None;
        }
        if info.state == BlockState::Split && info.clear {
            self.found.push(Inconsistency::SplitClear { offset, order });
        }
        Some(info)
    }

    /// Reads what is below a block that is where it should be.
    fn halves(&mut self, block: *mut ffi::gpu_buddy_block, info: BlockInfo) {
        let mut split = Vec::new();
        split.extend((info.state == BlockState::Split).then_some((block, info)));
        while let Some((parent, whole)) = split.pop() {
            // SAFETY: a block of the tree, which is split.
            let halves = unsafe { [(*parent).left, (*parent).right] };
            let order = whole.order - 1;
            let size = self.mm.chunk_size << order;
            let mut read = [None; 2];
            for (index, half) in halves.into_iter().enumerate() {
                let offset = whole.offset + size * index as u64;
                let Some(info) = self.block(half, Place { offset, order, parent }) else {
                    continue;
                };
                if (info.offset, info.order) != (offset, order) {
                    self.found.push(Inconsistency::Half {
                        offset: info.offset,
                        order: info.order,
                        expected_offset: offset,
                        expected_order: order,
                    });
                    continue;
                }
                read[index] = Some(info);
                split.extend((info.state == BlockState::Split).then_some((half, info)));
            }
            if let [Some(left), Some(right)] = read
                && (left.state, right.state) == (BlockState::Free, BlockState::Free)
                && left.clear == right.clear
            {
                let BlockInfo { offset, order, .. } = whole;
                self.found.push(Inconsistency::Unmerged { offset, order });
            }
        }
    }

    fn free_trees(&mut self) {
        let trees = [
            (ffi::gpu_buddy_free_tree_GPU_BUDDY_CLEAR_TREE, true),
            (ffi::gpu_buddy_free_tree_GPU_BUDDY_DIRTY_TREE, false),
        ];
        let mut complete = true;
        for (tree, clear) in trees {
            for order in 0..=self.mm.max_order {
                // SAFETY: `mm` is initialised, so it has a tree of each kind for
                // each order.
                let root = unsafe {
                    (*(*self.mm.free_trees.add(tree as usize)).add(order as usize)).rb_node
                };
                complete &= self.free_tree(root, Tree { order, clear });
            }
        }
        // A tree that could not be read to its end says nothing about the rest.
        if complete {
            let mut outside: Vec<_> = self
                .blocks
                .values()
                .filter(|known| known.info.state == BlockState::Free && !known.in_tree)
                .map(|known| (known.info.offset, known.info.order))
                .collect();
            outside.sort_unstable();
            let not_in_tree = |(offset, order)| Inconsistency::NotInTree { offset, order };
            self.found.extend(outside.into_iter().map(not_in_tree));
        }
    }

    /// Reads one tree; false where it could not be read to its end.
    fn free_tree(&mut self, root: *mut ffi::rb_node, tree: Tree) -> bool {
        let Tree { order, clear } = tree;
        let mut complete = true;
        if root.is_null() {
            return complete;
        }
        let mut nodes = core::mem::take(&mut self.nodes);
        let mut next = core::mem::take(&mut self.links);
        nodes.clear();
        next.push(Link { node: root, above: None, from: 0, to: u64::MAX });
        while let Some(Link { node, above, from, to }) = next.pop() {
            let block = node.cast::<u8>().wrapping_sub(NODE).cast::<ffi::gpu_buddy_block>();
            let Some(known) = self.blocks.get_mut(&block).filter(|known| !known.in_tree) else {
                self.found.push(Inconsistency::ForeignNode { order, clear });
                complete = false;
                continue;
            };
            known.in_tree = true;
            let info = known.info;
            let offset = info.offset;
            if info.state != BlockState::Free || (info.order, info.clear) != (order, clear) {
                self.found.push(Inconsistency::WrongTree { offset, order, clear });
                if info.state != BlockState::Free {
                    // Its node may be its user's.
                    complete = false;
                    continue;
                }
            }
            if !(from..to).contains(&offset) {
                self.found.push(Inconsistency::Unsorted { offset, order, clear });
            }
            // SAFETY: the node of a block of the tree of blocks, which is free.
            let (parent_color, left, right) =
                unsafe { ((*node).__rb_parent_color, (*node).rb_left, (*node).rb_right) };
            // The lowest bit is the colour, and set for black.
            let red = parent_color & 1 == 0;
            let above_node = above.map_or(0, |above: usize| nodes[above].node.addr());
            if (parent_color & !3) as usize != above_node {
                self.found.push(Inconsistency::ParentLink { offset, order, clear });
            }
            if red && above.is_none_or(|above| nodes[above].red) {
                self.found.push(Inconsistency::RedNode { offset, order, clear });
            }
            let index = nodes.len();
            // A node out of order is no bound for those below.
            let middle = offset.clamp(from, to);
            for (node, from, to) in [(left, from, middle), (right, middle, to)] {
                if !node.is_null() {
                    next.push(Link { node, above: Some(index), from, to });
                }
            }
            nodes.push(Node {
                node,
                block,
                above,
                is_left: above.is_some_and(|above| nodes[above].left == node),
                left,
                red,
                offset,
                black_heights: [0; 2],
                alignment: alignment(offset),
            });
        }
        if complete {
            self.fold_from_below(&mut nodes, order, clear);
        }
        (self.nodes, self.links) = (nodes, next);
        complete
    }

    /// Checks what a node says of those below it. Nodes come after those above.
    fn fold_from_below(&mut self, nodes: &mut [Node], order: u32, clear: bool) {
        for index in (0..nodes.len()).rev() {
            let Node { block, above, is_left, red, offset, black_heights, alignment, .. } =
                nodes[index];
            let [left, right] = black_heights;
            if left != right {
                self.found.push(Inconsistency::BlackHeight { offset, order, clear });
            }
            #[cfg(offset_align)]
            {
                // SAFETY: a block of the tree of blocks.
                let is = unsafe { (*block).subtree_max_alignment };
                if is != alignment {
                    let expected = alignment;
                    self.found.push(Inconsistency::MaxAlignment { offset, order, is, expected });
                }
            }
            #[cfg(not(offset_align))]
            let _ = block;
            if let Some(above) = above {
                let above = &mut nodes[above];
                above.black_heights[usize::from(!is_left)] = left.max(right) + u32::from(!red);
                above.alignment = above.alignment.max(alignment);
            }
        }
    }

    fn accounts(&mut self) {
        let orders = self.mm.max_order as usize + 1;
        let (mut avail, mut clear_avail) = (0, 0);
        let (mut free, mut used) = (vec![0u64; orders], vec![0u64; orders]);
        for Known { info, .. } in self.blocks.values() {
            let order = info.order as usize;
            // Such a block is reported already.
            if order >= orders {
                continue;
            }
            let size = self.mm.chunk_size << order;
            match info.state {
                BlockState::Free => {
                    free[order] += 1;
                    avail += size;
                    clear_avail += if info.clear { size } else { 0 };
                }
                BlockState::Allocated => used[order] += 1,
                BlockState::Split => {}
            }
        }
        if self.mm.avail != avail {
            self.found.push(Inconsistency::Avail { is: self.mm.avail, expected: avail });
        }
        if self.mm.clear_avail != clear_avail {
            let is = self.mm.clear_avail;
            self.found.push(Inconsistency::ClearAvail { is, expected: clear_avail });
        }
        self.scoreboards(&free, &used);
    }

    #[cfg(scoreboard)]
    fn scoreboards(&mut self, free: &[u64], used: &[u64]) {
        for (order, (&free, &used)) in (0u32..).zip(free.iter().zip(used)) {
            // SAFETY: `mm` is initialised, so both have a number for each order.
            let (is_free, is_used) = unsafe {
                (
                    *self.mm.free_scoreboard.add(order as usize),
                    *self.mm.used_scoreboard.add(order as usize),
                )
            };
            if is_free != free {
                let (is, expected) = (is_free, free);
                self.found.push(Inconsistency::FreeScoreboard { order, is, expected });
            }
            if is_used != used {
                let (is, expected) = (is_used, used);
                self.found.push(Inconsistency::UsedScoreboard { order, is, expected });
            }
        }
    }

    #[cfg(not(scoreboard))]
    #[allow(clippy::unused_self)]
    fn scoreboards(&mut self, _free: &[u64], _used: &[u64]) {}
}

/// Where a block should be.
#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    order: u32,
    parent: *mut ffi::gpu_buddy_block,
}

/// A node of a tree of free blocks that is to be read.
struct Link {
    node: *mut ffi::rb_node,
    /// The index of the node above.
    above: Option<usize>,
    /// Its offset lies in `from..to`.
    from: u64,
    to: u64,
}

/// A node of a tree of free blocks.
#[derive(Clone, Copy)]
struct Node {
    node: *mut ffi::rb_node,
    block: *mut ffi::gpu_buddy_block,
    above: Option<usize>,
    /// It is the left one of the node above.
    is_left: bool,
    left: *mut ffi::rb_node,
    red: bool,
    offset: u64,
    /// Black nodes on the way down, to the left and to the right.
    black_heights: [u32; 2],
    /// The best alignment of this node and those below, as far as known.
    alignment: u32,
}

/// The alignment of an offset as the C counts it: zero bits, and for 0 more
/// than there can be.
fn alignment(offset: u64) -> u32 {
    if offset == 0 { u64::BITS + 1 } else { offset.trailing_zeros() }
}
