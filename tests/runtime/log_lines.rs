//! Lines of the log, with and without a capture.

use super::*;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use gpu_buddy::wrapper::Monitor;
use log::{Level, Log, Metadata, Record};

type Line = (thread::ThreadId, String, Level, String);

struct Lines(Mutex<Vec<Line>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

thread_local! {
    static MONITOR: RefCell<Option<Rc<Monitor>>> = const { RefCell::new(None) };
}

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let target = record.target().to_owned();
        let line = (thread::current().id(), target, record.level(), record.args().to_string());
        self.0.lock().push(line);
        // As a user's logger may, it asks the monitor.
        MONITOR.with_borrow(|monitor| monitor.as_ref().map(|monitor| monitor.take_seen()));
    }

    fn flush(&self) {}
}

/// What this thread passes to the `log` crate in `f`.
fn logged(f: impl FnOnce()) -> Vec<(String, Level, String)> {
    // Another test may have installed the same logger already.
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
    let _lock = whole_process();
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
    let _lock = whole_process();
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
    let _lock = whole_process();
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
    let _lock = whole_process();
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

/// The logger may use the monitor, whose lock must then be free.
#[test]
fn of_a_monitored_call_are_logged_after_it() {
    let _lock = whole_process();
    let (done, receiver) = mpsc::channel();
    // In a thread, because a logger that waits for the lock waits for ever.
    thread::spawn(move || {
        let monitor = Rc::new(Monitor::new());
        MONITOR.set(Some(Rc::clone(&monitor)));
        let mut mm = Box::new(ffi::gpu_buddy::default());
        let lines = logged(|| {
            // SAFETY: the allocator stays in its box, and this thread alone uses it.
            monitor.run(|| unsafe {
                assert_eq!(ffi::gpu_buddy_init(&raw mut *mm, MIB, CHUNK), 0);
                let lock = ();
                let held = ffi::hold(&lock);
                ffi::gpu_buddy_print(&raw mut *mm);
                drop(held);
                ffi::gpu_buddy_fini(&raw mut *mm);
            });
        });
        MONITOR.set(None);
        done.send(lines.len()).expect("the test waits");
    });
    assert_eq!(receiver.recv_timeout(Duration::from_secs(60)), Ok(10));
}
