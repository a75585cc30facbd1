//! The locks that a thread holds, as declared by callers of the raw layer.

use core::cell::RefCell;
use core::marker::PhantomData;

thread_local! {
    static HELD: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// A lock that this thread holds, until this is dropped: see [`hold`].
#[derive(Debug)]
#[must_use = "the lock counts as released when this is dropped"]
pub struct Held<'a> {
    lock: usize,
    /// It must stay in its thread, and not outlive the lock.
    life: PhantomData<(&'a (), *const ())>,
}

/// Declares that this thread holds a lock, as the kernel's own locks tell lockdep.
///
/// The address identifies a lock. Call this with the lock held, and drop the result before the lock
/// is released. The C's own assertions compare with the `lockdep_map` that the allocator was given.
/// A [`Monitor`](crate::wrapper::Monitor) checks whether all calls on one allocator have a lock in
/// common.
///
/// ```
/// use std::sync::Mutex;
///
/// let lock = Mutex::new(());
/// let guard = lock.lock();
/// let held = gpu_buddy::ffi::hold(&lock);
/// // Calls of the C.
/// drop(held);
/// drop(guard);
/// ```
pub fn hold<T: ?Sized>(lock: &T) -> Held<'_> {
    let lock = core::ptr::from_ref(lock).addr();
    HELD.with_borrow_mut(|held| held.push(lock));
    Held { lock, life: PhantomData }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // A thread that is ending has lost its list, and holds nothing.
        let _ = HELD.try_with(|held| {
            let mut held = held.borrow_mut();
            if let Some(index) = held.iter().rposition(|&lock| lock == self.lock) {
                held.swap_remove(index);
            }
        });
    }
}

/// Whether this thread declared the lock at this address.
pub(super) fn is_held(lock: usize) -> bool {
    HELD.with_borrow(|held| held.contains(&lock))
}

/// Calls `f` with the addresses of the locks that this thread holds.
pub(crate) fn with_held<R>(f: impl FnOnce(&[usize]) -> R) -> R {
    HELD.with_borrow(|held| f(held))
}
