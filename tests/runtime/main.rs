//! What the kernel would provide at run time: BUG, WARN, the log, memory that is
//! counted, lockdep, the module's init function.
//!
//! Alone, because this belongs to the process: objects of the raw layer are counted for all of
//! it, a logger is installed for all of it, and some tests take the module's cache away. So each
//! test that makes an allocator holds a lock.

#[path = "../common/mod.rs"]
mod common;

mod bugs;
mod coverage_scenarios;
#[cfg(lockdep)]
mod lockdep;
mod log_lines;
mod module;
mod objects;
mod warnings;

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

/// Held by each test that makes an allocator.
fn whole_process() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock()
}

/// A block of a fresh allocator that is not allocated.
fn free_block(raw: &mut Raw) -> *mut ffi::gpu_buddy_block {
    // SAFETY: an initialised allocator has at least one root, here a free one.
    unsafe { *(*raw.mm()).roots }
}

/// Frees a block that is not allocated.
fn provoke(raw: &mut Raw) -> Captured<()> {
    let block = free_block(raw);
    let mm = raw.mm();
    // SAFETY: the block is one of this allocator; that it is free is what the C
    // looks at first.
    capture(|| unsafe { ffi::gpu_buddy_free_block(mm, block) })
}

/// Checks that the source line at a place contains a text.
fn assert_place(file: &str, line: u32, text: &str) {
    assert_eq!(file, "drivers/gpu/buddy.c");
    let found = kernel_line(file, line);
    assert!(found.contains(text), "line {line} is {found:?}, not {text:?}");
}

mod panics {
    use super::*;

    #[test]
    fn go_through_a_capture() {
        let call = || capture(|| std::panic::resume_unwind(Box::new(7)));
        let payload = catch_unwind(call).expect_err("it unwinds");
        assert_eq!(payload.downcast_ref(), Some(&7));
        // The capture has ended: what is printed now is not captured.
        let after = capture(|| ());
        assert_eq!((after.result, after.log, after.warnings), (Ok(()), vec![], vec![]));
    }
}

#[test]
fn lockdep_is_as_the_kernel_says() {
    assert_eq!(gpu_buddy::KERNEL.has("lockdep"), cfg!(lockdep));
    assert!(!gpu_buddy::KERNEL.has("no such thing"));
}

#[test]
fn the_raw_layer_takes_every_argument_by_itself() {
    let _lock = whole_process();
    let mut raw = Raw::new(MIB, CHUNK).expect("a space");
    let mut list = List::new();
    let request = AllocRequest { size: 1, min_block_size: CHUNK, ..AllocRequest::default() };
    assert_eq!(raw.alloc(&request, &mut list), -Errno::EINVAL.code());
    assert!(list.blocks().is_empty());
}
