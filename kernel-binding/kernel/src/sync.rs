//! `kernel::sync`: `Arc` over the standard library's, and locks over those of `parking_lot`. The
//! monitor of `gpu-buddy` learns of each lock that is taken.
//!
//! The locks of the standard library wait in precompiled code, so ThreadSanitizer does not see which
//! thread waits for which.

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

/// A value with several owners. If its counter overflows, the process ends; the kernel's counter
/// saturates. There are no weak references.
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
        // Older trees have only this name for it.
        #[allow(deprecated)]
        // SAFETY: the memory belongs to this value alone and does not move. If the initialiser
        // fails, the memory is freed and no value is dropped.
        unsafe {
            init.__pinned_init(slot)?;
        }
        // SAFETY: the value is initialised.
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
