//! The allocator's lock, and the edge between Rust and the C.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parking_lot::Mutex;

use crate::fault::Fault;
use crate::module::{Module, Stopped};
use crate::runtime::arena::Arena;
use crate::runtime::{Event, Outcome, Scope, Stop, log_event};
use crate::{Errno, Error, GpuBuddyParams, KernelBug, Result, Warning, ffi};

/// What the handles and the allocations of one allocator share.
pub(super) struct Inner {
    pub(super) params: GpuBuddyParams,
    /// Its address is what the C knows the lock by.
    pub(super) map: ffi::lockdep_map,
    pub(super) state: Mutex<State>,
}

/// What the lock guards.
pub(super) struct State {
    /// Initialised by `gpu_buddy_init`, until `finished`.
    pub(super) mm: ffi::gpu_buddy,
    pub(super) arena: Arena,
    pub(super) warnings: Vec<Warning>,
    /// The BUG that ended this allocator's use.
    pub(super) bug: Option<KernelBug>,
    /// `gpu_buddy_fini` was called.
    pub(super) finished: bool,
}

// SAFETY: the pointers in `mm` are to memory of `arena`, which is in the same
// value. The C keeps nothing by thread.
unsafe impl Send for State {}

// SAFETY: `map` holds a pointer to a literal, and is never written. All else is
// `Send`, and shared under the mutex alone.
unsafe impl Send for Inner {}
// SAFETY: as for `Send`.
unsafe impl Sync for Inner {}

/// Warnings kept by an allocator; further ones are logged only.
const WARNINGS_KEPT: usize = 256;

/// Loads the kernel's module, unless it is loaded.
pub(super) fn load_module() -> Result<()> {
    Module::compiled_in().load().map_err(|stopped| match stopped {
        Stopped::Errno(Errno::ENOMEM) => Error::NoMemory,
        Stopped::Errno(errno) => Error::Other(errno),
        Stopped::Bug(bug) => Error::Bug(bug),
    })
}

/// Events that could not be logged while the lock was held.
#[must_use]
pub(super) struct Pending(pub(super) Vec<Event>);

impl Pending {
    /// Call this last, when the lock is released and every block has an owner: the
    /// logger is the user's. It may use the allocator, and it may panic.
    pub(super) fn log(self) {
        let log = || self.0.iter().for_each(log_event);
        if std::thread::panicking() {
            // This is a drop. A panic that leaves it now would abort the process.
            let _ = catch_unwind(AssertUnwindSafe(log));
        } else {
            log();
        }
    }
}

impl Inner {
    /// Not initialised so far: to be handed to `gpu_buddy_init`.
    pub(super) fn new(params: GpuBuddyParams, fault: Option<Fault>) -> Self {
        Self {
            params,
            map: ffi::lockdep_map { name: c"GpuBuddy".as_ptr() },
            state: Mutex::new(State {
                // SAFETY: it is a C structure of numbers and pointers, for which
                // zero is a value.
                mm: unsafe { core::mem::zeroed() },
                arena: Arena::for_init(fault),
                warnings: Vec::new(),
                bug: None,
                // Until it is initialised there is nothing to tear down.
                finished: true,
            }),
        }
    }

    /// Runs `f`, which calls the C, under the lock and inside this allocator's
    /// scope. This is the one way into the C. Logs afterwards, which may unwind: the
    /// caller keeps what it gave to `f`, but does not get what `f` returned.
    pub(super) fn call<R>(&self, f: impl FnOnce(*mut ffi::gpu_buddy) -> R) -> Result<R> {
        let mut state = self.state.lock();
        let (result, pending) = state.call(&self.map, f);
        drop(state);
        pending.log();
        result
    }

    /// Gives `f` the allocator and the number of live objects, for what is read only.
    pub(super) fn read<R>(&self, f: impl FnOnce(&ffi::gpu_buddy, usize) -> R) -> Result<R> {
        let state = self.state.lock();
        match state.bug {
            Some(bug) => Err(Error::Bug(bug)),
            None => Ok(f(&state.mm, state.arena.live())),
        }
    }
}

impl State {
    pub(super) fn call<R>(
        &mut self,
        map: *const ffi::lockdep_map,
        f: impl FnOnce(*mut ffi::gpu_buddy) -> R,
    ) -> (Result<R>, Pending) {
        if let Some(bug) = self.bug {
            return (Err(Error::Bug(bug)), Pending(Vec::new()));
        }
        let mm = &raw mut self.mm;
        let Outcome { result, events } = Scope::new(&mut self.arena, map).run(|| f(mm));
        for event in &events {
            if let Event::Warning(warning) = event
                && self.warnings.len() < WARNINGS_KEPT
            {
                self.warnings.push(*warning);
            }
        }
        let result = match result {
            Ok(value) => Ok(value),
            Err(stop) => {
                let bug = match stop {
                    Stop::Bug(bug) => bug,
                    // Neither comes from the C that is run here.
                    Stop::Assertion | Stop::Panic(_) => {
                        KernelBug { condition: "panic inside the C", file: "", line: 0 }
                    }
                };
                self.bug = Some(bug);
                if let Stop::Panic(payload) = stop {
                    std::panic::resume_unwind(payload);
                }
                Err(Error::Bug(bug))
            }
        };
        (result, Pending(events))
    }

    /// Tears the allocator down, once.
    pub(super) fn finish(&mut self, map: *const ffi::lockdep_map) -> Pending {
        if self.finished || self.bug.is_some() {
            return Pending(Vec::new());
        }
        self.finished = true;
        // SAFETY: `mm` is initialised and not used again: `finished` is set, and
        // only the last owner of the state calls this.
        let (_, mut pending) = self.call(map, |mm| unsafe { ffi::gpu_buddy_fini(mm) });
        if self.bug.is_none() && self.arena.live() != 0 {
            let text = format!("gpu_buddy_fini left {} objects", self.arena.live());
            pending.0.push(Event::Failure(text));
        }
        pending
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody else has it. The lock is taken so that each entry into the C is
        // made under it, this one too.
        let pending = self.state.lock().finish(&self.map);
        pending.log();
    }
}
