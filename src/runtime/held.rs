//! The locks that a thread holds, as callers of the raw layer say.

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
    /// It stays in its thread, and does not outlive the lock.
    life: PhantomData<(&'a (), *const ())>,
}

/// Says that this thread holds a lock: what lockdep learns from the kernel's own locks.
///
/// A lock is known by its address. Call this with the lock taken, and drop what it returns
/// before the lock is released. The C's own assertions ask for the address of the
/// `lockdep_map` that an allocator was told of; a
/// [`Monitor`](crate::wrapper::Monitor) asks whether all calls on one allocator have a lock
/// in common.
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
        // A thread that ends has lost its list already, and holds nothing.
        let _ = HELD.try_with(|held| {
            let mut held = held.borrow_mut();
            if let Some(index) = held.iter().rposition(|&lock| lock == self.lock) {
                held.swap_remove(index);
            }
        });
    }
}

/// Whether this thread has said that it holds the lock at this address.
pub(super) fn is_held(lock: usize) -> bool {
    HELD.with_borrow(|held| held.contains(&lock))
}

/// Gives `f` the addresses of the locks that this thread holds.
pub(crate) fn with_held<R>(f: impl FnOnce(&[usize]) -> R) -> R {
    HELD.with_borrow(|held| f(held))
}
