//! The kernel's own KUnit suite for the allocator, unchanged, on this machine.
//!
//! ```
//! for case in gpu_buddy::kunit::cases() {
//!     if !case.is_slow() {
//!         let result = case.run(Some(1));
//!         assert!(result.passed(), "{}: {:?}", case.name(), result.failures);
//!     }
//! }
//! ```

use core::cell::Cell;
use core::ffi::{CStr, c_char, c_uint};
use core::ptr;

use parking_lot::Mutex;

use crate::runtime::arena::Arena;
use crate::runtime::{AssertionFailed, Event, Outcome, Scope, Stop, in_kunit, report};
use crate::{LogLine, ffi};

/// A case of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Case(&'static ffi::kunit_case);

// SAFETY: a case is a description that nobody writes.
unsafe impl Send for Case {}
// SAFETY: as above.
unsafe impl Sync for Case {}

/// How the run of a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaseResult {
    /// Why it failed: expectations and assertions that did not hold, warnings,
    /// a BUG, a leak. Empty where it passed.
    pub failures: Vec<String>,
    /// What the suite printed as it was set up.
    pub suite_log: Vec<LogLine>,
    /// What the case printed.
    pub log: Vec<LogLine>,
}

impl CaseResult {
    /// Whether nothing failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// The suite keeps its seed in a static variable, so one case runs at a time.
static RUNNING: Mutex<()> = Mutex::new(());

thread_local! {
    static SEED: Cell<u32> = const { Cell::new(0) };
}

fn suite() -> &'static ffi::kunit_suite {
    // SAFETY: the C initialises it at compile time and nobody writes it.
    unsafe { &*ffi::shim_kunit_suite }
}

/// The name of the suite.
#[must_use]
pub fn suite_name() -> &'static str {
    name(suite().name)
}

/// The cases of the suite, in its order.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut next = suite().test_cases.cast_const();
    // SAFETY: an entry without a function ends the array.
    while let Some(case) = unsafe { next.as_ref() }.filter(|case| case.run_case.is_some()) {
        cases.push(Case(case));
        // SAFETY: this was not the last entry.
        next = unsafe { next.add(1) };
    }
    cases
}

impl Case {
    /// The name of the C function.
    #[must_use]
    pub fn name(&self) -> &'static str {
        name(self.0.name)
    }

    /// Whether the suite marks it as slow.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.0.slow
    }

    /// Runs the case, with its random numbers drawn from `seed`, or from one
    /// that the system gives. Waits for another case that is running.
    #[must_use]
    pub fn run(&self, seed: Option<u32>) -> CaseResult {
        let seed = seed.unwrap_or_else(|| getrandom::u32().unwrap_or(1));
        let _running = RUNNING.lock();
        SEED.set(seed);
        let mut arena = Arena::new();
        let mut result =
            CaseResult { failures: Vec::new(), suite_log: Vec::new(), log: Vec::new() };

        let set_up = Scope::for_kunit(&mut arena).run(|| {
            let suite = ptr::from_ref(suite()).cast_mut();
            // SAFETY: the suite's functions take the suite, and run one at a time.
            unsafe {
                ffi::shim_kunit_forget_seed();
                (*suite).suite_init.map_or(0, |suite_init| suite_init(suite))
            }
        });
        if let Some(error) = result.take_in(set_up, |result| &mut result.suite_log)
            && error != 0
        {
            result.failures.push(format!("the suite's init function returned {error}"));
        }
        if !result.passed() {
            return result;
        }

        let run_case = self.0.run_case.expect("cases() returns only cases with a function");
        let mut test = ffi::kunit { name: self.0.name, priv_: ptr::null_mut() };
        // SAFETY: the case takes a test, and runs alone.
        let outcome = Scope::for_kunit(&mut arena).run(|| unsafe { run_case(&raw mut test) });
        // What ends early leaves objects behind, here as in the kernel.
        if result.take_in(outcome, |result| &mut result.log).is_some() && arena.live() != 0 {
            result.failures.push(format!("the case leaked {} objects", arena.live()));
        }
        result
    }
}

impl CaseResult {
    /// Takes in what a function of the suite reported, and returns its value if
    /// it got to its end.
    fn take_in<R>(
        &mut self,
        outcome: Outcome<R>,
        log: fn(&mut Self) -> &mut Vec<LogLine>,
    ) -> Option<R> {
        for event in outcome.events {
            match event {
                Event::Log(line) => log(self).push(line),
                Event::Warning(warning) => self.failures.push(warning.to_string()),
                Event::Failure(reason) => self.failures.push(reason),
            }
        }
        match outcome.result {
            Ok(value) => return Some(value),
            Err(Stop::Bug(bug)) => self.failures.push(bug.to_string()),
            // Reported as it failed.
            Err(Stop::Assertion) => {}
            Err(Stop::Panic(payload)) => std::panic::resume_unwind(payload),
        }
        None
    }
}

fn name(name: *const c_char) -> &'static str {
    // SAFETY: names are string literals.
    unsafe { CStr::from_ptr(name) }.to_str().unwrap_or("(not UTF-8)")
}

/// The seed first. The suite draws until it gets one that is not 0.
#[unsafe(no_mangle)]
extern "C-unwind" fn gpu_buddy_rt_random_u32() -> u32 {
    SEED.replace(SEED.get().wrapping_add(1))
}

/// # Safety
///
/// `check` and the strings are valid.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn gpu_buddy_rt_kunit_fail(
    _test: *mut ffi::kunit,
    check: *const ffi::shim_kunit_check,
    expected: *const c_char,
    values: *const c_char,
    message: *const c_char,
) {
    // SAFETY: vendor/shim/printk.c passes what the macros made, and its buffers.
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
        std::panic::resume_unwind(Box::new(AssertionFailed));
    }
}

/// # Safety
///
/// The strings are valid.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn gpu_buddy_rt_kunit_fail_current_test(
    file: *const c_char,
    line: c_uint,
    message: *const c_char,
) {
    if !in_kunit() {
        return;
    }
    // SAFETY: vendor/shim/printk.c passes a literal and its buffer.
    let [file, message] =
        unsafe { [file, message].map(|text| CStr::from_ptr(text).to_string_lossy()) };
    report(Event::Failure(format!("FAILED at {file}:{line}: {message}")));
}
