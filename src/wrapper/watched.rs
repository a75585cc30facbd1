//! The watched allocators, and the checks of each call.

use core::cell::{Cell, RefCell};
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rustc_hash::FxBuildHasher;

use crate::runtime::arena::{Arena, MOST_OBJECTS};
use crate::runtime::{self, Event, Outcome, Scope, Stop, Unlogged};

use super::Misuse;
use super::monitor::Seen;

/// The most misuses and warnings that are kept until the next query.
const MOST_KEPT: usize = 256;

/// The watched allocators, by address.
static WATCHED: RwLock<HashMap<usize, Arc<Watched>, FxBuildHasher>> =
    RwLock::new(HashMap::with_hasher(FxBuildHasher));
/// Their number, so that calls cost nothing if nothing is watched.
static COUNT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The sequence number of this thread's last call.
    static LAST_CALL: Cell<u64> = const { Cell::new(0) };
    /// The monitor of this thread.
    static CURRENT: RefCell<Option<Arc<Watched>>> = const { RefCell::new(None) };
}

/// The state that a monitor shares with its allocators.
#[derive(Debug)]
pub(super) struct Watched {
    pub state: Mutex<State>,
}

impl Watched {
    pub fn new() -> Self {
        let mut arena = Arena::for_init(None);
        arena.set_limit(MOST_OBJECTS);
        let state = State {
            arena,
            allocators: Vec::new(),
            blocks: HashMap::with_hasher(FxBuildHasher),
            failed: 0,
            seen: Seen::default(),
            calls: 0,
        };
        Self { state: Mutex::new(state) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Alive,
    TornDown,
    /// It ran into a BUG.
    Broken,
}

#[derive(Debug)]
struct Allocator {
    mm: usize,
    phase: Phase,
    /// The locks that all calls so far had in common; `None` before the first call.
    locks: Option<Vec<usize>>,
}

/// A map whose keys are addresses.
type ByAddress<T, H = FxBuildHasher> = HashMap<usize, T, H>;

pub(super) struct State {
    pub arena: Arena,
    allocators: Vec<Allocator>,
    /// The links of the allocated blocks, each with its allocator.
    blocks: ByAddress<usize>,
    /// The number of memory failures that were reported.
    failed: u64,
    seen: Seen,
    /// The number of calls that were passed on.
    calls: u64,
}

impl core::fmt::Debug for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("State")
            .field("allocators", &self.allocators)
            .field("blocks", &self.blocks.len())
            .field("objects", &self.arena.live())
            .finish_non_exhaustive()
    }
}

/// Runs `f`, and watches its allocators.
pub(super) fn within<R>(watched: &Arc<Watched>, f: impl FnOnce() -> R) -> R {
    /// Restores the previous monitor, even if `f` panics.
    struct Back(Option<Arc<Watched>>);
    impl Drop for Back {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _back = Back(CURRENT.replace(Some(Arc::clone(watched))));
    f()
}

/// Takes the sequence number of this thread's last call.
pub(super) fn take_last_call() -> Option<u64> {
    Some(LAST_CALL.replace(0)).filter(|&call| call != 0)
}

/// The monitor of an allocator, if it has one.
fn watching(mm: usize) -> Option<Arc<Watched>> {
    // The safe API has its own arena, and keeps the rules itself.
    if runtime::in_arena() {
        return None;
    }
    if COUNT.load(Ordering::Relaxed) > 0
        && let Some(watched) = WATCHED.read().get(&mm)
    {
        return Some(Arc::clone(watched));
    }
    CURRENT.with_borrow(Clone::clone)
}

/// Initialises an allocator. It is watched if this thread is in a monitor.
pub(super) fn init<R: Copy + PartialEq + Default>(
    mm: usize,
    refused: R,
    call: impl FnOnce() -> R,
) -> R {
    if runtime::in_arena() {
        return call();
    }
    let Some(current) = CURRENT.with_borrow(Clone::clone) else {
        // Another allocator at this address was left without a teardown.
        forget(mm);
        return call();
    };
    let mut unlogged = Unlogged::default();
    let mut state = current.state.lock();
    if state.allocator(mm).is_some_and(|one| one.phase == Phase::Alive) {
        state.misuse(Misuse::InitialisedTwice);
        return refused;
    }
    // Every kernel survives a failed allocation in its init function.
    state.arena.initialised(true);
    let result = state.run(&mut unlogged, call);
    state.arena.initialised(cfg!(undo_splits));
    let Some(result) = result else { return refused };
    if result == R::default() {
        state.allocators.retain(|one| one.mm != mm);
        state.allocators.push(Allocator { mm, phase: Phase::Alive, locks: None });
        drop(state);
        let mut all = WATCHED.write();
        all.insert(mm, current);
        COUNT.store(all.len(), Ordering::Relaxed);
    }
    result
}

/// Makes a call on an allocator. If that is watched, checks it before and after.
pub(super) fn enter<R, P>(
    function: &'static str,
    mm: usize,
    refused: R,
    before: impl FnOnce(&mut State) -> Option<P>,
    call: impl FnOnce() -> R,
    after: impl FnOnce(&mut State, P),
) -> R {
    let Some(watched) = watching(mm) else { return call() };
    let mut unlogged = Unlogged::default();
    let mut state = watched.state.lock();
    if !state.admit(function, mm) {
        return refused;
    }
    let Some(prepared) = before(&mut state) else { return refused };
    let Some(result) = state.run(&mut unlogged, call) else {
        if let Some(one) = state.allocator(mm) {
            one.phase = Phase::Broken;
        }
        return refused;
    };
    after(&mut state, prepared);
    let torn_down = state.allocator(mm).is_some_and(|one| one.phase == Phase::TornDown);
    drop(state);
    // Its monitor is gone: only the table and this call have it.
    if torn_down && Arc::strong_count(&watched) == 2 {
        forget(mm);
    }
    result
}

/// Removes the torn-down allocators of a dropped monitor from the table. Live ones stay, because
/// their memory is the monitor's.
pub(super) fn forget_torn_down(gone: &Arc<Watched>) {
    let mut watched = WATCHED.write();
    let state = gone.state.lock();
    for one in state.allocators.iter().filter(|one| one.phase == Phase::TornDown) {
        if watched.get(&one.mm).is_some_and(|other| Arc::ptr_eq(other, gone)) {
            watched.remove(&one.mm);
        }
    }
    COUNT.store(watched.len(), Ordering::Relaxed);
}

/// Removes an allocator from the table.
fn forget(mm: usize) {
    if COUNT.load(Ordering::Relaxed) > 0 {
        let mut watched = WATCHED.write();
        watched.remove(&mm);
        COUNT.store(watched.len(), Ordering::Relaxed);
    }
}

impl State {
    fn allocator(&mut self, mm: usize) -> Option<&mut Allocator> {
        self.allocators.iter_mut().find(|one| one.mm == mm)
    }

    /// The address of the only live allocator.
    pub fn only_one_alive(&self) -> Option<usize> {
        let mut alive = self.allocators.iter().filter(|one| one.phase == Phase::Alive);
        let (Some(one), None) = (alive.next(), alive.next()) else { return None };
        Some(one.mm)
    }

    /// The misuse if the wrapper, and everything that it returned, is gone.
    pub fn left_behind(&self) -> Option<Misuse> {
        let count = |phase| self.allocators.iter().filter(|one| one.phase == phase).count();
        let (alive, broken) = (count(Phase::Alive), count(Phase::Broken));
        if alive > 0 {
            return Some(Misuse::NotTornDown { allocators: alive });
        }
        let objects = self.arena.live();
        (objects > 0 && broken == 0).then_some(Misuse::Leaked { objects })
    }

    pub fn take_seen(&mut self) -> Seen {
        let failed = self.arena.failed();
        self.seen.faulted = failed > self.failed;
        self.failed = failed;
        core::mem::take(&mut self.seen)
    }

    pub fn misuse(&mut self, misuse: Misuse) {
        if self.seen.misuses.len() < MOST_KEPT {
            self.seen.misuses.push(misuse);
        }
    }

    /// Whether a call may be made.
    fn admit(&mut self, function: &'static str, mm: usize) -> bool {
        let Some(one) = self.allocator(mm).filter(|one| one.phase != Phase::TornDown) else {
            self.misuse(Misuse::NoAllocator { function });
            return false;
        };
        if one.phase == Phase::Broken {
            return false;
        }
        // At its teardown, one thread owns the allocator, as at its initialisation.
        if function != "gpu_buddy_fini" {
            let locked = runtime::with_held(|held| match &mut one.locks {
                None => {
                    one.locks = Some(held.to_vec());
                    !held.is_empty()
                }
                // Already reported.
                Some(locks) if locks.is_empty() => true,
                Some(locks) => {
                    locks.retain(|lock| held.contains(lock));
                    !locks.is_empty()
                }
            });
            if !locked {
                self.misuse(Misuse::NotLocked { function });
            }
        }
        true
    }

    /// Runs a call of the C; `None` if it ran into a BUG.
    fn run<R>(&mut self, unlogged: &mut Unlogged, call: impl FnOnce() -> R) -> Option<R> {
        self.seen.calls += 1;
        self.calls += 1;
        LAST_CALL.set(self.calls);
        let Outcome { result, events } = Scope::new(&mut self.arena, ptr::null()).run(call);
        for event in events {
            match event {
                Event::Warning(warning) if self.seen.warnings.len() < MOST_KEPT => {
                    self.seen.warnings.push(warning);
                }
                Event::Warning(_) => {}
                event => unlogged.0.push(event),
            }
        }
        match result {
            Ok(result) => Some(result),
            Err(Stop::Bug(bug)) => {
                self.seen.bug.get_or_insert(bug);
                None
            }
            // There are no assertions outside of KUnit.
            Err(Stop::Assertion) => None,
            Err(Stop::Panic(payload)) => std::panic::resume_unwind(payload),
        }
    }

    /// The allocator of the block with this link.
    pub fn owner(&self, link: usize) -> Option<usize> {
        self.blocks.get(&link).copied()
    }

    /// The number of allocated blocks.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Records that a block was allocated.
    pub fn handed_out(&mut self, link: usize, mm: usize) {
        self.blocks.insert(link, mm);
    }

    /// Records that a block was freed.
    pub fn given_back(&mut self, link: usize) {
        self.blocks.remove(&link);
    }

    /// Checks that nothing is allocated, before a teardown.
    pub fn check_unused(&mut self, mm: usize) {
        let blocks = self.blocks.values().filter(|&&owner| owner == mm).count();
        if blocks > 0 {
            self.misuse(Misuse::InUse { blocks });
        }
    }

    /// Records a teardown, which also ends all allocations.
    pub fn torn_down(&mut self, mm: usize) {
        self.blocks.retain(|_, owner| *owner != mm);
        if let Some(one) = self.allocator(mm) {
            one.phase = Phase::TornDown;
        }
    }
}
