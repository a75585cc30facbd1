//! Warnings, and which capture records them.

use super::*;

#[test]
fn of_a_teardown_in_use_are_recorded() {
    let _lock = whole_process();
    let before = live_objects();
    let mut raw = Raw::new(MIB, CHUNK).expect("a space");
    let _list = raw.simple(CHUNK);
    let captured = capture(|| drop(raw));
    assert_eq!(captured.result, Ok(()));
    let conditions: Vec<_> = captured.warnings.iter().map(|warning| warning.condition).collect();
    for expected in ["gpu_buddy_block_is_free(mm->roots[i])", "mm->avail"] {
        assert!(conditions.iter().any(|text| text.contains(expected)), "{conditions:?}");
    }
    for warning in &captured.warnings {
        assert_eq!(warning.file, "drivers/gpu/buddy.c");
        let line = kernel_line(warning.file, warning.line);
        assert!(line.contains("assert(") || line.contains("WARN_ON("), "{line}");
        assert_eq!(
            warning.to_string(),
            format!("WARNING at {}:{}: {}", warning.file, warning.line, warning.condition)
        );
    }
    // The leak is counted: the blocks that the root was split into.
    assert_eq!(live_objects() - before, 16);
}

#[test]
fn of_a_call_that_goes_well_there_are_none() {
    let _lock = whole_process();
    let captured = capture(|| {
        let mut raw = Raw::new(MIB, CHUNK).expect("a space");
        let mut list = raw.simple(CHUNK);
        raw.free(&mut list);
    });
    assert_eq!((captured.result, captured.warnings, captured.log), (Ok(()), vec![], vec![]));
}

#[test]
fn stay_with_the_capture_that_is_innermost() {
    let _lock = whole_process();
    let outer = capture(|| {
        capture(|| {
            let mut raw = Raw::new(MIB, CHUNK).expect("a space");
            let _list = raw.simple(CHUNK);
        })
    });
    assert_eq!(outer.warnings, []);
    assert_ne!(outer.result.expect("no BUG").warnings, []);
}
