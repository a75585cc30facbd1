//! `kernel::sync::lock`: locks and their classes.
//!
//! This checks one of the rules of lockdep: a thread must not take a lock of a class of which it
//! holds one. Lockdep warns; here the thread panics, since it would otherwise wait for itself. The
//! order between classes is not checked.

use core::cell::RefCell;

thread_local! {
    /// The classes of the locks that this thread holds.
    static CLASSES: RefCell<Vec<&'static LockClassKey>> = const { RefCell::new(Vec::new()) };
}

/// A class of locks: all locks made at one place in the source. Its address identifies it.
#[derive(Debug)]
pub struct LockClassKey(&'static str);

impl LockClassKey {
    /// A class, with its name for messages.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// Records that a lock of this class is about to be taken. It is held until the result is
    /// dropped.
    fn acquire(&'static self) -> HeldClass {
        CLASSES.with_borrow_mut(|classes| {
            assert!(
                !classes.iter().any(|&class| core::ptr::eq(class, self)),
                "possible recursive locking: this thread holds a lock of {}",
                self.0
            );
            classes.push(self);
        });
        HeldClass(self)
    }
}

/// A class of which this thread holds a lock.
struct HeldClass(&'static LockClassKey);

impl Drop for HeldClass {
    fn drop(&mut self) {
        // A thread that is ending has no list any more.
        let _ = CLASSES.try_with(|classes| {
            classes.borrow_mut().retain(|&class| !core::ptr::eq(class, self.0));
        });
    }
}

/// `kernel::sync::lock::mutex`
pub mod mutex {
    use core::cell::UnsafeCell;
    use core::marker::PhantomPinned;
    use core::ops::{Deref, DerefMut};

    use gpu_buddy::ffi::{Held, hold};
    use pin_init::{PinInit, Wrapper, pin_data, pin_init};

    use super::{HeldClass, LockClassKey};

    /// A mutex, which is made in place and does not move. Like the kernel's, a panic does not poison
    /// it.
    #[pin_data]
    pub struct Mutex<T> {
        lock: parking_lot::Mutex<()>,
        class: &'static LockClassKey,
        #[pin]
        data: UnsafeCell<T>,
        #[pin]
        _pin: PhantomPinned,
    }

    // SAFETY: the mutex owns its data.
    unsafe impl<T: Send> Send for Mutex<T> {}

    // SAFETY: one thread at a time can access the data.
    unsafe impl<T: Send> Sync for Mutex<T> {}

    /// Access to the data of a mutex, until this is dropped. It cannot be sent to another thread.
    #[must_use = "the mutex is unlocked when this is dropped"]
    pub struct MutexGuard<'a, T> {
        // Fields are dropped in this order: the monitor learns of the release while the lock is
        // still held.
        _held: Held<'a>,
        _class: HeldClass,
        _guard: parking_lot::MutexGuard<'a, ()>,
        data: &'a UnsafeCell<T>,
    }

    impl<T> Mutex<T> {
        /// An initialiser; use [`new_mutex!`](crate::new_mutex).
        pub fn new(value: impl PinInit<T>, class: &'static LockClassKey) -> impl PinInit<Self> {
            pin_init!(Self {
                lock: parking_lot::Mutex::new(()),
                class,
                data <- UnsafeCell::pin_init(value),
                _pin: PhantomPinned,
            })
        }

        /// Waits for the lock.
        ///
        /// # Panics
        ///
        /// If this thread holds a lock of the same class.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            let class = self.class.acquire();
            let guard = self.lock.lock();
            MutexGuard { _held: hold(self), _class: class, _guard: guard, data: &self.data }
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            // SAFETY: while the mutex is locked, only this guard accesses the data.
            unsafe { &*self.data.get() }
        }
    }

    impl<T: Unpin> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: as for `deref`, and the guard is borrowed exclusively.
            unsafe { &mut *self.data.get() }
        }
    }
}

/// An initialiser for a mutex of a class of its own, with a name for messages.
#[macro_export]
macro_rules! new_mutex {
    ($value:expr $(, $name:literal)? $(,)?) => {{
        static CLASS: $crate::sync::LockClassKey = $crate::sync::LockClassKey::new(
            ::core::concat!($($name, " at ",)? ::core::file!(), ":", ::core::line!()),
        );
        $crate::sync::Mutex::new($value, &CLASS)
    }};
}
