//! `kernel::error`: error numbers. The kernel has all of them; here are those that the
//! allocator returns.

use core::convert::Infallible;
use core::ffi::c_int;
use core::fmt;
use core::num::NonZeroI32;

use crate::alloc::AllocError;

/// An error number, negative.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(NonZeroI32);

/// The kernel crate's result.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

/// Error numbers by name.
pub mod code {
    use super::Error;

    /// No memory.
    pub const ENOMEM: Error = Error::from_errno(-12);
    /// Wrong argument.
    pub const EINVAL: Error = Error::from_errno(-22);
    /// No room.
    pub const ENOSPC: Error = Error::from_errno(-28);
    /// Address outside.
    pub const ENXIO: Error = Error::from_errno(-6);
    /// Out of range.
    pub const ERANGE: Error = Error::from_errno(-34);
    /// Too large.
    pub const EOVERFLOW: Error = Error::from_errno(-75);
}

impl Error {
    /// From a negative number. Any other is taken for `EINVAL`, as the kernel does.
    #[must_use]
    pub const fn from_errno(errno: c_int) -> Self {
        match NonZeroI32::new(errno) {
            Some(number) if errno < 0 && errno >= -4095 => Self(number),
            // `EINVAL`
            _ => Self(NonZeroI32::new(-22).unwrap()),
        }
    }

    /// The negative number.
    #[must_use]
    pub fn to_errno(self) -> c_int {
        self.0.get()
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({})", self.0)
    }
}

impl From<AllocError> for Error {
    fn from(_: AllocError) -> Self {
        code::ENOMEM
    }
}

impl From<Infallible> for Error {
    fn from(error: Infallible) -> Self {
        match error {}
    }
}

/// What a C function returned: negative is an error.
///
/// # Errors
///
/// That error.
pub fn to_result(error: c_int) -> Result {
    if error < 0 { Err(Error::from_errno(error)) } else { Ok(()) }
}
