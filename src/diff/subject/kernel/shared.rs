//! What the handles of one allocator share.

use core::cell::Cell;
use core::ffi::c_void;

use parking_lot::Mutex;

use crate::diff::Space;
use crate::fault::Fault;
use crate::module::Module;
use crate::runtime::arena::Arena;
use crate::runtime::{Event, Outcome, Scope, Stop};
use crate::{Errno, KernelBug, Warning, ffi};

/// One allocator may have so many objects: 400 MB of blocks. Beyond that there is no
/// memory, so that a call that asks for billions of blocks ends.
const MOST_OBJECTS: usize = 1 << 22;

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
    /// Memory for an allocator, which is to be initialised.
    pub fn new(module: Module, space: Space) -> Self {
        let words = (module.table().mm_size as usize).div_ceil(size_of::<u64>());
        let mut state = State {
            mm: vec![0; words].into_boxed_slice(),
            arena: Arena::for_init(None),
            warnings: Vec::new(),
            bug: None,
            finished: false,
            calls: 0,
            cost: None,
        };
        state.arena.set_limit(MOST_OBJECTS);
        let map = ffi::lockdep_map { name: c"KernelC".as_ptr() };
        Self { module, space, map, arrays: 0, state: Mutex::new(state) }
    }

    /// Calls the init function, whose allocations fail as `fault` says.
    pub fn init(&mut self, fault: Option<Fault>) -> Result<(), Errno> {
        self.state.get_mut().arena.set_fault(fault);
        let Space { size, chunk_size, .. } = self.space;
        let init = self.module.table().init;
        // SAFETY: `mm` is memory for an allocator of this module, and stays there.
        let result = self.call(|mm| unsafe { init(mm, size, chunk_size) })?;
        super::calls::check(result)?;
        self.state.get_mut().arena.initialised(self.module.has("undo_splits"));
        Ok(())
    }

    /// Tears the allocator down. Returns how many objects are left then.
    pub fn fini(&self) -> usize {
        let fini = self.module.table().fini;
        // SAFETY: `mm` is initialised and its lock is held; no call follows this one.
        let _ = self.call(|mm| unsafe { fini(mm) });
        let mut state = self.state.lock();
        state.finished = true;
        // What a BUG has left behind is no leak.
        if state.bug.is_some() { 0 } else { state.arena.live() }
    }

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
        let state = self.state.get_mut();
        // What failed to be initialised has nothing to tear down, and what ran into a BUG
        // cannot be: the arena takes its memory back.
        if state.bug.is_none() && !state.finished && state.arena.is_initialised() {
            self.fini();
        }
    }
}

/// The number of this thread's last call, once.
pub(super) fn take_last_call() -> Option<u64> {
    Some(LAST_CALL.replace(0)).filter(|&call| call != 0)
}
