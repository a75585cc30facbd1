//! Whoever watches the calls of a wrapper.

use core::ptr;
use std::sync::Arc;

use crate::fault::Fault;
use crate::{FreeTrees, Inconsistency, KernelBug, Snapshot, Warning, ffi, tree};

use super::Misuse;
use super::watched::{self, Watched};

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
        Self(Arc::new(Watched::new()))
    }

    /// Runs `f`. Allocators that it initialises on this thread are watched.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        watched::within(&self.0, f)
    }

    /// Decides from here on which allocations of the C's objects fail; `None`: none. Returns
    /// what decided until now, with what it has counted.
    pub fn set_fault(&self, fault: Option<Fault>) -> Option<Fault> {
        self.0.state.lock().arena.set_fault(fault)
    }

    /// What was seen since this was asked last.
    #[must_use]
    pub fn take_seen(&self) -> Seen {
        self.0.state.lock().take_seen()
    }

    /// Objects of the C that are alive: of all allocators that are watched.
    #[must_use]
    pub fn live_objects(&self) -> usize {
        self.0.state.lock().arena.live()
    }

    /// Blocks that are allocated.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.0.state.lock().blocks()
    }

    /// What is wrong if the wrapper and all that it handed out is gone by now: allocators
    /// that were not torn down, or objects that are left behind. An allocator that has met a
    /// BUG is not counted.
    #[must_use]
    pub fn finish(&self) -> Vec<Misuse> {
        self.0.state.lock().left_behind().into_iter().collect()
    }

    /// Gives `f` the one allocator that is alive, and how many objects there are.
    fn inspect<R>(&self, f: impl FnOnce(&ffi::gpu_buddy, usize) -> R) -> Option<R> {
        let state = self.0.state.lock();
        let mm = ptr::with_exposed_provenance::<ffi::gpu_buddy>(state.only_one_alive()?);
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
        watched::take_last_call()
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
        watched::forget_torn_down(&self.0);
    }
}
