//! Clones, allocations that outlive a handle, and the teardown.

use super::*;

#[test]
fn a_clone_is_the_same_allocator() {
    let buddy = space(MIB);
    let other = buddy.clone();
    let blocks = simple(&other, 64 * KIB, none()).expect("room");
    assert_eq!(buddy.avail(), MIB - 64 * KIB);
    drop(other);
    drop(blocks);
    assert_all_free(&buddy);
}

#[test]
fn an_allocation_keeps_its_allocator_alive() {
    let buddy = space(MIB);
    let blocks = simple(&buddy, 64 * KIB, none()).expect("room");
    drop(buddy);
    assert_eq!(extents(&blocks), [(MIB - 64 * KIB, 64 * KIB)]);
    let buddy = blocks.buddy().clone();
    drop(blocks);
    assert_all_free(&buddy);
    assert_eq!(buddy.fini().expect("the last handle").warnings, []);
}

#[test]
fn fini_reports_nothing_of_a_clean_end() {
    let buddy = space(3 * MIB);
    drop(churn(&buddy, 7, || {}));
    let fini = buddy.fini().expect("the last handle");
    assert_eq!((fini.warnings, fini.bug, fini.leaked_objects), (vec![], None, 0));
}

#[test]
fn fini_gives_the_handle_back_where_another_is_alive() {
    let buddy = space(MIB);
    let other = buddy.clone();
    let buddy = buddy.fini().expect_err("shared");
    drop(other);
    let blocks = simple(&buddy, CHUNK, none()).expect("it still works");
    let buddy = buddy.fini().expect_err("an allocation is alive");
    assert_eq!(buddy.avail(), MIB - CHUNK);
    drop(blocks);
    assert!(buddy.fini().is_ok());
}

#[test]
fn objects_are_counted() {
    let buddy = space(MIB);
    let fresh = buddy.live_objects();
    let blocks = simple(&buddy, CHUNK, none()).expect("room");
    // Eight splits make two blocks each.
    assert_eq!(buddy.live_objects(), fresh + 16);
    drop(blocks);
    assert_eq!(buddy.live_objects(), fresh);
}
