//! KUnit: failed checks, and the random numbers of a run.

use core::cell::Cell;
use core::ffi::{CStr, c_char, c_uint};

use super::scope::{AssertionFailed, Event, in_kunit, report, unwind};
use crate::module::abi::{Kunit, KunitCheck};

thread_local! {
    static SEED: Cell<u32> = const { Cell::new(0) };
}

/// Sets the seed of this thread's next run.
pub(crate) fn set_seed(seed: u32) {
    SEED.set(seed);
}

/// Returns the seed first. The suite draws until it gets a number that is not 0.
pub(super) extern "C-unwind" fn random_u32() -> u32 {
    SEED.replace(SEED.get().wrapping_add(1))
}

/// # Safety
///
/// `check` and the strings are valid.
pub(super) unsafe extern "C-unwind" fn kunit_fail(
    _test: *mut Kunit,
    check: *const KunitCheck,
    expected: *const c_char,
    values: *const c_char,
    message: *const c_char,
) {
    // SAFETY: vendor/shim/module/printk.c passes the check that the macros made, and strings in its
    // own buffers.
    let (check, [expected, values, message]) =
        unsafe { (&*check, [expected, values, message].map(|text| CStr::from_ptr(text))) };
    // SAFETY: the file's name is a string literal.
    let file = unsafe { CStr::from_ptr(check.file) }.to_string_lossy();
    let kind = if check.assertion { "ASSERTION" } else { "EXPECTATION" };
    let mut text =
        format!("{kind} FAILED at {file}:{}: expected {}", check.line, expected.to_string_lossy());
    if !values.is_empty() {
        text = format!("{text}, but {}", values.to_string_lossy());
    }
    if !message.is_empty() {
        text = format!("{text}: {}", message.to_string_lossy().trim_end());
    }
    report(Event::Failure(text));
    if check.assertion {
        unwind(AssertionFailed, &"the assertion ends its case");
    }
}

/// # Safety
///
/// The strings are valid.
pub(super) unsafe extern "C-unwind" fn kunit_fail_current_test(
    file: *const c_char,
    line: c_uint,
    message: *const c_char,
) {
    if !in_kunit() {
        return;
    }
    // SAFETY: vendor/shim/module/printk.c passes a literal and its buffer.
    let [file, message] =
        unsafe { [file, message].map(|text| CStr::from_ptr(text).to_string_lossy()) };
    report(Event::Failure(format!("FAILED at {file}:{line}: {message}")));
}
