//! `kernel::sync`: shared ownership over the standard library's, and locks over those of
//! `parking_lot`. The monitor of `gpu-buddy` is told of each lock that is taken.
//!
//! A lock of the standard library waits in code that comes compiled, so that ThreadSanitizer
//! does not see who waited for whom.

use core::mem::MaybeUninit;
use core::ops::Deref;
use std::sync;

use pin_init::{Init, PinInit};

use crate::alloc::{AllocError, Flags, take};
use crate::init::InPlaceInit;

pub use lock::mutex::Mutex;

/// A value with several owners.
#[derive(Debug)]
pub struct Arc<T>(sync::Arc<T>);

impl<T> InPlaceInit<T> for Arc<T> {
    type PinnedSelf = Self;

    fn try_pin_init<E: From<AllocError>>(
        init: impl PinInit<T, E>,
        _flags: Flags,
    ) -> Result<Self, E> {
        take()?;
        let mut memory: sync::Arc<MaybeUninit<T>> = sync::Arc::new_uninit();
        let slot = sync::Arc::get_mut(&mut memory).expect("it has one owner").as_mut_ptr();
        // Older trees have no other name for it.
        #[allow(deprecated)]
        // SAFETY: the memory is for this value, and stays where it is. If the initialiser
        // fails it is freed without a value.
        unsafe {
            init.__pinned_init(slot)?;
        }
        // SAFETY: it was initialised.
        Ok(Self(unsafe { memory.assume_init() }))
    }

    fn try_init<E: From<AllocError>>(init: impl Init<T, E>, flags: Flags) -> Result<Self, E> {
        Self::try_pin_init(init, flags)
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(sync::Arc::clone(&self.0))
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// `kernel::sync::lock`
pub mod lock {
    /// `kernel::sync::lock::mutex`
    pub mod mutex {
        use core::ops::{Deref, DerefMut};

        use gpu_buddy::ffi::{Held, hold};

        /// A mutex. The kernel's is not poisoned.
        #[derive(Debug)]
        pub struct Mutex<T>(parking_lot::Mutex<T>);

        /// What a mutex guards, until this is dropped.
        #[derive(Debug)]
        pub struct MutexGuard<'a, T> {
            // It is dropped first, while the lock is held.
            _held: Held<'a>,
            guard: parking_lot::MutexGuard<'a, T>,
        }

        impl<T> Mutex<T> {
            /// A mutex, in its place.
            pub const fn new(value: T) -> Self {
                Self(parking_lot::Mutex::new(value))
            }

            /// Waits for the lock.
            pub fn lock(&self) -> MutexGuard<'_, T> {
                let guard = self.0.lock();
                MutexGuard { _held: hold(self), guard }
            }
        }

        impl<T> Deref for MutexGuard<'_, T> {
            type Target = T;

            fn deref(&self) -> &T {
                &self.guard
            }
        }

        impl<T> DerefMut for MutexGuard<'_, T> {
            fn deref_mut(&mut self) -> &mut T {
                &mut self.guard
            }
        }
    }
}

/// A mutex, for an initialiser. The kernel gives it a name and a class for lockdep.
#[macro_export]
macro_rules! new_mutex {
    ($value:expr $(, $name:literal)?) => {
        $crate::sync::Mutex::new($value)
    };
}

pub use crate::new_mutex;
