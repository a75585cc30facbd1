//! BUGs: errors with a place, which make one allocator unusable.

use super::*;

#[test]
fn are_errors_with_a_place() {
    let _lock = whole_process();
    let mut raw = Raw::new(MIB, CHUNK).expect("a space");
    let bug = provoke(&mut raw).result.expect_err("a BUG");
    assert!(bug.condition.contains("gpu_buddy_block_is_allocated(block)"), "{bug:?}");
    assert_place(bug.file, bug.line, "BUG_ON(");
    assert_eq!(
        bug.to_string(),
        format!("kernel BUG at {}:{}: {}", bug.file, bug.line, bug.condition)
    );
    raw.leak();
}

#[test]
fn unwind_as_a_panic_where_nobody_captures_them() {
    let _lock = whole_process();
    let mut raw = Raw::new(MIB, CHUNK).expect("a space");
    let (mm, block) = (raw.mm(), free_block(&mut raw));
    // SAFETY: as in `provoke`.
    let call = AssertUnwindSafe(|| unsafe { ffi::gpu_buddy_free_block(mm, block) });
    let payload = catch_unwind(call).expect_err("it unwinds");
    let bug = payload.downcast::<KernelBug>().expect("the payload is the BUG");
    assert_place(bug.file, bug.line, "BUG_ON(");
    raw.leak();
}

/// Corrupts the links of the only block on a list.
type Spoil = fn(&mut ffi::list_head, *mut ffi::list_head);

#[rstest]
#[case::null(|link: &mut ffi::list_head, _| link.prev = ptr::null_mut(), "list_del corruption: null link")]
#[case::deleted_before(
    |link: &mut ffi::list_head, _| link.next = ptr::without_provenance_mut(0x100),
    "list_del corruption: deleted twice"
)]
#[case::a_neighbour_of_another_list(
    |link: &mut ffi::list_head, other| link.prev = other,
    "list_del corruption: neighbours disagree"
)]
fn are_raised_by_a_corrupt_list(#[case] spoil: Spoil, #[case] condition: &str) {
    let _lock = whole_process();
    let mut raw = Raw::new(MIB, CHUNK).expect("a space");
    let mut list = raw.simple(4 * CHUNK);
    let mut other = List::new();
    let block = list.blocks()[0];
    // SAFETY: the block is allocated, so its link is its user's.
    unsafe { spoil(&mut (*block).__bindgen_anon_1.link, other.head()) };

    let captured = capture(|| raw.trim(None, CHUNK, &mut list));
    let bug = captured.result.expect_err("a BUG");
    assert_eq!(bug.condition, condition);
    assert_place(bug.file, bug.line, "list_del(");
    raw.leak();
}

#[test]
fn of_one_allocator_do_not_hurt_another() {
    let _lock = whole_process();
    let mut healthy = Raw::new(MIB, CHUNK).expect("a space");
    let mut list = healthy.simple(4 * CHUNK);
    let mut broken = Raw::new(MIB, CHUNK).expect("a space");
    assert!(provoke(&mut broken).result.is_err());
    broken.leak();
    healthy.free(&mut list);
    assert_eq!(healthy.avail(), MIB);
    let end = capture(|| drop(healthy));
    assert_eq!((end.result, end.warnings), (Ok(()), vec![]));
}

/// The address of a block, which the safe API does not give.
fn address(block: AllocatedBlock<'_>, buddy: &GpuBuddy) -> *mut ffi::gpu_buddy_block {
    // SAFETY: a block is two pointers: to itself, and to its allocator. If
    // it became something else, this would not compile.
    let pointers: [*mut ffi::gpu_buddy_block; 2] = unsafe { std::mem::transmute(block) };
    let other = |pointer: &&*mut ffi::gpu_buddy_block| {
        !ptr::eq(pointer.cast_const().cast::<GpuBuddy>(), buddy)
    };
    let mut found = pointers.iter().filter(other);
    let address = *found.next().expect("one is no handle");
    assert!(found.next().is_none(), "the other is the handle");
    address
}

#[test]
fn make_an_allocator_of_the_safe_api_unusable() {
    let _lock = whole_process();
    let other = space(MIB);
    let kept = simple(&other, CHUNK, Flags::empty()).expect("room");
    let buddy = space(MIB);
    let mut held = exact(&buddy, 0, 64 * CHUNK).expect("free");
    let spoilt = exact(&buddy, MIB / 2, CHUNK).expect("free");
    let avail = buddy.avail();
    let objects = buddy.live_objects();
    {
        let block = address(spoilt.iter().next().expect("a block"), spoilt.buddy());
        // SAFETY: the block is alive, and nothing else looks at it. Its
        // state says "free" from here on, though it is allocated.
        unsafe {
            let header = (*block).header & !ffi::GPU_BUDDY_HEADER_STATE;
            (*block).header = header | u64::from(ffi::GPU_BUDDY_FREE);
        }
    }
    drop(spoilt);

    let error = simple(&buddy, CHUNK, Flags::empty()).expect_err("unusable");
    let Error::Bug(bug) = error else { panic!("{error:?}") };
    assert_place(bug.file, bug.line, "BUG_ON(");
    assert_eq!(error.errno(), Errno::ENOTRECOVERABLE);
    assert_eq!(error.to_string(), format!("{bug}; the allocator is unusable"));

    // Each call says the same, and none runs the C.
    let unusable = Err(Error::Bug(bug));
    assert_eq!(buddy.reset_clear(true), unusable);
    assert_eq!(buddy.block_at(0).map(|_| ()), unusable);
    assert_eq!(buddy.snapshot().map(|_| ()), unusable);
    assert_eq!(buddy.statistics().map(|_| ()), unusable);
    assert_eq!(buddy.largest_free_block().map(|_| ()), unusable);
    assert_eq!(buddy.longest_free_run().map(|_| ()), unusable);
    assert_eq!(buddy.print().map(|_| ()), unusable);
    assert_eq!(held.trim(None, CHUNK), unusable);
    assert_eq!(buddy.to_string(), format!("{error}\n"));
    assert_eq!(buddy.avail(), avail);
    // What is allocated stays allocated.
    assert_eq!(held.size(), 64 * CHUNK);
    drop(held.take(0));
    drop(held);
    assert_eq!((buddy.avail(), buddy.live_objects()), (avail, objects));

    let fini = buddy.fini().expect("the last handle");
    assert_eq!((fini.bug, fini.leaked_objects, fini.warnings), (Some(bug), 0, vec![]));

    // Others go on.
    drop(kept);
    assert_eq!(other.avail(), MIB);
    assert_eq!(other.fini().expect("the last handle").warnings, []);
}
