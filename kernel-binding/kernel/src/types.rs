//! `kernel::types`: memory that C initialises and Rust does not read.

use core::cell::UnsafeCell;
use core::convert::Infallible;
use core::marker::PhantomPinned;
use core::mem::MaybeUninit;

use pin_init::{PinInit, pin_init_from_closure};

/// Memory that belongs to C. As in the kernel, it may hold any bytes, may change behind a shared
/// reference, does not move, and has no destructor.
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

    /// An initialiser that calls a C function.
    pub fn ffi_init(init: impl FnOnce(*mut T)) -> impl PinInit<Self> {
        let init = move |slot: *mut Self| {
            init(Self::cast_into(slot));
            Ok::<(), Infallible>(())
        };
        // SAFETY: any bytes that the closure leaves are a valid `MaybeUninit`, and it does not
        // move the memory.
        unsafe { pin_init_from_closure(init) }
    }

    /// As [`ffi_init`](Self::ffi_init), if the C function can fail.
    pub fn try_ffi_init<E>(init: impl FnOnce(*mut T) -> Result<(), E>) -> impl PinInit<Self, E> {
        // SAFETY: as in `ffi_init`. After an error nothing is dropped, and there is no destructor.
        unsafe { pin_init_from_closure(move |slot: *mut Self| init(Self::cast_into(slot))) }
    }

    /// The pointer for C.
    pub const fn get(&self) -> *mut T {
        self.value.get().cast()
    }

    /// As [`get`](Self::get), for memory that may be uninitialised.
    #[must_use]
    pub const fn cast_into(this: *const Self) -> *mut T {
        UnsafeCell::raw_get(this.cast::<UnsafeCell<MaybeUninit<T>>>()).cast()
    }
}
