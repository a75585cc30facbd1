//! Reads the C's tree of blocks.

use core::ptr;

use crate::module::{Inspection, Module};
use crate::{BlockInfo, BlockState, FreeTrees, Inconsistency, ffi, integrity};

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

/// All that the C's own structures say. `live` is how many objects are alive.
pub(crate) fn inspect(mm: &ffi::gpu_buddy, live: usize) -> Inspection {
    // SAFETY: whoever has a reference to an allocator has it initialised, and nothing
    // changes it meanwhile.
    unsafe { Module::compiled_in().inspect(ptr::from_ref(mm).cast(), live) }
}

/// What in the C's own structures contradicts itself, and how many blocks there are.
pub(crate) fn scan(mm: &ffi::gpu_buddy, live: usize) -> (Vec<Inconsistency>, usize) {
    // SAFETY: as above.
    unsafe { integrity::scan(ptr::from_ref(mm).cast(), &inspect(mm, live)) }
}

/// The shapes of the trees of free blocks.
pub(crate) fn free_trees(mm: &ffi::gpu_buddy, live: usize) -> Option<FreeTrees> {
    // SAFETY: as above.
    unsafe { integrity::free_trees(ptr::from_ref(mm).cast(), &inspect(mm, live)) }
}

/// The size of the largest free block in bytes; 0 where nothing is free.
pub(crate) fn largest_free_block(mm: &ffi::gpu_buddy) -> u64 {
    // SAFETY: as above.
    unsafe { Module::compiled_in().largest_free_block(ptr::from_ref(mm).cast()) }
}

/// The allocated block that holds an offset inside the space.
///
/// # Safety
///
/// `mm` is initialised and its lock is held.
#[cfg(addr_to_block)]
pub(crate) unsafe fn block_at(
    mm: *mut ffi::gpu_buddy,
    _live: usize,
    offset: u64,
) -> Option<BlockInfo> {
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
pub(crate) unsafe fn block_at(
    mm: *mut ffi::gpu_buddy,
    live: usize,
    offset: u64,
) -> Option<BlockInfo> {
    // SAFETY: as the caller says.
    let inspection = inspect(unsafe { &*mm }, live);
    let snapshot = inspection.snapshot();
    let holds = |info: &&BlockInfo| {
        info.state == BlockState::Allocated
            && info.offset <= offset
            && offset - info.offset < snapshot.block_size(info)
    };
    snapshot.blocks.iter().find(holds).copied()
}
