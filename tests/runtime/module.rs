//! The module's init function.

use super::*;

/// Otherwise the first block would come from a null cache.
#[test]
fn the_module_is_initialised_before_any_thread() {
    let _lock = whole_process();
    let before = live_objects();
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                let mut raw = Raw::new(MIB, CHUNK).expect("a space");
                let mut list = raw.simple(CHUNK);
                raw.free(&mut list);
            });
        }
    });
    assert_eq!(live_objects(), before);
}

/// A cache is static, so another call of the init function finds the same.
#[test]
fn the_module_can_be_initialised_again() {
    let _lock = whole_process();
    let before = live_objects();
    let mut raw = Raw::new(MIB, CHUNK).expect("a space");
    let mut list = raw.simple(CHUNK);
    // SAFETY: it sets the cache to what it is, so others may use it meanwhile.
    assert_eq!(unsafe { ffi::module_init() }, 0);
    raw.free(&mut list);
    drop(raw);
    assert_eq!(live_objects(), before);
}
