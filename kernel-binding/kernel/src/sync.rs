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

pub mod lock;

pub use crate::new_mutex;
pub use lock::LockClassKey;
pub use lock::mutex::{Mutex, MutexGuard};

/// A value with several owners. The kernel's counter saturates where the standard library's
/// ends the process; there are no weak references.
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
        // SAFETY: the memory is for this value alone, and stays where it is. If the
        // initialiser fails it is freed, and no value is dropped.
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
