//! `kernel::types`: what C initialises and Rust does not look into.

use core::cell::UnsafeCell;
use core::convert::Infallible;
use core::marker::PhantomPinned;
use core::mem::MaybeUninit;

use pin_init::{PinInit, pin_init_from_closure};

/// Memory of the C's.
#[repr(transparent)]
pub struct Opaque<T> {
    value: UnsafeCell<MaybeUninit<T>>,
    pinned: PhantomPinned,
}

impl<T> Opaque<T> {
    /// Memory with a value in it.
    pub const fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(MaybeUninit::new(value)), pinned: PhantomPinned }
    }

    /// Memory without one.
    #[must_use]
    pub const fn uninit() -> Self {
        Self { value: UnsafeCell::new(MaybeUninit::uninit()), pinned: PhantomPinned }
    }

    /// An initialiser that a C function does the work of.
    pub fn ffi_init(init: impl FnOnce(*mut T)) -> impl PinInit<Self> {
        let init = move |slot: *mut Self| {
            init(slot.cast());
            Ok::<(), Infallible>(())
        };
        // SAFETY: any memory is a valid value, and its place does not matter to Rust.
        unsafe { pin_init_from_closure(init) }
    }

    /// As [`ffi_init`](Self::ffi_init), if the C function can fail.
    pub fn try_ffi_init<E>(init: impl FnOnce(*mut T) -> Result<(), E>) -> impl PinInit<Self, E> {
        // SAFETY: any memory is a valid value, and its place does not matter to Rust.
        unsafe { pin_init_from_closure(move |slot: *mut Self| init(slot.cast())) }
    }

    /// What the C calls it by.
    pub const fn get(&self) -> *mut T {
        self.value.get().cast()
    }

    /// As [`get`](Self::get), of memory that is perhaps not initialised.
    #[must_use]
    pub const fn cast_into(this: *const Self) -> *mut T {
        this.cast_mut().cast()
    }
}
