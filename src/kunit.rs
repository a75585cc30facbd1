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

use core::ffi::{CStr, c_char};
use core::ptr;

use parking_lot::Mutex;

use crate::LogLine;
use crate::module::abi::{Kunit, KunitCase, KunitSuite};
use crate::module::{Module, Stopped};
use crate::runtime::arena::Arena;
use crate::runtime::kunit::set_seed;
use crate::runtime::{Event, Outcome, Scope, Stop};

/// The KUnit suite of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Suite(Module);

/// A test case of a suite.
#[derive(Clone, Copy)]
pub struct Case {
    suite: Suite,
    case: &'static KunitCase,
}

// SAFETY: nobody writes to the description of a case.
unsafe impl Send for Case {}
// SAFETY: as above.
unsafe impl Sync for Case {}

impl core::fmt::Debug for Case {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Case").field(&self.name()).finish()
    }
}

/// The result of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaseResult {
    /// Why it failed: expectations and assertions that did not hold, warnings, a BUG, a leak. Empty
    /// if it passed.
    pub failures: Vec<String>,
    /// What the suite's init function printed.
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

/// Only one case runs at a time, because a suite keeps its seed in a static variable.
static RUNNING: Mutex<()> = Mutex::new(());

/// The name of the compiled-in kernel's suite; empty if it has none.
#[must_use]
pub fn suite_name() -> &'static str {
    Suite::of(Module::compiled_in()).map_or("", Suite::name)
}

/// The cases of the compiled-in kernel, in the order of its suite.
#[must_use]
pub fn cases() -> Vec<Case> {
    Suite::of(Module::compiled_in()).map(Suite::cases).unwrap_or_default()
}

impl Suite {
    /// The suite of a kernel; `None` if its tree has none.
    #[must_use]
    pub fn of(module: Module) -> Option<Self> {
        (!module.table().suite.is_null()).then_some(Self(module))
    }

    fn raw(self) -> *const KunitSuite {
        // SAFETY: `suite` points to a static pointer, which is initialised at compile time and
        // never written.
        unsafe { *self.0.table().suite }
    }

    /// The name of the suite.
    #[must_use]
    pub fn name(self) -> &'static str {
        // SAFETY: the suite is a static variable, and nobody writes its name.
        name(unsafe { (*self.raw()).name })
    }

    /// The cases of the suite, in its order.
    #[must_use]
    pub fn cases(self) -> Vec<Case> {
        let mut cases = Vec::new();
        // SAFETY: the suite is a static variable, and nobody writes its cases.
        let mut next = unsafe { (*self.raw()).test_cases };
        // SAFETY: `next` is in the array, which ends with an entry without a function.
        while let Some(case) = unsafe { next.as_ref() }.filter(|case| case.run_case.is_some()) {
            cases.push(Case { suite: self, case });
            // SAFETY: this was not the last entry of the array.
            next = unsafe { next.add(1) };
        }
        cases
    }
}

impl Case {
    /// The name of the C function.
    #[must_use]
    pub fn name(&self) -> &'static str {
        name(self.case.name)
    }

    /// Whether the suite marks it as slow (`KUNIT_CASE_SLOW`).
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.case.slow
    }

    /// Runs the case. Its random numbers come from `seed`, or from a random seed. Waits until no
    /// other case is running.
    #[must_use]
    pub fn run(&self, seed: Option<u32>) -> CaseResult {
        let seed = seed.unwrap_or_else(|| getrandom::u32().unwrap_or(1));
        let _running = RUNNING.lock();
        set_seed(seed);
        let module = self.suite.0;
        let loaded = module.load();
        let mut arena = Arena::new(true);
        let mut result =
            CaseResult { failures: Vec::new(), suite_log: Vec::new(), log: Vec::new() };
        if let Err(stopped) = loaded {
            let reason = match stopped {
                Stopped::Errno(errno) => format!("the module's init function returned {errno}"),
                Stopped::Bug(bug) => bug.to_string(),
            };
            result.failures.push(reason);
            return result;
        }

        let set_up = Scope::for_kunit(&mut arena).run(|| {
            let suite = self.suite.raw().cast_mut();
            // SAFETY: these functions take the suite, and `RUNNING` is locked, so only this thread
            // runs them.
            unsafe {
                if let Some(forget_seed) = module.table().forget_seed {
                    forget_seed();
                }
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

        let run_case = self.case.run_case.expect("cases() returns only cases with a function");
        let mut test = Kunit { name: self.case.name, private: ptr::null_mut() };
        // SAFETY: the case takes a test, and `RUNNING` is locked, so it runs alone.
        let outcome = Scope::for_kunit(&mut arena).run(|| unsafe { run_case(&raw mut test) });
        // A case that ends early leaves objects behind, here as in the kernel.
        if result.take_in(outcome, |result| &mut result.log).is_some() && arena.live() != 0 {
            result.failures.push(format!("the case leaked {} objects", arena.live()));
        }
        result
    }
}

impl CaseResult {
    /// Records what a function of the suite reported. Returns its value if it got to its end.
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
            // Already reported.
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
