//! The context of a call into the C: its memory, the lock that is held, and its reports.

use core::cell::Cell;
use core::fmt;
use core::ptr;
use std::any::Any;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::arena::Arena;
use super::{KernelBug, LogLine, Warning};
use crate::ffi;

thread_local! {
    static CURRENT: Cell<*mut Scope> = const { Cell::new(ptr::null_mut()) };
}

/// What the C reported while it ran.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Log(LogLine),
    Warning(Warning),
    /// The reason why a KUnit case failed, or objects that were left behind.
    Failure(String),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(line) => line.fmt(f),
            Self::Warning(warning) => warning.fmt(f),
            Self::Failure(reason) => f.write_str(reason),
        }
    }
}

/// Why the C did not return.
pub(crate) enum Stop {
    Bug(KernelBug),
    /// A KUnit assertion ended its case.
    Assertion,
    Panic(Box<dyn Any + Send>),
}

/// The payload of the unwinding that ends a KUnit case.
pub(super) struct AssertionFailed;

pub(crate) struct Outcome<R> {
    pub result: Result<R, Stop>,
    pub events: Vec<Event>,
}

/// The context of one call into the C, on the stack of the caller.
pub(crate) struct Scope {
    arena: *mut Arena,
    lock: *const ffi::lockdep_map,
    kunit: bool,
    events: Vec<Event>,
}

impl Scope {
    /// With memory from `arena`, and the lock `lock` held.
    pub fn new(arena: &mut Arena, lock: *const ffi::lockdep_map) -> Self {
        Self { arena, lock, kunit: false, events: Vec::new() }
    }

    /// For a KUnit case, which has no lock.
    pub fn for_kunit(arena: &mut Arena) -> Self {
        Self { kunit: true, ..Self::new(arena, ptr::null()) }
    }

    /// Runs `f`, which calls the C, in this scope.
    #[inline]
    pub fn run<R>(mut self, f: impl FnOnce() -> R) -> Outcome<R> {
        let previous = CURRENT.replace(&raw mut self);
        let result = catch_unwind(AssertUnwindSafe(f));
        CURRENT.set(previous);
        Outcome { result: result.map_err(Stop::new), events: self.events }
    }
}

impl Stop {
    /// From the payload of the unwinding.
    #[cold]
    fn new(payload: Box<dyn Any + Send>) -> Self {
        match payload.downcast::<KernelBug>() {
            Ok(bug) => Self::Bug(*bug),
            Err(payload) if payload.is::<AssertionFailed>() => Self::Assertion,
            Err(payload) => Self::Panic(payload),
        }
    }
}

/// Calls `f` with the scope of this thread, if there is one.
fn current<R>(f: impl FnOnce(&mut Scope) -> R) -> Option<R> {
    let scope = CURRENT.get();
    if scope.is_null() {
        return None;
    }
    // SAFETY: `run` sets the pointer to its own local, and resets it before that goes out of scope.
    // The C calls here from within `run`, and `f` does not call the C, so there is only one
    // reference at a time.
    Some(f(unsafe { &mut *scope }))
}

/// Whether this thread is in a scope with an arena.
pub(crate) fn in_arena() -> bool {
    !arena().is_null()
}

/// The arena of this thread's scope, or null.
pub(super) fn arena() -> *mut Arena {
    current(|scope| scope.arena).unwrap_or(ptr::null_mut())
}

/// The lock that is held in this thread's scope, or null.
pub(super) fn lock() -> *const ffi::lockdep_map {
    current(|scope| scope.lock).unwrap_or(ptr::null())
}

/// Whether this thread runs a KUnit case.
pub(super) fn in_kunit() -> bool {
    current(|scope| scope.kunit).unwrap_or(false)
}

/// Keeps an event for the caller of the C. Outside a scope, logs it.
pub(super) fn report(event: Event) {
    let mut event = Some(event);
    current(|scope| scope.events.extend(event.take()));
    if let Some(event) = event {
        log_event(&event);
    }
}

/// Unwinds out of the C with `payload`. Skips the panic hook, which is for bugs of Rust code.
///
/// If panics abort, nothing can be reported later. So the reports of the C, and why it is stopped,
/// are first written to standard error. Not to the logger: it may use the allocator, whose lock is
/// held.
pub(super) fn unwind(payload: impl Any + Send, why: &dyn fmt::Display) -> ! {
    if cfg!(panic = "abort") {
        let mut stderr = std::io::stderr().lock();
        for event in current(|scope| core::mem::take(&mut scope.events)).unwrap_or_default() {
            let _ = writeln!(stderr, "gpu-buddy: {event}");
        }
        let end = "with panic = \"abort\", the process ends here";
        let _ = writeln!(stderr, "gpu-buddy: {why}; {end}");
    }
    resume_unwind(Box::new(payload))
}

/// Passes an event to the `log` crate.
fn log_event(event: &Event) {
    match event {
        Event::Log(line) => line.log(),
        Event::Warning(warning) => log::warn!(target: "gpu_buddy", "{warning}"),
        Event::Failure(reason) => log::error!(target: "gpu_buddy", "{reason}"),
    }
}

/// Events to be logged: when this is dropped, which must be after every lock is released. The logger
/// is the user's, and may use the allocator or panic.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Unlogged(pub Vec<Event>);

impl Drop for Unlogged {
    fn drop(&mut self) {
        let log = || self.0.iter().for_each(log_event);
        if std::thread::panicking() {
            // A second panic would abort the process.
            let _ = catch_unwind(AssertUnwindSafe(log));
        } else {
            log();
        }
    }
}

/// The result of [`capture`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Captured<R> {
    /// What the closure returned, or the kernel BUG that ended it.
    pub result: Result<R, KernelBug>,
    /// The lines that were printed.
    pub log: Vec<LogLine>,
    /// The warnings, in the order in which they were raised.
    pub warnings: Vec<Warning>,
}

impl<R> Captured<R> {
    /// Passes everything that was captured to the `log` crate.
    pub(crate) fn log_all(&self) {
        self.log.iter().for_each(LogLine::log);
        self.warnings.iter().for_each(|warning| log_event(&Event::Warning(*warning)));
    }
}

/// Runs calls of the [raw layer](crate::ffi). Returns what the C printed, its warnings, and the BUG
/// that stopped it, instead of logging and unwinding.
///
/// # Panics
///
/// If `f` itself panics.
pub fn capture<R>(f: impl FnOnce() -> R) -> Captured<R> {
    let scope =
        Scope { arena: ptr::null_mut(), lock: ptr::null(), kunit: false, events: Vec::new() };
    let Outcome { result, events } = scope.run(f);
    let result = match result {
        Ok(value) => Ok(value),
        Err(Stop::Bug(bug)) => Err(bug),
        Err(Stop::Assertion) => resume_unwind(Box::new(AssertionFailed)),
        Err(Stop::Panic(payload)) => resume_unwind(payload),
    };
    let mut captured = Captured { result, log: Vec::new(), warnings: Vec::new() };
    for event in events {
        match event {
            Event::Log(line) => captured.log.push(line),
            Event::Warning(warning) => captured.warnings.push(warning),
            Event::Failure(_) => {}
        }
    }
    captured
}
