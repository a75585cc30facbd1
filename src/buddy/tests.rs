//! Tests of what a user of the safe API cannot cause or see: a panic while the lock is held, and
//! how much memory an allocator has.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::*;
use crate::GpuBuddyParams;
use crate::fault::Fault;
use crate::sizes::*;

fn space() -> GpuBuddy {
    let params = GpuBuddyParams {
        base_offset: 0,
        size: SZ_1M as u64,
        chunk_size: Alignment::new::<SZ_4K>(),
    };
    GpuBuddy::new(params).expect("a space")
}

fn alloc(buddy: &GpuBuddy) -> Result<AllocatedBlocks> {
    let request = AllocRequest {
        size: SZ_4K as u64,
        min_block_size: SZ_4K as u64,
        ..AllocRequest::default()
    };
    buddy.alloc(&request)
}

#[test]
fn a_panic_inside_the_c_goes_on_and_ends_the_use() {
    let buddy = space();
    let blocks = alloc(&buddy).expect("room");
    let call = || buddy.0.call(|_| resume_unwind(Box::new("planted")));
    let payload =
        catch_unwind(AssertUnwindSafe(call)).map(|_: Result<()>| ()).expect_err("a panic");
    assert_eq!(payload.downcast_ref(), Some(&"planted"));
    let bug = buddy.bug().expect("it is of no use");
    assert_eq!(bug.to_string(), "panic inside the C");
    // The lock is free again, and the allocator is unusable.
    assert_eq!(alloc(&buddy).map(|_| ()), Err(Error::Bug(bug)));
    drop(blocks);
    let fini = buddy.fini().expect("the last handle");
    assert_eq!((fini.bug, fini.leaked_objects), (Some(bug), 0));
}

/// What this thread passes to the logger.
struct Lines;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.with_borrow_mut(|lines| lines.push(record.args().to_string()));
    }

    fn flush(&self) {}
}

#[test]
fn what_the_c_reports_before_a_panic_is_logged() {
    log::set_logger(&Lines).expect("no other test has a logger");
    log::set_max_level(log::LevelFilter::Info);
    let buddy = space();
    let call = || {
        buddy.0.call(|mm| {
            // SAFETY: `mm` is initialised and its lock is held.
            unsafe { ffi::gpu_buddy_print(mm) };
            resume_unwind(Box::new("planted"))
        })
    };
    let payload =
        catch_unwind(AssertUnwindSafe(call)).map(|_: Result<()>| ()).expect_err("a panic");
    assert_eq!(payload.downcast_ref(), Some(&"planted"));
    LINES.with_borrow(|lines| assert!(lines[0].starts_with("chunk_size: 4KiB"), "{lines:?}"));
}

#[test]
fn a_panic_while_the_state_is_read_changes_nothing() {
    let buddy = space();
    let blocks = alloc(&buddy).expect("room");
    let read = || buddy.0.read(|_, _| resume_unwind(Box::new("planted")));
    let payload =
        catch_unwind(AssertUnwindSafe(read)).map(|_: Result<()>| ()).expect_err("a panic");
    assert_eq!(payload.downcast_ref(), Some(&"planted"));
    drop(blocks);
    assert_eq!((buddy.avail(), buddy.bug()), (buddy.size(), None));
    assert_eq!(buddy.fini().expect("the last handle").leaked_objects, 0);
}

/// Replacing a fault must not hide that memory failed under the next one.
#[cfg(undo_splits)]
#[test]
fn memory_failures_count_over_all_faults() {
    let buddy = space();
    let mut failed = 0;
    for _ in 0..2 {
        buddy.set_fault(Some(Fault::nth(1).times(u64::MAX)));
        assert!(alloc(&buddy).is_err());
        failed += buddy.set_fault(None).expect("a fault").failed();
        assert_eq!(buddy.events(0).2, failed);
    }
}

/// Three roots.
fn large_space() -> GpuBuddy {
    let params = GpuBuddyParams {
        base_offset: 0,
        size: (SZ_1G + SZ_512M + SZ_4K) as u64,
        chunk_size: Alignment::new::<SZ_4K>(),
    };
    GpuBuddy::new(params).expect("a space")
}

fn slabs(buddy: &GpuBuddy) -> (usize, usize) {
    buddy.0.state.lock().arena.slabs()
}

/// Makes the same calls on both, and compares the results.
fn assert_alike(one: &GpuBuddy, other: &GpuBuddy) {
    let modes = [
        GpuBuddyAllocMode::Simple,
        GpuBuddyAllocMode::TopDown,
        GpuBuddyAllocMode::Range(SZ_1M as u64..SZ_1G as u64),
    ];
    let mut kept = Vec::new();
    for step in 0..600_u64 {
        let size = (step * step % 37 + 1) * SZ_4K as u64;
        let mode = modes[step as usize % modes.len()].clone();
        let [left, right] = [one, other].map(|buddy| {
            let flags = GpuBuddyAllocFlags::default();
            buddy.alloc_blocks(mode.clone(), size, buddy.chunk_size(), flags).expect("room")
        });
        assert_eq!(format!("{left:?}"), format!("{right:?}"), "step {step}");
        kept.push((left, right));
        if step % 3 == 0 {
            drop(kept.swap_remove(step as usize * 7 % kept.len()));
        }
    }
    assert_eq!(one.snapshot(), other.snapshot());
    drop(kept);
    assert_eq!(one.snapshot(), other.snapshot());
    for buddy in [one, other] {
        assert_eq!(buddy.check_integrity(), Ok(vec![]));
        assert_eq!((buddy.avail(), buddy.warnings()), (buddy.size(), vec![]));
    }
}

#[test]
fn memory_goes_back_when_blocks_are_freed() {
    let buddy = large_space();
    let (objects, (_, kept)) = (buddy.live_objects(), slabs(&buddy));
    for _ in 0..2 {
        let blocks: Vec<_> = (0..300_000).map(|_| alloc(&buddy).expect("room")).collect();
        assert!(buddy.live_objects() > 2 * 300_000);
        assert!(kept == 0 || slabs(&buddy).0 > 100, "{:?}", slabs(&buddy));

        drop(blocks);
        assert_eq!(buddy.live_objects(), objects);
        assert_eq!(slabs(&buddy), (kept, kept));
        assert_alike(&buddy, &large_space());
    }
    assert_eq!(buddy.fini().expect("the last handle").leaked_objects, 0);
}

/// Slabs with live objects are not freed.
#[test]
fn memory_that_is_used_stays() {
    let buddy = large_space();
    let mut blocks: Vec<_> = (0..30_000).map(|_| alloc(&buddy).expect("room")).collect();
    let grown = slabs(&buddy);
    let last = blocks.pop().expect("many");
    let before = format!("{last:?}");
    drop(blocks);
    assert_eq!(slabs(&buddy), grown);
    assert_eq!(format!("{last:?}"), before);
    assert_eq!(buddy.check_integrity(), Ok(vec![]));
    // The kept slabs are used first, so the arena does not grow again.
    drop((0..3_000).map(|_| alloc(&buddy).expect("room")).collect::<Vec<_>>());
    assert_eq!(slabs(&buddy), grown);

    drop(last);
    let (left, kept) = slabs(&buddy);
    assert_eq!(left, kept);
    assert_alike(&buddy, &large_space());
}

/// An allocator around the size of the kept slabs does not allocate and free a slab again and
/// again.
#[test]
fn memory_is_not_given_back_too_early() {
    let buddy = large_space();
    let mut blocks = Vec::new();
    while slabs(&buddy).0 <= slabs(&buddy).1 && slabs(&buddy).1 != 0 {
        blocks.push(alloc(&buddy).expect("room"));
    }
    let grown = slabs(&buddy);
    blocks.truncate(blocks.len() * 3 / 4);
    assert_eq!(slabs(&buddy), grown);
    drop(blocks);
    let (left, kept) = slabs(&buddy);
    assert_eq!(left, kept);
}
