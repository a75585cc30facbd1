//! `kernel::build_assert`: conditions that are checked at build time.
//!
//! In the kernel, a reachable `build_error!` fails to link. Here it panics.

/// A condition of constants.
#[macro_export]
macro_rules! const_assert {
    ($($arguments:tt)*) => {
        const { ::core::assert!($($arguments)*) }
    };
}

/// A condition of constants, as an item.
#[macro_export]
macro_rules! static_assert {
    ($($arguments:tt)*) => {
        const _: () = ::core::assert!($($arguments)*);
    };
}

/// Code that must not be reached.
#[macro_export]
macro_rules! build_error {
    () => {
        ::core::panic!("a build_error! was reached")
    };
    ($message:expr) => {
        ::core::panic!("a build_error! was reached: {}", $message)
    };
}

/// A condition that the compiler must be able to prove.
#[macro_export]
macro_rules! build_assert {
    ($condition:expr $(, $message:expr)?) => {
        if !$condition {
            $crate::build_error!($($message)?);
        }
    };
}

pub use crate::{build_assert, build_error, const_assert, static_assert};
