//! `kernel::prelude`: what the binding and its examples use of it.

pub use bindings::c_ulong;
pub use core::ffi::{c_int, c_uint, c_void};
pub use core::mem::{align_of, align_of_val, size_of, size_of_val};
pub use core::pin::Pin;

pub use pin_init::{InPlaceWrite, Init, PinInit, Zeroable, init, pin_data, pin_init, pinned_drop};

pub use crate::alloc::{KBox, flags::*};
pub use crate::build_assert::{build_assert, build_error, const_assert, static_assert};
pub use crate::error::{Error, Result, code::*};
pub use crate::init::InPlaceInit;
pub use crate::{try_init, try_pin_init};
