//! The kernel's error numbers.

use core::fmt;

/// An error number of the kernel, as a positive value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(i32);

impl Errno {
    /// The offset is outside the managed space.
    pub const ENXIO: Self = Self(6);
    /// There was no memory for an object of the allocator itself.
    pub const ENOMEM: Self = Self(12);
    /// An argument is invalid.
    pub const EINVAL: Self = Self(22);
    /// There is no room.
    pub const ENOSPC: Self = Self(28);
    /// The allocator is unusable after a kernel BUG.
    pub const ENOTRECOVERABLE: Self = Self(131);
    /// The operation is not supported, for instance by this kernel series.
    pub const EOPNOTSUPP: Self = Self(95);

    /// The error number that a C function returned as a negative value.
    pub(crate) const fn from_return(value: core::ffi::c_int) -> Self {
        Self(value.saturating_neg())
    }

    /// Converts the return value of a C function: a negative error number, or else success.
    ///
    /// # Errors
    ///
    /// The error number, if the value is negative.
    pub const fn check(value: core::ffi::c_int) -> Result<(), Self> {
        if value < 0 { Err(Self::from_return(value)) } else { Ok(()) }
    }

    /// The number as a positive value: 28 for `ENOSPC`.
    #[must_use]
    pub const fn code(self) -> i32 {
        self.0
    }

    /// The symbolic name; `None` for a number that the allocator is not known to return.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::ENXIO => "ENXIO",
            Self::ENOMEM => "ENOMEM",
            Self::EINVAL => "EINVAL",
            Self::ENOSPC => "ENOSPC",
            Self::ENOTRECOVERABLE => "ENOTRECOVERABLE",
            Self::EOPNOTSUPP => "EOPNOTSUPP",
            _ => return None,
        })
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl core::error::Error for Errno {}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
