//! The part of the kernel crate that its GPU buddy binding needs.
//!
//! The modules that allow all warnings are unchanged files of the kernel. The others are stubs, and
//! each says what differs from the kernel.

pub use bindings;

pub mod alloc;
pub mod build_assert;
pub mod error;
#[allow(warnings, clippy::all)]
#[cfg_attr(rustfmt, rustfmt::skip)]
pub mod impl_flags;
#[allow(warnings, clippy::all)]
#[cfg_attr(rustfmt, rustfmt::skip)]
pub mod init;
pub mod prelude;
#[allow(warnings, clippy::all)]
#[cfg_attr(rustfmt, rustfmt::skip)]
pub mod ptr;
#[allow(warnings, clippy::all)]
#[cfg_attr(rustfmt, rustfmt::skip)]
pub mod sizes;
pub mod sync;
pub mod types;

/// `kernel::gpu`
pub mod gpu {
    #[allow(warnings, clippy::all)]
    #[cfg_attr(rustfmt, rustfmt::skip)]
    pub mod buddy;
}

/// `kernel::interop`
pub mod interop {
    #[allow(warnings, clippy::all)]
    #[cfg_attr(rustfmt, rustfmt::skip)]
    pub mod list;
}
