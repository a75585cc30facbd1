//! Objects of the raw layer are counted.

use super::*;

#[test]
fn are_counted_while_they_live() {
    let _lock = whole_process();
    let before = live_objects();
    let mut raw = Raw::new(MIB, CHUNK).expect("a space");
    let fresh = live_objects();
    assert!(fresh > before);
    let mut list = raw.simple(CHUNK);
    // Eight splits make two blocks each.
    assert_eq!(live_objects(), fresh + 16);
    raw.free(&mut list);
    assert_eq!(live_objects(), fresh);
    drop(raw);
    assert_eq!(live_objects(), before);
}

#[test]
fn of_a_space_that_is_refused_there_are_none() {
    let _lock = whole_process();
    let before = live_objects();
    assert_eq!(Raw::new(MIB, 3 * CHUNK).err(), Some(-22));
    assert_eq!(live_objects(), before);
}

#[test]
fn of_the_safe_api_are_its_own() {
    let _lock = whole_process();
    let before = live_objects();
    let buddy = space(MIB);
    let _blocks = simple(&buddy, CHUNK, Flags::empty()).expect("room");
    assert_eq!(live_objects(), before);
    assert!(buddy.live_objects() > 16);
}

#[test]
fn of_the_raw_layer_come_from_malloc_inside_of_a_capture_too() {
    let _lock = whole_process();
    let before = live_objects();
    let raw = capture(|| Raw::new(MIB, CHUNK)).result.expect("no BUG").expect("a space");
    assert!(live_objects() > before);
    drop(raw);
    assert_eq!(live_objects(), before);
}
