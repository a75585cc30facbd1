//! A logger that panics. Each call of the C warns.

use std::cell::Cell;

use log::{LevelFilter, Log, Metadata, Record};

use super::*;

thread_local! {
    static PANICS: Cell<bool> = const { Cell::new(false) };
    static LINES: Cell<usize> = const { Cell::new(0) };
}

struct Panicking;

impl Log for Panicking {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        PANICS.get()
    }

    fn log(&self, record: &Record<'_>) {
        if PANICS.get() {
            LINES.set(LINES.get() + 1);
            resume_unwind(Box::new(record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

/// Checks that the logger's panic comes out of `f`, and that it was asked to log
/// so many lines.
fn panics(lines: usize, f: impl FnOnce()) {
    let payload = payload(lines, f);
    let text = payload.downcast_ref::<String>().expect("the logger's");
    assert!(text.contains(&format!("chunk_size == {}", plant::WARN)), "{text}");
}

fn payload(lines: usize, f: impl FnOnce()) -> Box<dyn std::any::Any + Send> {
    let _ = log::set_logger(&Panicking);
    log::set_max_level(LevelFilter::Warn);
    LINES.set(0);
    PANICS.set(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    PANICS.set(false);
    assert_eq!(LINES.get(), lines);
    result.expect_err("a panic")
}

fn alloc(buddy: &GpuBuddy) -> AllocatedBlocks {
    exact(buddy, 0, 7 * plant::WARN).expect("free")
}

/// It has everything back, and is torn down without a complaint.
fn assert_whole(buddy: GpuBuddy) {
    assert_eq!((buddy.bug(), buddy.avail()), (None, buddy.size()));
    assert_eq!(buddy.check_integrity(), Ok(vec![]));
    let fini = buddy.fini().expect("the last handle");
    assert_eq!((fini.bug, fini.leaked_objects), (None, 0));
    for warning in fini.warnings {
        assert!(warning.condition.contains("chunk_size == "), "{warning}");
    }
}

#[test]
#[ignore = "for a kernel with planted BUGs"]
fn new_and_fini() {
    if !is_planted() {
        return;
    }
    // The C's fini warns as well: what was made is torn down.
    panics(2, || drop(new(plant::WARN)));
    let params = params(0, 256 * plant::WARN, plant::WARN);
    let mut fault = Fault::none();
    panics(2, || drop(GpuBuddy::with_fault(params, &mut fault)));
    assert!(fault.attempts() > 3, "{fault:?}");

    let buddy = new(plant::WARN).expect("a space");
    panics(1, || drop(buddy));
    let buddy = new(plant::WARN).expect("a space");
    panics(1, || drop(buddy.fini()));
}

#[test]
#[ignore = "for a kernel with planted BUGs"]
fn alloc_and_trim() {
    if !is_planted() {
        return;
    }
    let buddy = new(plant::WARN).expect("a space");
    // What was allocated is freed again.
    panics(2, || drop(alloc(&buddy)));
    assert_eq!(buddy.avail(), buddy.size());

    let mut blocks = exact(&buddy, 0, 8 * plant::WARN).expect("free");
    panics(1, || blocks.trim(None, 3 * plant::WARN).expect("inside"));
    assert_eq!(blocks.size(), 3 * plant::WARN);
    assert_eq!(buddy.avail(), buddy.size() - blocks.size());
    drop(blocks);
    assert_whole(buddy);
}

#[test]
#[ignore = "for a kernel with planted BUGs"]
fn free() {
    if !is_planted() {
        return;
    }
    let buddy = new(plant::WARN).expect("a space");
    let blocks = alloc(&buddy);
    panics(1, || drop(blocks));
    let blocks = alloc(&buddy);
    panics(1, || blocks.free_cleared());
    let blocks = alloc(&buddy);
    panics(1, || blocks.free_as_allocated());
    let several: Vec<_> =
        (0..3).map(|_| simple(&buddy, plant::WARN, none()).expect("room")).collect();
    panics(3, || drop(several));
    assert_whole(buddy);

    // The last handle is an allocation: the allocator is torn down, too.
    let blocks = alloc(&new(plant::WARN).expect("a space"));
    panics(2, || drop(blocks));
    let blocks = alloc(&new(plant::WARN).expect("a space"));
    panics(2, || blocks.free_cleared());
}

#[test]
#[ignore = "for a kernel with planted BUGs"]
fn print_and_reset_clear() {
    if !is_planted() {
        return;
    }
    let buddy = new(plant::WARN).expect("a space");
    panics(1, || drop(buddy.print()));
    panics(1, || buddy.reset_clear(true).expect("usable"));
    assert_eq!(buddy.clear_avail(), buddy.size());
    assert_whole(buddy);
}

/// A second panic would abort the process.
#[test]
#[ignore = "for a kernel with planted BUGs"]
fn while_a_panic_unwinds() {
    if !is_planted() {
        return;
    }
    let buddy = new(plant::WARN).expect("a space");
    let blocks = alloc(&buddy);
    let other = alloc(&new(plant::WARN).expect("a space"));
    let payload = payload(3, || {
        let _held = (blocks, other);
        resume_unwind(Box::new(7));
    });
    assert_eq!(payload.downcast_ref(), Some(&7));
    assert_whole(buddy);
}
