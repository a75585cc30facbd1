//! Faults planted in the allocator: `torture` and `check` find each of them.
//!
//! Alone, because each fault has to be found within a time limit, with all processors. So only
//! one test runs at a time.

#[path = "../common/mod.rs"]
mod common;

mod check;
mod faults;
mod known;
mod plant;
mod torture;

use std::sync::{Mutex, MutexGuard, PoisonError};

const ALLOCATOR: &str = "drivers/gpu/buddy.c";

/// Held by the test that is running.
fn processors() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}
