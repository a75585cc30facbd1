//! Lockdep: the C warns if a lock that it knows of is not held.

use super::*;

type Call = fn(*mut ffi::gpu_buddy, *mut ffi::gpu_buddy_block, *mut ffi::list_head);

fn alloc(mm: *mut ffi::gpu_buddy, _: *mut ffi::gpu_buddy_block, list: *mut ffi::list_head) {
    // SAFETY: the allocator is initialised, and the list is one of its blocks.
    assert_eq!(unsafe { ffi::gpu_buddy_alloc_blocks(mm, 0, 0, CHUNK, CHUNK, list, 0) }, 0);
}

fn trim(mm: *mut ffi::gpu_buddy, _: *mut ffi::gpu_buddy_block, list: *mut ffi::list_head) {
    // SAFETY: as above.
    assert_eq!(unsafe { ffi::gpu_buddy_block_trim(mm, ptr::null_mut(), CHUNK, list) }, 0);
}

fn free_list(mm: *mut ffi::gpu_buddy, _: *mut ffi::gpu_buddy_block, list: *mut ffi::list_head) {
    // SAFETY: as above.
    unsafe { ffi::gpu_buddy_free_list(mm, list, 0) }
}

fn free_block(
    mm: *mut ffi::gpu_buddy,
    block: *mut ffi::gpu_buddy_block,
    list: *mut ffi::list_head,
) {
    // SAFETY: the block is the only one on the list, which is emptied.
    unsafe {
        ((*list).next, (*list).prev) = (list, list);
        ffi::gpu_buddy_free_block(mm, block);
    }
}

fn reset_clear(mm: *mut ffi::gpu_buddy, _: *mut ffi::gpu_buddy_block, _: *mut ffi::list_head) {
    // SAFETY: the allocator is initialised.
    unsafe { ffi::gpu_buddy_reset_clear(mm, false) }
}

fn print(mm: *mut ffi::gpu_buddy, _: *mut ffi::gpu_buddy_block, _: *mut ffi::list_head) {
    // SAFETY: the allocator is initialised.
    unsafe { ffi::gpu_buddy_print(mm) }
}

#[cfg(addr_to_block)]
fn addr_to_block(
    mm: *mut ffi::gpu_buddy,
    block: *mut ffi::gpu_buddy_block,
    _: *mut ffi::list_head,
) {
    // SAFETY: the allocator is initialised, and the block is its.
    unsafe {
        let offset = ffi::gpu_buddy_block_offset(block);
        assert_eq!(ffi::gpu_buddy_allocated_addr_to_block(mm, offset), block);
    }
}

/// Makes the call with a block of 8K on a list, with or without a lock that the C knows of.
/// Returns the number of warnings.
fn warnings(call: Call, told: bool) -> usize {
    let _lock = whole_process();
    let mut map = ffi::lockdep_map { name: c"test".as_ptr() };
    let mut raw = Raw::new(MIB, CHUNK).expect("a space");
    let mut list = raw.simple(2 * CHUNK);
    let block = list.blocks()[0];
    let mm = raw.mm();
    if told {
        // SAFETY: the allocator is initialised; the map outlives the call.
        unsafe { (*mm).lock_dep_map = &raw mut map };
    }
    let captured = capture(|| call(mm, block, list.head()));
    // SAFETY: the allocator is initialised.
    unsafe { (*mm).lock_dep_map = ptr::null_mut() };
    assert_eq!(captured.result, Ok(()));
    for warning in &captured.warnings {
        assert!(warning.condition.contains("lock_is_held"), "{warning}");
        assert_eq!(warning.file, "include/linux/gpu_buddy.h");
    }
    raw.free(&mut list);
    captured.warnings.len()
}

#[rstest]
#[case::alloc_blocks(alloc)]
#[case::block_trim(trim)]
#[case::free_list(free_list)]
#[case::free_block(free_block)]
#[case::reset_clear(reset_clear)]
#[case::print(print)]
#[cfg_attr(addr_to_block, case::addr_to_block(addr_to_block))]
fn an_entry_without_the_lock_warns(#[case] call: Call) {
    assert_ne!(warnings(call, true), 0);
    assert_eq!(warnings(call, false), 0, "the C knows of no lock");
}

#[test]
fn the_safe_api_holds_the_lock() {
    let _lock = whole_process();
    let buddy = space(MIB);
    let mut blocks = simple(&buddy, 16 * CHUNK, Flags::empty()).expect("room");
    blocks.trim(None, 3 * CHUNK).expect("inside");
    drop(blocks.take(0));
    blocks.free_as_allocated();
    buddy.reset_clear(true).expect("usable");
    buddy.block_at(0).expect("inside");
    buddy.print().expect("usable");
    assert_eq!(buddy.fini().expect("the last handle").warnings, []);
}
