//! The names of the kernel crate: code written against its buddy allocator compiles here after
//! `kernel::` is replaced with `gpu_buddy::kernel::`.
//!
//! Only what such code needs is here. In-place initialisation exists in form only: values of this
//! crate may move, so an initialiser returns a value.
//!
//! The examples of the kernel's binding run as tests of this crate, with only that name changed.

/// `kernel::error`
pub mod error {
    use core::fmt;

    use crate::Errno;

    /// An error number, as in the kernel crate.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub struct Error(Errno);

    impl Error {
        /// The error number as the C returns it: negative.
        #[must_use]
        pub fn to_errno(self) -> core::ffi::c_int {
            -self.0.code()
        }

        /// The symbolic name, if it has one.
        #[must_use]
        pub fn name(self) -> Option<&'static str> {
            self.0.name()
        }
    }

    impl From<crate::Error> for Error {
        fn from(error: crate::Error) -> Self {
            Self(error.errno())
        }
    }

    impl fmt::Debug for Error {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            fmt::Debug::fmt(&self.0, f)
        }
    }

    /// The kernel crate's `Result`.
    pub type Result<T = (), E = Error> = core::result::Result<T, E>;

    /// Error numbers.
    pub mod code {
        use super::Error;
        use crate::Errno;

        /// Out of memory.
        pub const ENOMEM: Error = Error(Errno::ENOMEM);
        /// Invalid argument.
        pub const EINVAL: Error = Error(Errno::EINVAL);
        /// No room.
        pub const ENOSPC: Error = Error(Errno::ENOSPC);
        /// The address is outside the space.
        pub const ENXIO: Error = Error(Errno::ENXIO);
    }
}

/// `kernel::alloc`
pub mod alloc {
    use core::ops::{Deref, DerefMut};
    use core::pin::Pin;

    use super::init::PinInit;

    /// Flags of a memory allocation. Without effect here.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags(());

    /// `GFP_KERNEL`
    pub const GFP_KERNEL: Flags = Flags(());

    /// The kernel's `Box`.
    #[derive(Debug)]
    pub struct KBox<T>(Box<T>);

    impl<T> KBox<T> {
        /// Puts `value` into a box.
        ///
        /// # Errors
        ///
        /// None here. The kernel's fails if there is no memory.
        pub fn new(value: T, _flags: Flags) -> super::error::Result<Self> {
            Ok(Self(Box::new(value)))
        }

        /// Runs an initialiser and puts its value into a box.
        ///
        /// # Errors
        ///
        /// Those of the initialiser.
        pub fn pin_init<E>(init: impl PinInit<T, E>, _flags: Flags) -> Result<Pin<Self>, E>
        where
            T: Unpin,
        {
            Ok(Pin::new(Self(Box::new(init.make()?))))
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
}

/// `kernel::init`
pub mod init {
    /// An initialiser, which does nothing until it is run.
    #[must_use = "an initialiser does nothing until it is run"]
    pub trait PinInit<T, E>: Sized {
        /// Runs it.
        ///
        /// # Errors
        ///
        /// The initialiser's own error.
        fn make(self) -> Result<T, E>;
    }

    impl<T, E, F: FnOnce() -> Result<T, E>> PinInit<T, E> for F {
        fn make(self) -> Result<T, E> {
            self()
        }
    }
}

/// `kernel::prelude`
pub mod prelude {
    pub use core::pin::Pin;

    pub use super::alloc::{Flags, GFP_KERNEL, KBox};
    pub use super::error::code::*;
    pub use super::error::{Error, Result};
    pub use super::init::PinInit;
}

/// `kernel::ptr`
pub mod ptr {
    pub use crate::Alignment;
}

/// `kernel::sizes`
pub mod sizes {
    pub use crate::sizes::*;
}

/// `kernel::gpu`
pub mod gpu {
    /// `kernel::gpu::buddy`
    pub mod buddy {
        pub use crate::{
            AllocatedBlock, AllocatedBlocks, GpuBuddyAllocFlag, GpuBuddyAllocFlags,
            GpuBuddyAllocMode, GpuBuddyParams,
        };

        use crate::Alignment;
        use crate::kernel::error::{Error, Result};
        use crate::kernel::init::PinInit;

        /// The allocator as in the kernel crate: allocating returns an initialiser, and errors are
        /// numbers.
        #[derive(Debug)]
        pub struct GpuBuddy(crate::GpuBuddy);

        /// For what the kernel's binding does not have: snapshots, faults and so on.
        impl AsRef<crate::GpuBuddy> for GpuBuddy {
            fn as_ref(&self) -> &crate::GpuBuddy {
                &self.0
            }
        }

        impl GpuBuddy {
            /// See [`GpuBuddy::new`](crate::GpuBuddy::new).
            ///
            /// # Errors
            ///
            /// `EINVAL`, `ENOMEM`, as there.
            pub fn new(params: GpuBuddyParams) -> Result<Self> {
                Ok(Self(crate::GpuBuddy::new(params)?))
            }

            /// See [`GpuBuddy::base_offset`](crate::GpuBuddy::base_offset).
            #[must_use]
            pub fn base_offset(&self) -> u64 {
                self.0.base_offset()
            }

            /// See [`GpuBuddy::chunk_size`](crate::GpuBuddy::chunk_size).
            #[must_use]
            pub fn chunk_size(&self) -> Alignment {
                self.0.chunk_size()
            }

            /// See [`GpuBuddy::size`](crate::GpuBuddy::size).
            #[must_use]
            pub fn size(&self) -> u64 {
                self.0.size()
            }

            /// See [`GpuBuddy::avail`](crate::GpuBuddy::avail).
            #[must_use]
            pub fn avail(&self) -> u64 {
                self.0.avail()
            }

            /// See [`GpuBuddy::alloc_blocks`](crate::GpuBuddy::alloc_blocks). Nothing is allocated
            /// until the initialiser is run.
            pub fn alloc_blocks<F: Into<GpuBuddyAllocFlags>>(
                &self,
                mode: GpuBuddyAllocMode,
                size: u64,
                min_block_size: Alignment,
                flags: F,
            ) -> impl PinInit<AllocatedBlocks, Error> + use<F> {
                let buddy = self.0.clone();
                let flags = flags.into();
                move || Ok(buddy.alloc_blocks(mode, size, min_block_size, flags)?)
            }
        }
    }
}

#[cfg(doctest)]
#[doc = include_str!(concat!(env!("OUT_DIR"), "/examples.md"))]
mod examples {}
