//! The shapes of the C's trees of free blocks as plain data.

use core::ffi::c_void;

use rustc_hash::FxHashMap;

use crate::module::Inspection;
use crate::module::abi::{FREE_TWO_TREES, RECORD_FREE, Record};

/// The red-black trees of a kernel's free blocks, one for each order and clear state. Which blocks
/// `gpu_buddy_reset_clear()` reaches depends on their shapes.
#[derive(Clone, Debug, Default)]
pub struct FreeTrees(pub(crate) Vec<TreeShape>);

#[derive(Clone, Debug)]
pub(crate) struct TreeShape {
    pub clear: bool,
    pub order: u32,
    /// Each after its parent, so the first is the root.
    pub nodes: Vec<FreeNode>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct FreeNode {
    /// The offset of the block in bytes.
    pub offset: u64,
    pub red: bool,
    /// The index of its parent, and whether this is the left child.
    pub above: Option<(u32, bool)>,
}

/// Reads the trees. `None` if the kernel has no such trees, or a tree has a node that is not a
/// known free block.
///
/// # Safety
///
/// `mm` is the allocator that was inspected, and has not changed since.
pub(crate) unsafe fn free_trees(mm: *const c_void, inspection: &Inspection) -> Option<FreeTrees> {
    let table = inspection.module.table();
    // With a wrong `max_order`, the arrays may be too short.
    if table.free_kind != FREE_TWO_TREES || inspection.state.max_order != super::shape(inspection).0
    {
        return None;
    }
    let free = inspection.records.iter().filter(|record| record.state == RECORD_FREE);
    let mut blocks: FxHashMap<usize, &Record> =
        free.map(|record| (record.block.addr(), record)).collect();
    // SAFETY: as the caller says, and `max_order` is right, so the arrays have that many orders.
    let orders = unsafe { inspection.module.orders(mm, inspection.state.max_order) };
    let mut trees = Vec::new();
    for (order, heads) in (0..).zip(orders.iter()) {
        for (head, clear) in heads.heads.iter().zip([true, false]) {
            let mut nodes = Vec::new();
            let mut waiting = vec![(head.first.addr(), None)];
            while let Some((node, above)) = waiting.pop() {
                if node == 0 {
                    continue;
                }
                // Each block is removed when found, so that a cycle ends.
                let record = blocks.remove(&node.wrapping_sub(table.node_offset as usize))?;
                let index = u32::try_from(nodes.len()).ok()?;
                let [parent_color, right, left] = record.links;
                waiting.push((right as usize, Some((index, false))));
                waiting.push((left as usize, Some((index, true))));
                // The lowest bit is the colour: 1 is black.
                nodes.push(FreeNode { offset: record.offset, red: parent_color & 1 == 0, above });
            }
            if !nodes.is_empty() {
                trees.push(TreeShape { clear, order, nodes });
            }
        }
    }
    Some(FreeTrees(trees))
}
