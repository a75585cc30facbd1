//! The C knows of the lock that the safe API holds.

use super::*;

/// Each function of the C that asserts the lock knows of it, and is called with it held: the
/// only warnings are the planted ones, which say so. And which methods do not call the C.
#[test]
#[ignore = "for a kernel with planted BUGs"]
fn the_c_is_told_of_the_lock() {
    if !is_planted() || !cfg!(debug_assertions) {
        return;
    }
    let chunk = plant::LOCK_TOLD;
    let buddy = new(chunk).expect("a space");
    let mut seen = 0;
    let mut entered = |f: &mut dyn FnMut()| {
        f();
        let warnings = buddy.warnings();
        let new = warnings.len() - seen;
        seen = warnings.len();
        for warning in warnings {
            assert!(warning.condition.contains("lock_dep_map"), "{warning}");
            assert!(warning.condition.contains("chunk_size"), "without the lock: {warning}");
        }
        new > 0
    };
    let alloc = || buddy.alloc_blocks(Mode::Simple, 4 * chunk, common::alignment(chunk), none());

    // Into the C.
    let mut held = Vec::new();
    assert!(entered(&mut || held.push(alloc().expect("room"))));
    assert!(entered(&mut || held.push(alloc().expect("room"))));
    assert!(entered(&mut || held.push(alloc().expect("room"))));
    assert!(entered(&mut || held[0].trim(None, 3 * chunk).expect("inside")));
    assert!(entered(&mut || drop(held.pop())));
    assert!(entered(&mut || held.pop().expect("a second").free_as_allocated()));
    let mut other = alloc().ok();
    assert!(entered(&mut || other.take().expect("room").free_cleared()));
    assert!(entered(&mut || buddy.reset_clear(false).expect("usable")));
    assert!(entered(&mut || drop(buddy.print().expect("usable"))));
    assert!(entered(&mut || drop(buddy.to_string())));
    if KERNEL.has("addr_to_block") {
        assert!(entered(&mut || assert_eq!(buddy.block_at(0), Ok(None))));
    }

    // Under the lock, but not into the C.
    assert!(!entered(&mut || {
        let _ = (buddy.avail(), buddy.clear_avail(), buddy.live_objects());
        let _ = (buddy.warnings(), buddy.bug(), buddy.fault(), buddy.set_fault(None));
        let _ = (buddy.snapshot(), buddy.statistics(), buddy.check_integrity());
        let _ = (buddy.largest_free_block(), buddy.longest_free_run());
        let _ = format!("{buddy:?}");
    }));
    // Without the lock.
    assert!(!entered(&mut || {
        let _ = (buddy.base_offset(), buddy.size(), buddy.chunk_size(), buddy.clone());
        let blocks = &held[0];
        let _ = (blocks.is_empty(), blocks.size(), blocks.buddy(), format!("{blocks:?}"));
        for block in blocks {
            let _ = (block.offset(), block.order(), block.size(), block.is_clear());
            let _ = block.info();
        }
    }));
    assert!(!entered(&mut || {
        let taken = held[0].take(0);
        held.extend(taken);
    }));
}
