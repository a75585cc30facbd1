//! `kernel::error`: the error numbers that the allocator and its callers use. The kernel has more.

use core::convert::Infallible;
use core::ffi::c_int;
use core::fmt;
use core::num::{NonZeroI32, TryFromIntError};

use crate::alloc::AllocError;

/// An error number, negative.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(NonZeroI32);

/// The kernel crate's result.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        /// Error numbers by name.
        pub mod code {
            use super::Error;
            $($(#[$doc])* pub const $name: Error = Error::from_errno(-$number);)*
        }

        impl Error {
            /// Its name, if it is one of these.
            fn name(self) -> Option<&'static str> {
                match -self.to_errno() {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// Address outside.
    ENXIO = 6;
    /// No memory.
    ENOMEM = 12;
    /// Wrong argument.
    EINVAL = 22;
    /// No room.
    ENOSPC = 28;
    /// Out of range.
    ERANGE = 34;
    /// Too large.
    EOVERFLOW = 75;
    /// The monitor of `gpu-buddy` did not pass the call on to the C.
    ENOTRECOVERABLE = 131;
}

impl Error {
    /// From a negative number. Any other number becomes `EINVAL`; the kernel also warns then.
    #[must_use]
    pub const fn from_errno(errno: c_int) -> Self {
        match NonZeroI32::new(errno) {
            // `MAX_ERRNO`
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
        match self.name() {
            Some(name) => f.write_str(name),
            None => f.debug_tuple("Error").field(&-self.to_errno()).finish(),
        }
    }
}

impl From<AllocError> for Error {
    fn from(_: AllocError) -> Self {
        code::ENOMEM
    }
}

impl From<TryFromIntError> for Error {
    fn from(_: TryFromIntError) -> Self {
        code::EINVAL
    }
}

impl From<Infallible> for Error {
    fn from(error: Infallible) -> Self {
        match error {}
    }
}

/// Converts the result of a C function: a negative number is an error.
///
/// # Errors
///
/// That error.
pub fn to_result(error: c_int) -> Result {
    if error < 0 { Err(Error::from_errno(error)) } else { Ok(()) }
}
