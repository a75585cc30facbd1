//! What the handles of one allocator share.

use core::cell::Cell;
use core::ffi::c_void;

use parking_lot::Mutex;

use crate::diff::Space;
use crate::module::Module;
use crate::runtime::arena::Arena;
use crate::runtime::{Event, Outcome, Scope, Stop};
use crate::{Errno, KernelBug, Warning, ffi};

/// What those who share an allocator have in common.
pub(super) struct Shared {
    pub module: Module,
    pub space: Space,
    /// Its address is what the C knows the lock by.
    pub map: ffi::lockdep_map,
    /// Objects that are alive besides blocks.
    pub arrays: usize,
    pub state: Mutex<State>,
}

pub(super) struct State {
    /// The C's own structure, which stays where it is.
    pub mm: Box<[u64]>,
    pub arena: Arena,
    pub warnings: Vec<Warning>,
    pub bug: Option<KernelBug>,
    /// The fini function was called.
    pub finished: bool,
    /// How often the C was called.
    pub calls: u64,
    /// The steps of the last call, until they are reported.
    pub cost: Option<u64>,
}

// SAFETY: `mm` points to memory of `arena`, which is in the same value, and the C keeps
// nothing by thread.
unsafe impl Send for State {}
// SAFETY: `map` holds a pointer to a literal and is never written; all else is shared
// under the mutex alone.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

thread_local! {
    static LAST_CALL: Cell<u64> = const { Cell::new(0) };
}

impl Shared {
    pub fn call<R>(&self, f: impl FnOnce(*mut c_void) -> R) -> Result<R, Errno> {
        self.call_with_events(f).map(|(value, _)| value)
    }

    /// Runs `f`, which calls the C, under the lock and inside this allocator's scope.
    /// Returns what was reported as well.
    pub fn call_with_events<R>(
        &self,
        f: impl FnOnce(*mut c_void) -> R,
    ) -> Result<(R, Vec<Event>), Errno> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.bug.is_some() || state.finished {
            return Err(Errno::ENOTRECOVERABLE);
        }
        state.calls += 1;
        LAST_CALL.set(state.calls);
        let mm = state.mm.as_mut_ptr().cast();
        let steps = self.module.table().steps;
        let before = steps();
        let Outcome { result, events } = Scope::new(&mut state.arena, &self.map).run(|| f(mm));
        state.cost = Some(steps().wrapping_sub(before));
        for event in &events {
            if let Event::Warning(warning) = event {
                state.warnings.push(*warning);
            }
        }
        match result {
            Ok(value) => Ok((value, events)),
            Err(Stop::Bug(bug)) => {
                state.bug = Some(bug);
                Err(Errno::ENOTRECOVERABLE)
            }
            Err(Stop::Panic(payload)) => {
                drop(guard);
                std::panic::resume_unwind(payload)
            }
            // Outside of KUnit there are no assertions.
            Err(Stop::Assertion) => Err(Errno::ENOTRECOVERABLE),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let fini = self.module.table().fini;
        let state = self.state.get_mut();
        // What failed to be initialised has nothing to tear down, and what ran into a BUG
        // cannot be: the arena takes its memory back.
        if state.bug.is_none() && !state.finished && state.arena.is_initialised() {
            // SAFETY: `mm` is initialised, and nobody else has it.
            let _ = self.call(|mm| unsafe { fini(mm) });
        }
    }
}

/// The number of this thread's last call, once.
pub(super) fn take_last_call() -> Option<u64> {
    Some(LAST_CALL.replace(0)).filter(|&call| call != 0)
}
