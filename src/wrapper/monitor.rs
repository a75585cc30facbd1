//! Whoever watches the calls of a wrapper.

use core::cell::{Cell, RefCell};
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rustc_hash::FxBuildHasher;

use crate::fault::Fault;
use crate::runtime::arena::Arena;
use crate::runtime::{self, Event, Outcome, Scope, Stop, log_event};
use crate::{FreeTrees, Inconsistency, KernelBug, Snapshot, Warning, ffi, tree};

use super::Misuse;

/// A monitored allocator may have so many objects: 400 MB of blocks. Beyond that there is no
/// memory, so that a call that asks for billions of blocks ends with `ENOMEM`.
const MOST_OBJECTS: usize = 1 << 22;

/// Misuses and warnings that are kept until they are asked for.
const MOST_KEPT: usize = 256;

/// Watches what a wrapper does with the [raw layer](crate::ffi).
///
/// Allocators that are initialised inside of [`run`](Self::run) are watched from there on,
/// by whatever thread and wherever they are used. Of each call it is asked whether the
/// thread holds the lock ([`ffi::hold`]), whether the allocator is initialised, and whether
/// what is given back is allocated. A call that breaks a rule is not passed on, so that
/// nothing is corrupted; the wrapper gets `ENOTRECOVERABLE` from a function that returns an
/// error number, and nothing from the others. A kernel BUG is recorded and does not unwind,
/// so that a destructor may meet one.
///
/// All calls of one monitor's allocators are made one after the other, also if the wrapper
/// takes no lock: its mistake is a finding and not a race.
///
/// ```
/// use core::ptr::null_mut;
/// use gpu_buddy::ffi;
/// use gpu_buddy::wrapper::{Misuse, Monitor};
///
/// let monitor = Monitor::new();
/// let mut mm: Box<ffi::gpu_buddy> = Box::new(unsafe { core::mem::zeroed() });
/// let mut list = Box::new(ffi::list_head { next: null_mut(), prev: null_mut() });
/// (list.next, list.prev) = (&raw mut *list, &raw mut *list);
/// // SAFETY: the allocator and the list stay in place, and this thread alone uses them.
/// unsafe {
///     monitor.run(|| assert_eq!(ffi::gpu_buddy_init(&raw mut *mm, 1 << 20, 4096), 0));
///     let lock = ();
///     let held = ffi::hold(&lock);
///     ffi::gpu_buddy_alloc_blocks(&raw mut *mm, 0, 0, 4096, 4096, &raw mut *list, 0);
///     drop(held);
///     // Without the lock.
///     ffi::gpu_buddy_free_list(&raw mut *mm, &raw mut *list, 0);
/// }
/// let seen = monitor.take_seen();
/// assert_eq!(seen.misuses, [Misuse::NotLocked { function: "gpu_buddy_free_list" }]);
/// // And it was never torn down.
/// assert_eq!(monitor.finish(), [Misuse::NotTornDown { allocators: 1 }]);
/// ```
#[derive(Debug)]
pub struct Monitor(Arc<Watched>);

/// What a monitor has seen since it was asked last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// Rules that were broken; the first 256.
    pub misuses: Vec<Misuse>,
    /// Warnings that the C has raised; the first 256.
    pub warnings: Vec<Warning>,
    /// The first BUG that the C has run into. The allocator that has met one is used no more.
    pub bug: Option<KernelBug>,
    /// Whether memory for the C's objects ran out, or was made to.
    pub faulted: bool,
    /// Calls that were passed on to the C.
    pub calls: u64,
}

impl Monitor {
    /// One that watches nothing yet.
    #[must_use]
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
        Self(Arc::new(Watched { state: Mutex::new(state) }))
    }

    /// Runs `f`. Allocators that it initialises on this thread are watched.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        /// Takes the monitor back, also if `f` panics.
        struct Back(Option<Arc<Watched>>);
        impl Drop for Back {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _back = Back(CURRENT.replace(Some(Arc::clone(&self.0))));
        f()
    }

    /// Decides from here on which allocations of the C's objects fail; `None`: none. Returns
    /// what decided until now, with what it has counted.
    pub fn set_fault(&self, fault: Option<Fault>) -> Option<Fault> {
        self.0.state.lock().arena.set_fault(fault)
    }

    /// What was seen since this was asked last.
    #[must_use]
    pub fn take_seen(&self) -> Seen {
        let mut state = self.0.state.lock();
        let failed = state.arena.failed();
        state.seen.faulted = failed > state.failed;
        state.failed = failed;
        core::mem::take(&mut state.seen)
    }

    /// Objects of the C that are alive: of all allocators that are watched.
    #[must_use]
    pub fn live_objects(&self) -> usize {
        self.0.state.lock().arena.live()
    }

    /// Blocks that are allocated.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.0.state.lock().blocks.len()
    }

    /// What is wrong if the wrapper and all that it handed out is gone by now: allocators
    /// that were not torn down, or objects that are left behind. An allocator that has met a
    /// BUG is not counted.
    #[must_use]
    pub fn finish(&self) -> Vec<Misuse> {
        let state = self.0.state.lock();
        let count = |phase| state.allocators.iter().filter(|one| one.phase == phase).count();
        let (alive, broken) = (count(Phase::Alive), count(Phase::Broken));
        if alive > 0 {
            return vec![Misuse::NotTornDown { allocators: alive }];
        }
        let objects = state.arena.live();
        if objects > 0 && broken == 0 { vec![Misuse::Leaked { objects }] } else { Vec::new() }
    }

    /// Gives `f` the one allocator that is alive, and how many objects there are.
    fn inspect<R>(&self, f: impl FnOnce(&ffi::gpu_buddy, usize) -> R) -> Option<R> {
        let state = self.0.state.lock();
        let mut alive = state.allocators.iter().filter(|one| one.phase == Phase::Alive);
        let (Some(one), None) = (alive.next(), alive.next()) else { return None };
        let mm = ptr::with_exposed_provenance::<ffi::gpu_buddy>(one.mm);
        // SAFETY: the allocator is initialised and not torn down, so that its owner keeps it,
        // and no call changes it while the state is locked.
        Some(f(unsafe { &*mm }, state.arena.live()))
    }

    /// The whole tree as plain data, if exactly one allocator is alive.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        self.inspect(|mm, live| tree::inspect(mm, live).snapshot())
    }

    pub(super) fn scan(&self) -> Option<(Vec<Inconsistency>, usize, usize)> {
        self.inspect(|mm, live| {
            let (found, blocks) = tree::scan(mm, live);
            (found, blocks, live)
        })
    }

    pub(super) fn free_trees(&self) -> Option<FreeTrees> {
        self.inspect(tree::free_trees)?
    }

    /// The number of this thread's last call that was passed on, once: the calls of a
    /// monitor count from 1, in the order in which they took effect.
    pub(super) fn take_last_call() -> Option<u64> {
        Some(LAST_CALL.replace(0)).filter(|&call| call != 0)
    }

    pub(super) fn clear_avail(&self) -> Option<u64> {
        self.inspect(|mm, _| mm.clear_avail)
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let mut watched = WATCHED.write();
        let state = self.0.state.lock();
        // What is alive stays watched: its memory is here. Of the others nothing is left.
        for one in state.allocators.iter().filter(|one| one.phase == Phase::TornDown) {
            if watched.get(&one.mm).is_some_and(|other| Arc::ptr_eq(other, &self.0)) {
                watched.remove(&one.mm);
            }
        }
        COUNT.store(watched.len(), Ordering::Relaxed);
    }
}

/// Allocators by address.
static WATCHED: RwLock<HashMap<usize, Arc<Watched>, FxBuildHasher>> =
    RwLock::new(HashMap::with_hasher(FxBuildHasher));
/// How many they are, so that who watches nothing pays nothing.
static COUNT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The number of this thread's last call.
    static LAST_CALL: Cell<u64> = const { Cell::new(0) };
    /// The monitor that this thread is in.
    static CURRENT: RefCell<Option<Arc<Watched>>> = const { RefCell::new(None) };
}

/// What a monitor and the allocators that it watches share.
#[derive(Debug)]
pub(super) struct Watched {
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Alive,
    TornDown,
    /// It has met a BUG.
    Broken,
}

#[derive(Debug)]
struct Allocator {
    mm: usize,
    phase: Phase,
    /// The locks that all calls had in common, once there was one.
    locks: Option<Vec<usize>>,
}

/// A map whose keys are addresses.
type ByAddress<T, H = FxBuildHasher> = HashMap<usize, T, H>;

pub(super) struct State {
    arena: Arena,
    allocators: Vec<Allocator>,
    /// The links of what is allocated, each with its allocator.
    blocks: ByAddress<usize>,
    /// Failures of memory that have been reported.
    failed: u64,
    seen: Seen,
    /// How many calls were passed on, of all that were made.
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

/// Who watches an allocator, if somebody does.
fn watching(mm: usize) -> Option<Arc<Watched>> {
    // The safe API brings its own arena, and keeps the rules by itself.
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

/// Initialises an allocator, which is watched from then on if this thread is in a monitor.
pub(super) fn init<R: Copy + PartialEq + Default>(
    mm: usize,
    refused: R,
    call: impl FnOnce() -> R,
) -> R {
    if runtime::in_arena() {
        return call();
    }
    let Some(current) = CURRENT.with_borrow(Clone::clone) else {
        // Somebody else's was forgotten at this address.
        forget(mm);
        return call();
    };
    let mut state = current.state.lock();
    if state.allocator(mm).is_some_and(|one| one.phase == Phase::Alive) {
        state.misuse(Misuse::InitialisedTwice);
        return refused;
    }
    // Every generation survives that its init function finds no memory.
    state.arena.initialised(true);
    let result = state.run(call);
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

/// Makes a call on an allocator, with checks before and after it if it is watched.
pub(super) fn enter<R, P>(
    function: &'static str,
    mm: usize,
    refused: R,
    before: impl FnOnce(&mut State) -> Option<P>,
    call: impl FnOnce() -> R,
    after: impl FnOnce(&mut State, P),
) -> R {
    let Some(watched) = watching(mm) else { return call() };
    let mut state = watched.state.lock();
    if !state.admit(function, mm) {
        return refused;
    }
    let Some(prepared) = before(&mut state) else { return refused };
    let Some(result) = state.run(call) else {
        if let Some(one) = state.allocator(mm) {
            one.phase = Phase::Broken;
        }
        return refused;
    };
    after(&mut state, prepared);
    let torn_down = state.allocator(mm).is_some_and(|one| one.phase == Phase::TornDown);
    drop(state);
    // Without its monitor, only the table and this call know of it.
    if torn_down && Arc::strong_count(&watched) == 2 {
        forget(mm);
    }
    result
}

/// Takes an allocator out of the table.
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
        // At the end an allocator belongs to one thread alone, as at its beginning.
        if function != "gpu_buddy_fini" {
            let locked = runtime::with_held(|held| match &mut one.locks {
                None => {
                    one.locks = Some(held.to_vec());
                    !held.is_empty()
                }
                // It was reported.
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

    /// Runs a call of the C; `None` if it met a BUG.
    fn run<R>(&mut self, call: impl FnOnce() -> R) -> Option<R> {
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
                event => log_event(&event),
            }
        }
        match result {
            Ok(result) => Some(result),
            Err(Stop::Bug(bug)) => {
                self.seen.bug.get_or_insert(bug);
                None
            }
            // Outside of KUnit there are no assertions.
            Err(Stop::Assertion) => None,
            Err(Stop::Panic(payload)) => std::panic::resume_unwind(payload),
        }
    }

    /// The allocator that a block with this link is allocated from.
    pub fn owner(&self, link: usize) -> Option<usize> {
        self.blocks.get(&link).copied()
    }

    /// How many blocks are allocated.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// A block was handed out.
    pub fn handed_out(&mut self, link: usize, mm: usize) {
        self.blocks.insert(link, mm);
    }

    /// A block was given back.
    pub fn given_back(&mut self, link: usize) {
        self.blocks.remove(&link);
    }

    /// An allocator is about to be torn down.
    pub fn check_unused(&mut self, mm: usize) {
        let blocks = self.blocks.values().filter(|&&owner| owner == mm).count();
        if blocks > 0 {
            self.misuse(Misuse::InUse { blocks });
        }
    }

    /// An allocator was torn down, and with it all that is allocated.
    pub fn torn_down(&mut self, mm: usize) {
        self.blocks.retain(|_, owner| *owner != mm);
        if let Some(one) = self.allocator(mm) {
            one.phase = Phase::TornDown;
        }
    }
}
