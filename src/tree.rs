//! Reads the C's tree of blocks.

use core::ptr;

use crate::module::{Inspection, Module};
use crate::{BlockInfo, BlockState, FreeTrees, Inconsistency, ffi, integrity};

/// A block as plain data.
///
/// # Safety
///
/// `block` is a block of an allocator whose lock is held, or an allocated block that stays
/// allocated during the call.
pub(crate) unsafe fn info(block: *const ffi::gpu_buddy_block) -> BlockInfo {
    // SAFETY: as the caller says. Only this field is read, because the C may write others
    // meanwhile.
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

/// Reads the C's own data structures. `live` is the number of live objects.
pub(crate) fn inspect(mm: &ffi::gpu_buddy, live: usize) -> Inspection {
    // SAFETY: a reference to an allocator exists only if it is initialised, and nothing changes it
    // meanwhile.
    unsafe { Module::compiled_in().inspect(ptr::from_ref(mm).cast(), live) }
}

/// The contradictions in the C's own data structures, and the number of blocks.
pub(crate) fn scan(mm: &ffi::gpu_buddy, live: usize) -> (Vec<Inconsistency>, usize) {
    // SAFETY: as above.
    unsafe { integrity::scan(ptr::from_ref(mm).cast(), &inspect(mm, live)) }
}

/// The shapes of the trees of free blocks.
pub(crate) fn free_trees(mm: &ffi::gpu_buddy, live: usize) -> Option<FreeTrees> {
    // SAFETY: as above.
    unsafe { integrity::free_trees(ptr::from_ref(mm).cast(), &inspect(mm, live)) }
}

/// The size of the largest free block in bytes; 0 if nothing is free.
pub(crate) fn largest_free_block(mm: &ffi::gpu_buddy) -> u64 {
    // SAFETY: as above.
    unsafe { Module::compiled_in().largest_free_block(ptr::from_ref(mm).cast()) }
}

/// The allocated block that contains an offset inside the space.
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
    let block = unsafe { ffi::bindings::gpu_buddy_allocated_addr_to_block(mm, offset) };
    // The last 4095 addresses are error numbers (`IS_ERR()`): the offset is outside the space.
    if block.is_null() || block.addr() >= usize::MAX - 4094 {
        return None;
    }
    // SAFETY: neither null nor an error number, so it is a block of this allocator.
    Some(unsafe { info(block) })
}

/// The allocated block that contains an offset inside the space.
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
