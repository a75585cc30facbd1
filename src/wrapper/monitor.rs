//! Watches the calls of a wrapper.

use core::ptr;
use std::sync::Arc;

use crate::fault::Fault;
use crate::{FreeTrees, Inconsistency, KernelBug, Snapshot, Warning, ffi, tree};

use super::Misuse;
use super::watched::{self, Watched};

/// Watches how a wrapper uses the [raw layer](crate::ffi).
///
/// It watches the allocators that are initialised inside [`run`](Self::run), whatever thread then
/// uses them. For each call it checks that the thread holds the lock ([`ffi::hold`]), that the
/// allocator is initialised, and that freed blocks are allocated. A call that breaks a rule is not
/// passed on, so that nothing is corrupted. The wrapper then gets `ENOTRECOVERABLE` if the function
/// returns an error number. A kernel BUG is recorded and does not unwind, so that it cannot abort a
/// destructor.
///
/// The monitor serialises all calls on its allocators, even if the wrapper takes no lock: the
/// missing lock is a finding and not a race.
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
/// // It was never torn down, either.
/// assert_eq!(monitor.finish(), [Misuse::NotTornDown { allocators: 1 }]);
/// ```
#[derive(Debug)]
pub struct Monitor(Arc<Watched>);

/// What a monitor has seen since the last query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// The broken rules; at most the first 256.
    pub misuses: Vec<Misuse>,
    /// The warnings of the C; at most the first 256.
    pub warnings: Vec<Warning>,
    /// The first BUG that the C ran into. That allocator is not called any more.
    pub bug: Option<KernelBug>,
    /// Whether memory for the C's objects ran out, injected or not.
    pub faulted: bool,
    /// The number of calls that were passed on to the C.
    pub calls: u64,
}

impl Monitor {
    /// Creates a monitor that watches nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Watched::new()))
    }

    /// Runs `f`, and watches the allocators that it initialises on this thread.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        watched::within(&self.0, f)
    }

    /// Sets which memory allocations for the C's objects fail from now on; `None`: none. Returns
    /// the previous fault with its counts.
    pub fn set_fault(&self, fault: Option<Fault>) -> Option<Fault> {
        self.0.state.lock().arena.set_fault(fault)
    }

    /// Takes what was seen since the last query.
    #[must_use]
    pub fn take_seen(&self) -> Seen {
        self.0.state.lock().take_seen()
    }

    /// The number of live objects of the C, of all watched allocators.
    #[must_use]
    pub fn live_objects(&self) -> usize {
        self.0.state.lock().arena.live()
    }

    /// The number of allocated blocks.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.0.state.lock().blocks()
    }

    /// Call this after the wrapper and everything that it returned was dropped. Returns the
    /// allocators that were not torn down, or the objects that are left. An allocator that ran into
    /// a BUG does not count.
    #[must_use]
    pub fn finish(&self) -> Vec<Misuse> {
        self.0.state.lock().left_behind().into_iter().collect()
    }

    /// Calls `f` with the only live allocator, and the number of objects.
    fn inspect<R>(&self, f: impl FnOnce(&ffi::gpu_buddy, usize) -> R) -> Option<R> {
        let state = self.0.state.lock();
        let mm = ptr::with_exposed_provenance::<ffi::gpu_buddy>(state.only_one_alive()?);
        // SAFETY: the allocator is initialised and not torn down, so its memory is valid, as the
        // caller of `gpu_buddy_init` promised. No call changes it while the state is locked.
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

    /// Takes the sequence number of this thread's last call that was passed on. The calls of a
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
