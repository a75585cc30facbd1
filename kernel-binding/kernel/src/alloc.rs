//! `kernel::alloc`: memory for Rust values, over the standard library's. It has one kind of flags,
//! and it can be made to fail.

use core::cell::Cell;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};
use core::pin::Pin;

use pin_init::{Init, PinInit};

use crate::init::InPlaceInit;

/// Memory ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocError;

/// A source of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(());

/// Flags by name.
pub mod flags {
    use super::Flags;

    /// `GFP_KERNEL`
    pub const GFP_KERNEL: Flags = Flags(());
    /// `GFP_ATOMIC`, which is the same here.
    pub const GFP_ATOMIC: Flags = Flags(());
}

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// Not in the kernel: after this many more allocations on this thread, all others fail. `u64::MAX`
/// means never.
pub fn fail_after(count: u64) {
    LEFT.set(count);
}

/// Fails if the next allocation is to fail.
pub(crate) fn take() -> Result<(), AllocError> {
    match LEFT.get() {
        u64::MAX => Ok(()),
        0 => Err(AllocError),
        left => {
            LEFT.set(left - 1);
            Ok(())
        }
    }
}

/// The kernel's box, over the standard library's. The compiler assumes that the standard library's
/// box is the only pointer to its value, and the kernel's is not. That makes no difference for a
/// value that must not move (`!Unpin`), and the C points to no other values.
pub struct KBox<T>(Box<T>);

impl<T> KBox<T> {
    /// A box with `value` in it.
    ///
    /// # Errors
    ///
    /// If memory runs out.
    pub fn new(value: T, _flags: Flags) -> Result<Self, AllocError> {
        take()?;
        Ok(Self(Box::new(value)))
    }
}

impl<T> InPlaceInit<T> for KBox<T> {
    type PinnedSelf = Pin<Self>;

    fn try_pin_init<E: From<AllocError>>(
        init: impl PinInit<T, E>,
        _flags: Flags,
    ) -> Result<Pin<Self>, E> {
        take()?;
        let mut memory: Box<MaybeUninit<T>> = Box::new_uninit();
        // Older trees have only this name for it.
        #[allow(deprecated)]
        // SAFETY: the memory belongs to this value alone and does not move. If the initialiser
        // fails, the memory is freed and no value is dropped.
        unsafe {
            init.__pinned_init(memory.as_mut_ptr())?;
        }
        // SAFETY: the value is initialised, and the box is never taken out of the `Pin`.
        Ok(unsafe { Pin::new_unchecked(Self(memory.assume_init())) })
    }

    fn try_init<E: From<AllocError>>(init: impl Init<T, E>, _flags: Flags) -> Result<Self, E> {
        take()?;
        let mut memory: Box<MaybeUninit<T>> = Box::new_uninit();
        // SAFETY: the memory belongs to this value alone. If the initialiser fails, the memory is
        // freed and no value is dropped.
        unsafe { init.__init(memory.as_mut_ptr())? };
        // SAFETY: the value is initialised.
        Ok(Self(unsafe { memory.assume_init() }))
    }
}

impl<T> Deref for KBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for KBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
