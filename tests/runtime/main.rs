//! What the kernel would provide at run time: BUG, WARN, the log, memory that is
//! counted, lockdep, the module's init function.

#[path = "../common/mod.rs"]
mod common;
mod coverage_scenarios;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Barrier;
use std::thread;

use crate::common::{CHUNK, List, MIB, Raw, exact, kernel_line, simple, space};
use gpu_buddy::ffi::{Captured, capture, live_objects};
use gpu_buddy::{
    AllocRequest, AllocatedBlock, Errno, Error, GpuBuddy, GpuBuddyAllocFlags as Flags, KernelBug,
    LogLevel, ffi,
};
use parking_lot::{Mutex, MutexGuard};
use rstest::rstest;

/// Objects of the raw layer are counted for the whole process, so whoever uses
/// it has this.
fn raw_layer() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock()
}

/// A block of a fresh allocator that is not allocated.
fn free_block(raw: &mut Raw) -> *mut ffi::gpu_buddy_block {
    // SAFETY: an initialised allocator has at least one root, here a free one.
    unsafe { *(*raw.mm()).roots }
}

/// Frees what is not allocated.
fn provoke(raw: &mut Raw) -> Captured<()> {
    let block = free_block(raw);
    let mm = raw.mm();
    // SAFETY: the block is one of this allocator; that it is free is what the C
    // looks at first.
    capture(|| unsafe { ffi::gpu_buddy_free_block(mm, block) })
}

/// Checks that a report is about the place that it names.
fn assert_place(file: &str, line: u32, text: &str) {
    assert_eq!(file, "drivers/gpu/buddy.c");
    let found = kernel_line(file, line);
    assert!(found.contains(text), "line {line} is {found:?}, not {text:?}");
}

mod bugs {
    use super::*;

    #[test]
    fn are_errors_with_a_place() {
        let _lock = raw_layer();
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
        let _lock = raw_layer();
        let mut raw = Raw::new(MIB, CHUNK).expect("a space");
        let (mm, block) = (raw.mm(), free_block(&mut raw));
        // SAFETY: as in `provoke`.
        let call = AssertUnwindSafe(|| unsafe { ffi::gpu_buddy_free_block(mm, block) });
        let payload = catch_unwind(call).expect_err("it unwinds");
        let bug = payload.downcast::<KernelBug>().expect("the payload is the BUG");
        assert_place(bug.file, bug.line, "BUG_ON(");
        raw.leak();
    }

    /// How the links of the one block on a list are spoilt.
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
        let _lock = raw_layer();
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
        let _lock = raw_layer();
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

    /// Where a block of the safe API is, which does not tell.
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
}

mod warnings {
    use super::*;

    #[test]
    fn of_a_teardown_in_use_are_recorded() {
        let _lock = raw_layer();
        let before = live_objects();
        let mut raw = Raw::new(MIB, CHUNK).expect("a space");
        let _list = raw.simple(CHUNK);
        let captured = capture(|| drop(raw));
        assert_eq!(captured.result, Ok(()));
        let conditions: Vec<_> =
            captured.warnings.iter().map(|warning| warning.condition).collect();
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
        // And the leak is seen: what the root was split into.
        assert_eq!(live_objects() - before, 16);
    }

    #[test]
    fn of_a_call_that_goes_well_there_are_none() {
        let _lock = raw_layer();
        let captured = capture(|| {
            let mut raw = Raw::new(MIB, CHUNK).expect("a space");
            let mut list = raw.simple(CHUNK);
            raw.free(&mut list);
        });
        assert_eq!((captured.result, captured.warnings, captured.log), (Ok(()), vec![], vec![]));
    }

    #[test]
    fn stay_with_the_capture_that_is_innermost() {
        let _lock = raw_layer();
        let outer = capture(|| {
            capture(|| {
                let mut raw = Raw::new(MIB, CHUNK).expect("a space");
                let _list = raw.simple(CHUNK);
            })
        });
        assert_eq!(outer.warnings, []);
        assert_ne!(outer.result.expect("no BUG").warnings, []);
    }
}

mod log_lines {
    use super::*;
    use log::{Level, Log, Metadata, Record};

    type Line = (thread::ThreadId, String, Level, String);

    struct Lines(Mutex<Vec<Line>>);

    static LINES: Lines = Lines(Mutex::new(Vec::new()));

    impl Log for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            let target = record.target().to_owned();
            let line = (thread::current().id(), target, record.level(), record.args().to_string());
            self.0.lock().push(line);
        }

        fn flush(&self) {}
    }

    /// What this thread hands to the `log` crate in `f`.
    fn logged(f: impl FnOnce()) -> Vec<(String, Level, String)> {
        // Another test may have set it already, to the same.
        let _ = log::set_logger(&LINES);
        log::set_max_level(log::LevelFilter::Trace);
        let own = thread::current().id();
        LINES.0.lock().retain(|(thread, ..)| *thread != own);
        f();
        let lines = LINES.0.lock();
        lines
            .iter()
            .filter(|(thread, ..)| *thread == own)
            .map(|(_, target, level, text)| (target.clone(), *level, text.clone()))
            .collect()
    }

    #[test]
    fn are_captured_with_their_level() {
        let _lock = raw_layer();
        let mut raw = Raw::new(MIB, CHUNK).expect("a space");
        let mm = raw.mm();
        let mut list = raw.simple(CHUNK);
        let block = list.blocks()[0];
        // SAFETY: the allocator is initialised, and the block is its.
        let captured = capture(|| unsafe {
            ffi::gpu_buddy_block_print(mm, block);
            ffi::gpu_buddy_print(mm);
        });
        assert_eq!(captured.result, Ok(()));
        assert!(captured.log.iter().all(|line| line.level == LogLevel::Info));
        let text: Vec<_> = captured.log.iter().map(ToString::to_string).collect();
        assert_eq!(text[0], "0x00000000000ff000-0x0000000000100000: 4096");
        assert_eq!(text[1], "chunk_size: 4KiB, total: 1MiB, free: 0MiB, clear_free: 0MiB");
        assert_eq!(text.len(), 2 + 9);
        raw.free(&mut list);
    }

    #[test]
    fn go_to_the_log_crate_where_nobody_captures_them() {
        let _lock = raw_layer();
        let mut raw = Raw::new(MIB, CHUNK).expect("a space");
        let mut list = raw.simple(CHUNK);
        let (mm, block) = (raw.mm(), list.blocks()[0]);
        // SAFETY: as above.
        let lines = logged(|| unsafe { ffi::gpu_buddy_block_print(mm, block) });
        let text = "0x00000000000ff000-0x0000000000100000: 4096".to_owned();
        assert_eq!(lines, [("gpu_buddy".to_owned(), Level::Info, text)]);
        raw.free(&mut list);
    }

    #[test]
    fn go_to_one_or_the_other() {
        let _lock = raw_layer();
        let mut raw = Raw::new(MIB, CHUNK).expect("a space");
        let (mm, block) = (raw.mm(), free_block(&mut raw));
        let lines = logged(|| {
            // SAFETY: as above.
            let captured = capture(|| unsafe { ffi::gpu_buddy_block_print(mm, block) });
            assert_eq!(captured.log.len(), 1);
        });
        assert_eq!(lines, []);
        let buddy = space(MIB);
        assert_eq!(logged(|| assert_eq!(buddy.print().map(|lines| lines.len()), Ok(10))), []);
    }

    #[test]
    fn of_a_warning_have_its_place() {
        let _lock = raw_layer();
        let lines = logged(|| {
            let mut raw = Raw::new(MIB, CHUNK).expect("a space");
            let _list = raw.simple(CHUNK);
        });
        assert!(!lines.is_empty());
        for (target, level, text) in lines {
            assert_eq!((target.as_str(), level), ("gpu_buddy", Level::Warn));
            assert!(text.starts_with("WARNING at drivers/gpu/buddy.c:"), "{text}");
        }
    }
}

mod objects {
    use super::*;

    #[test]
    fn are_counted_while_they_live() {
        let _lock = raw_layer();
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
        let _lock = raw_layer();
        let before = live_objects();
        assert_eq!(Raw::new(MIB, 3 * CHUNK).err(), Some(-22));
        assert_eq!(live_objects(), before);
    }

    #[test]
    fn of_the_safe_api_are_its_own() {
        let _lock = raw_layer();
        let before = live_objects();
        let buddy = space(MIB);
        let _blocks = simple(&buddy, CHUNK, Flags::empty()).expect("room");
        assert_eq!(live_objects(), before);
        assert!(buddy.live_objects() > 16);
    }

    #[test]
    fn of_the_raw_layer_come_from_malloc_inside_of_a_capture_too() {
        let _lock = raw_layer();
        let before = live_objects();
        let raw = capture(|| Raw::new(MIB, CHUNK)).result.expect("no BUG").expect("a space");
        assert!(live_objects() > before);
        drop(raw);
        assert_eq!(live_objects(), before);
    }
}

mod panics {
    use super::*;

    #[test]
    fn go_through_a_capture() {
        let call = || capture(|| std::panic::resume_unwind(Box::new(7)));
        let payload = catch_unwind(call).expect_err("it unwinds");
        assert_eq!(payload.downcast_ref(), Some(&7));
        // And leave it behind: what is printed now is not captured.
        let after = capture(|| ());
        assert_eq!((after.result, after.log, after.warnings), (Ok(()), vec![], vec![]));
    }
}

#[cfg(lockdep)]
mod lockdep {
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

    /// Calls with a block of 8 KiB on a list, with or without the C being told
    /// of a lock; returns how many warnings that were.
    fn warnings(call: Call, told: bool) -> usize {
        let _lock = raw_layer();
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
        assert_eq!(warnings(call, false), 0, "the C was told of no lock");
    }

    #[test]
    fn the_safe_api_holds_the_lock() {
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
}

#[test]
fn lockdep_is_as_the_kernel_says() {
    assert_eq!(gpu_buddy::KERNEL.has("lockdep"), cfg!(lockdep));
    assert!(!gpu_buddy::KERNEL.has("no such thing"));
}

/// Without it, the first block would come from a cache that is null.
#[test]
fn the_module_is_initialised_before_any_thread() {
    let _lock = raw_layer();
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
    let _lock = raw_layer();
    let before = live_objects();
    let mut raw = Raw::new(MIB, CHUNK).expect("a space");
    let mut list = raw.simple(CHUNK);
    // SAFETY: it sets the cache to what it is, so others may use it meanwhile.
    assert_eq!(unsafe { ffi::module_init() }, 0);
    raw.free(&mut list);
    drop(raw);
    assert_eq!(live_objects(), before);
}

#[test]
fn the_raw_layer_takes_every_argument_by_itself() {
    let _lock = raw_layer();
    let mut raw = Raw::new(MIB, CHUNK).expect("a space");
    let mut list = List::new();
    let request = AllocRequest { size: 1, min_block_size: CHUNK, ..AllocRequest::default() };
    assert_eq!(raw.alloc(&request, &mut list), -Errno::EINVAL.code());
    assert!(list.blocks().is_empty());
}
