//! Reads the C's tree of blocks.

use crate::{BlockInfo, BlockState, Snapshot, ffi};

/// A block as plain data.
///
/// # Safety
///
/// `block` is a block of an allocator whose lock is held, or is allocated by
/// someone who keeps it so.
pub(crate) unsafe fn info(block: *const ffi::gpu_buddy_block) -> BlockInfo {
    // SAFETY: as the caller says. Only this field is read, so that other fields
    // may be written meanwhile.
    let header = unsafe { (&raw const (*block).header).read() };
    BlockInfo {
        offset: header & ffi::GPU_BUDDY_HEADER_OFFSET,
        order: (header & ffi::GPU_BUDDY_HEADER_ORDER) as u32,
        // The state is in bits 10 and 11.
        state: match (header & ffi::GPU_BUDDY_HEADER_STATE) as u32 {
            ffi::GPU_BUDDY_ALLOCATED => BlockState::Allocated,
            ffi::GPU_BUDDY_FREE => BlockState::Free,
            _ => BlockState::Split,
        },
        clear: header & ffi::GPU_BUDDY_HEADER_CLEAR != 0,
    }
}

/// Calls `visit` with each block, parents first and the left half before the
/// right, until it returns false for going on below a block.
pub(crate) fn walk(
    mm: &ffi::gpu_buddy,
    mut visit: impl FnMut(*mut ffi::gpu_buddy_block, BlockInfo) -> bool,
) {
    // Each block on the way down leaves one right half behind.
    let mut right_halves = Vec::with_capacity(ffi::GPU_BUDDY_MAX_ORDER as usize + 1);
    for index in 0..mm.n_roots as usize {
        // SAFETY: `mm` is initialised, so it has this many roots.
        let mut next = Some(unsafe { *mm.roots.add(index) });
        while let Some(block) = next {
            // SAFETY: a block of the tree; the allocator is borrowed.
            let info = unsafe { info(block) };
            let descend = visit(block, info) && info.state == BlockState::Split;
            next = if descend {
                // SAFETY: a split block has two halves.
                let (left, right) = unsafe { ((*block).left, (*block).right) };
                right_halves.push(right);
                Some(left)
            } else {
                right_halves.pop()
            };
        }
    }
}

/// The whole tree.
pub(crate) fn snapshot(mm: &ffi::gpu_buddy) -> Snapshot {
    let mut blocks = Vec::new();
    walk(mm, |_, info| {
        blocks.push(info);
        true
    });
    Snapshot {
        chunk_size: mm.chunk_size,
        size: mm.size,
        avail: mm.avail,
        clear_avail: mm.clear_avail,
        blocks,
    }
}

/// The size of the largest free block in bytes; 0 where nothing is free.
pub(crate) fn largest_free_block(mm: &ffi::gpu_buddy) -> u64 {
    let trees = [
        ffi::gpu_buddy_free_tree_GPU_BUDDY_CLEAR_TREE,
        ffi::gpu_buddy_free_tree_GPU_BUDDY_DIRTY_TREE,
    ];
    (0..=mm.max_order)
        .rev()
        .find(|&order| {
            trees.iter().any(|&tree| {
                // SAFETY: `mm` is initialised, so it has a tree of each kind for
                // each order.
                let root = unsafe { &*(*mm.free_trees.add(tree as usize)).add(order as usize) };
                !root.rb_node.is_null()
            })
        })
        .map_or(0, |order| mm.chunk_size << order)
}

/// The allocated block that holds an offset inside the space.
///
/// # Safety
///
/// `mm` is initialised and its lock is held.
#[cfg(addr_to_block)]
pub(crate) unsafe fn block_at(mm: *mut ffi::gpu_buddy, offset: u64) -> Option<BlockInfo> {
    // SAFETY: as the caller says.
    let block = unsafe { ffi::gpu_buddy_allocated_addr_to_block(mm, offset) };
    // The last addresses are error numbers, of which there is one for an offset
    // outside of the space: not found, either way.
    if block.is_null() || block.addr() >= usize::MAX - 4094 {
        return None;
    }
    // SAFETY: neither null nor an error number, so a block of this allocator.
    Some(unsafe { info(block) })
}

/// The allocated block that holds an offset inside the space.
///
/// # Safety
///
/// `mm` is initialised and its lock is held.
#[cfg(not(addr_to_block))]
pub(crate) unsafe fn block_at(mm: *mut ffi::gpu_buddy, offset: u64) -> Option<BlockInfo> {
    // SAFETY: as the caller says.
    let mm = unsafe { &*mm };
    let mut found = None;
    walk(mm, |_, info| {
        let holds = info.offset <= offset && offset - info.offset < mm.chunk_size << info.order;
        if holds && info.state == BlockState::Allocated {
            found = Some(info);
        }
        holds
    });
    found
}
