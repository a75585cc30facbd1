//! The table of functions that a kernel's C calls.

use super::{bug, clock, kunit, lockdep, printk, slab};
use crate::module::abi::{MODULE_ABI, Runtime};

/// Passed to every module when it is loaded.
pub(crate) static RUNTIME: Runtime = Runtime {
    abi: MODULE_ABI,
    size: size_of::<Runtime>() as u32,
    object_alloc: slab::object_alloc,
    object_free: slab::object_free,
    kmalloc: slab::kmalloc,
    kfree: slab::kfree,
    cache_create: slab::cache_create,
    bug: bug::bug,
    warn: bug::warn,
    printk: printk::printk,
    lock_is_held: lockdep::lock_is_held,
    random_u32: kunit::random_u32,
    ktime_get: clock::ktime_get,
    kunit_fail: kunit::kunit_fail,
    fail_current_test: kunit::kunit_fail_current_test,
};
