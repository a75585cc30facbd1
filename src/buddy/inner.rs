//! The allocator's lock, and the entry into the C.

use core::any::Any;

use parking_lot::Mutex;

use crate::fault::Fault;
use crate::module::{Module, Stopped};
use crate::runtime::arena::Arena;
use crate::runtime::{Event, Outcome, Scope, Stop, Unlogged};
use crate::{Errno, Error, GpuBuddyParams, KernelBug, LogLine, Result, Warning, ffi};

/// The state that the handles and allocations of one allocator share.
pub(super) struct Inner {
    pub(super) params: GpuBuddyParams,
    /// The C identifies the lock by this address.
    pub(super) map: ffi::lockdep_map,
    pub(super) state: Mutex<State>,
}

/// The state under the lock.
pub(super) struct State {
    /// Initialised by `gpu_buddy_init`, until `finished`.
    pub(super) mm: ffi::gpu_buddy,
    pub(super) arena: Arena,
    pub(super) warnings: Vec<Warning>,
    /// The BUG that made this allocator unusable.
    pub(super) bug: Option<KernelBug>,
    /// `gpu_buddy_fini` was called, or `gpu_buddy_init` has not succeeded.
    pub(super) finished: bool,
}

// SAFETY: the pointers in `mm` are to memory of `arena`, which moves with it. The C keeps no state
// by thread.
unsafe impl Send for State {}

// SAFETY: `map` has a pointer to a literal and is never written. Everything else is `Send`, and
// shared only under the mutex.
unsafe impl Send for Inner {}
// SAFETY: as for `Send`.
unsafe impl Sync for Inner {}

/// The most warnings that an allocator keeps. Further ones are only logged.
const WARNINGS_KEPT: usize = 256;

/// Loads the kernel's module if it is not loaded yet.
pub(super) fn load_module() -> Result<()> {
    Module::compiled_in().load().map_err(|stopped| match stopped {
        Stopped::Errno(Errno::ENOMEM) => Error::NoMemory,
        Stopped::Errno(errno) => Error::Other(errno),
        Stopped::Bug(bug) => Error::Bug(bug),
    })
}

/// What cannot be done while the lock is held: events to be logged, and a panic of Rust code within
/// the call to be continued. Nearly every call leaves nothing, so that is a null pointer.
#[must_use]
#[derive(Default)]
pub(super) struct Pending(Option<Box<Work>>);

#[derive(Default)]
struct Work {
    events: Vec<Event>,
    panic: Option<Box<dyn Any + Send>>,
}

impl Pending {
    /// Takes out the lines that the C printed.
    pub(super) fn take_lines(&mut self) -> Vec<LogLine> {
        let Some(work) = &mut self.0 else { return Vec::new() };
        let line = |event: &mut Event| matches!(event, Event::Log(_));
        let lines = work.events.extract_if(.., line);
        let line = |event| match event {
            Event::Log(line) => Some(line),
            _ => None,
        };
        lines.filter_map(line).collect()
    }

    /// Adds an event.
    pub(super) fn push(&mut self, event: Event) {
        self.0.get_or_insert_default().events.push(event);
    }

    /// Call this last, when the lock is released and every block has an owner: the logger is the
    /// user's, and may use the allocator or panic.
    #[inline]
    pub(super) fn log(self) {
        if let Some(work) = self.0 {
            (*work).finish();
        }
    }
}

impl Work {
    #[cold]
    fn finish(self) {
        drop(Unlogged(self.events));
        if let Some(payload) = self.panic.filter(|_| !std::thread::panicking()) {
            std::panic::resume_unwind(payload);
        }
    }
}

impl Inner {
    /// Not yet initialised by `gpu_buddy_init`.
    pub(super) fn new(params: GpuBuddyParams, fault: Option<Fault>) -> Self {
        Self {
            params,
            map: ffi::lockdep_map { name: c"GpuBuddy".as_ptr() },
            state: Mutex::new(State {
                // SAFETY: a C structure of numbers and pointers, for which zero is valid.
                mm: unsafe { core::mem::zeroed() },
                arena: Arena::for_init(fault),
                warnings: Vec::new(),
                bug: None,
                // Before init there is nothing to tear down.
                finished: true,
            }),
        }
    }

    /// Runs `f`, which calls the C, under the lock and in this allocator's scope. All calls into
    /// the C go through here. Afterwards it logs, which may unwind: the caller then keeps what it
    /// passed to `f` but does not get the result.
    #[inline]
    pub(super) fn call<R>(&self, f: impl FnOnce(*mut ffi::gpu_buddy) -> R) -> Result<R> {
        let mut state = self.state.lock();
        let (result, pending) = state.call(&self.map, f);
        drop(state);
        pending.log();
        result
    }

    /// Calls `f` with the allocator and the number of live objects, to read only.
    pub(super) fn read<R>(&self, f: impl FnOnce(&ffi::gpu_buddy, usize) -> R) -> Result<R> {
        let state = self.state.lock();
        match state.bug {
            Some(bug) => Err(Error::Bug(bug)),
            None => Ok(f(&state.mm, state.arena.live())),
        }
    }
}

impl State {
    #[inline]
    pub(super) fn call<R>(
        &mut self,
        map: *const ffi::lockdep_map,
        f: impl FnOnce(*mut ffi::gpu_buddy) -> R,
    ) -> (Result<R>, Pending) {
        if let Some(bug) = self.bug {
            return (Err(Error::Bug(bug)), Pending::default());
        }
        let mm = &raw mut self.mm;
        match Scope::new(&mut self.arena, map).run(|| f(mm)) {
            Outcome { result: Ok(value), events } if events.is_empty() => {
                (Ok(value), Pending::default())
            }
            outcome => self.reported(outcome),
        }
    }

    /// The C printed, warned, or did not return.
    #[cold]
    fn reported<R>(&mut self, Outcome { result, events }: Outcome<R>) -> (Result<R>, Pending) {
        self.keep_warnings(&events);
        let mut panic = None;
        let result = result.map_err(|stop| Error::Bug(self.stopped(stop, &mut panic)));
        (result, Pending(Some(Box::new(Work { events, panic }))))
    }

    fn keep_warnings(&mut self, events: &[Event]) {
        let left = WARNINGS_KEPT - self.warnings.len();
        let warnings = events.iter().filter_map(|event| match event {
            Event::Warning(warning) => Some(*warning),
            Event::Log(_) | Event::Failure(_) => None,
        });
        self.warnings.extend(warnings.take(left));
    }

    /// Makes the allocator unusable. Keeps a panic that passed the C.
    fn stopped(&mut self, stop: Stop, panic: &mut Option<Box<dyn Any + Send>>) -> KernelBug {
        // The compiled-in C causes neither of the others.
        let within = KernelBug { condition: "panic inside the C", file: "", line: 0 };
        let bug = match stop {
            Stop::Bug(bug) => bug,
            Stop::Assertion => within,
            Stop::Panic(payload) => {
                *panic = Some(payload);
                within
            }
        };
        self.bug = Some(bug);
        bug
    }

    /// Tears the allocator down, unless that was done.
    pub(super) fn finish(&mut self, map: *const ffi::lockdep_map) -> Pending {
        if self.finished || self.bug.is_some() {
            return Pending::default();
        }
        self.finished = true;
        // SAFETY: `mm` is initialised, and not used again: `finished` is set, and only the last
        // owner calls this.
        let (_, mut pending) = self.call(map, |mm| unsafe { ffi::bindings::gpu_buddy_fini(mm) });
        if self.bug.is_none() && self.arena.live() != 0 {
            let text = format!("gpu_buddy_fini left {} objects", self.arena.live());
            pending.push(Event::Failure(text));
        }
        pending
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // There is no other owner. The lock is taken because the C must run under it.
        let pending = self.state.lock().finish(&self.map);
        pending.log();
    }
}
