//! `kernel::types`: what C initialises and Rust does not look into.

use core::cell::UnsafeCell;
use core::convert::Infallible;
use core::marker::PhantomPinned;
use core::mem::MaybeUninit;

use pin_init::{PinInit, pin_init_from_closure};

/// Memory of the C's. As in the kernel, it may hold anything, may change behind a shared
/// reference, stays in its place, and does nothing when it is dropped.
#[repr(transparent)]
pub struct Opaque<T> {
    value: UnsafeCell<MaybeUninit<T>>,
    _pin: PhantomPinned,
}

impl<T> Opaque<T> {
    /// Memory with a value in it.
    pub const fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(MaybeUninit::new(value)), _pin: PhantomPinned }
    }

    /// Memory without one.
    #[must_use]
    pub const fn uninit() -> Self {
        Self { value: UnsafeCell::new(MaybeUninit::uninit()), _pin: PhantomPinned }
    }

    /// An initialiser that a C function does the work of.
    pub fn ffi_init(init: impl FnOnce(*mut T)) -> impl PinInit<Self> {
        let init = move |slot: *mut Self| {
            init(Self::cast_into(slot));
            Ok::<(), Infallible>(())
        };
        // SAFETY: whatever the closure leaves in the memory is a valid `MaybeUninit`, and it
        // does not move the memory.
        unsafe { pin_init_from_closure(init) }
    }

    /// As [`ffi_init`](Self::ffi_init), if the C function can fail.
    pub fn try_ffi_init<E>(init: impl FnOnce(*mut T) -> Result<(), E>) -> impl PinInit<Self, E> {
        // SAFETY: as in `ffi_init`. After an error nobody drops the memory, and it has no
        // destructor.
        unsafe { pin_init_from_closure(move |slot: *mut Self| init(Self::cast_into(slot))) }
    }

    /// What the C calls it by.
    pub const fn get(&self) -> *mut T {
        self.value.get().cast()
    }

    /// As [`get`](Self::get), of memory that is perhaps not initialised.
    #[must_use]
    pub const fn cast_into(this: *const Self) -> *mut T {
        UnsafeCell::raw_get(this.cast::<UnsafeCell<MaybeUninit<T>>>()).cast()
    }
}
