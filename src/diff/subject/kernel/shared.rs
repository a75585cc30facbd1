//! The state that the handles of one allocator share.

use core::cell::Cell;
use core::ffi::c_void;

use parking_lot::Mutex;

use crate::diff::Space;
use crate::fault::Fault;
use crate::module::{Inspection, Module};
use crate::runtime::arena::{Arena, MOST_OBJECTS};
use crate::runtime::{Event, Outcome, Scope, Stop};
use crate::{Errno, KernelBug, Warning, ffi};

/// The state that the handles of one allocator share.
pub(super) struct Shared {
    pub module: Module,
    pub space: Space,
    /// The C identifies the lock by this address.
    pub map: ffi::lockdep_map,
    /// The number of live objects that are not blocks.
    pub arrays: usize,
    pub state: Mutex<State>,
}

pub(super) struct State {
    /// The C's own structure, at a fixed address.
    pub mm: Box<[u64]>,
    pub arena: Arena,
    pub warnings: Vec<Warning>,
    pub bug: Option<KernelBug>,
    /// Whether the fini function was called.
    pub finished: bool,
    /// The state as last read, if nothing has been called since.
    pub inspection: Option<Inspection>,
    /// The number of calls of the C.
    pub calls: u64,
    /// The steps of the last call, until they are reported.
    pub cost: Option<u64>,
}

// SAFETY: `mm` and `inspection` point into memory of `arena`, which moves with them, and the C keeps
// no state by thread.
unsafe impl Send for State {}
// SAFETY: `map` has a pointer to a literal and is never written; `arrays` is written only before
// the value is shared; everything else is behind the mutex.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// What an allocator has in its fields before the init function: if it leaves one out, the C reads
/// this.
const UNINITIALISED: u64 = 0xa5a5_a5a5_a5a5_a5a5;

thread_local! {
    static LAST_CALL: Cell<u64> = const { Cell::new(0) };
}

impl Shared {
    /// Memory for an allocator, to be initialised.
    pub fn new(module: Module, space: Space) -> Self {
        let words = (module.table().mm_size as usize).div_ceil(size_of::<u64>());
        let mut state = State {
            mm: vec![UNINITIALISED; words].into_boxed_slice(),
            arena: Arena::for_init(None),
            warnings: Vec::new(),
            bug: None,
            finished: false,
            inspection: None,
            calls: 0,
            cost: None,
        };
        state.arena.set_limit(MOST_OBJECTS);
        let map = ffi::lockdep_map { name: c"KernelC".as_ptr() };
        Self { module, space, map, arrays: 0, state: Mutex::new(state) }
    }

    /// Calls the init function. `fault` makes its memory allocations fail.
    pub fn init(&mut self, fault: Option<Fault>) -> Result<(), Errno> {
        self.state.get_mut().arena.set_fault(fault);
        let Space { size, chunk_size, .. } = self.space;
        let init = self.module.table().init;
        // SAFETY: `mm` is memory of the size that the module asks for, at a fixed address. The init
        // function sets all of it that the C reads: the KUnit suite has allocators on its stack.
        let result = self.call(|mm| unsafe { init(mm, size, chunk_size) })?;
        super::calls::check(result)?;
        self.state.get_mut().arena.initialised(self.module.has("undo_splits"));
        Ok(())
    }

    /// Tears the allocator down. Returns the number of objects left.
    pub fn fini(&self) -> usize {
        let fini = self.module.table().fini;
        // SAFETY: `mm` is initialised and its lock is held; no call follows this one.
        let _ = self.call(|mm| unsafe { fini(mm) });
        let mut state = self.state.lock();
        state.finished = true;
        // After a BUG, what is left is not a leak.
        if state.bug.is_some() { 0 } else { state.arena.live() }
    }

    pub fn call<R>(&self, f: impl FnOnce(*mut c_void) -> R) -> Result<R, Errno> {
        self.call_with_events(f).map(|(value, _)| value)
    }

    /// Runs `f`, which calls the C, under the lock and in this allocator's scope. Also returns the
    /// reported events.
    pub fn call_with_events<R>(
        &self,
        f: impl FnOnce(*mut c_void) -> R,
    ) -> Result<(R, Vec<Event>), Errno> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.bug.is_some() || state.finished {
            return Err(Errno::ENOTRECOVERABLE);
        }
        state.inspection = None;
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
            // There are no assertions outside of KUnit.
            Err(Stop::Assertion) => Err(Errno::ENOTRECOVERABLE),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        // After a failed init there is nothing to tear down, and after a BUG it is not possible:
        // the arena frees the memory.
        if state.bug.is_none() && !state.finished && state.arena.is_initialised() {
            self.fini();
        }
    }
}

/// Takes the sequence number of this thread's last call of a C.
pub(super) fn take_last_call() -> Option<u64> {
    Some(LAST_CALL.replace(0)).filter(|&call| call != 0)
}
