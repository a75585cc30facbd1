//! Misuses of the raw layer by a wrapper.

use core::fmt;

use crate::diff::Promise;

/// A broken rule for callers of the [raw layer](crate::ffi#rules-for-callers). The call was not
/// passed on to the C, except one without its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misuse {
    /// A call without the lock that all earlier calls on this allocator held.
    NotLocked {
        /// The function of the C.
        function: &'static str,
    },
    /// A block that is not allocated: it was freed before, or never allocated.
    NotAllocated {
        /// The function of the C.
        function: &'static str,
    },
    /// A block of another allocator.
    OtherAllocator {
        /// The function of the C.
        function: &'static str,
    },
    /// A call on an address without an allocator: it was not initialised there, or is torn down.
    NoAllocator {
        /// The function of the C.
        function: &'static str,
    },
    /// The initialisation of an allocator that is not torn down.
    InitialisedTwice,
    /// A teardown while blocks are allocated.
    InUse {
        /// The number of blocks.
        blocks: usize,
    },
    /// At the end: allocators that were never torn down.
    NotTornDown {
        /// The number of allocators.
        allocators: usize,
    },
    /// At the end: objects of the C that are left although all allocators are torn down.
    Leaked {
        /// The number of objects.
        objects: usize,
    },
}

impl Misuse {
    /// The promise that it breaks.
    #[must_use]
    pub fn promise(self) -> Promise {
        match self {
            Self::NotLocked { .. } => Promise::LockHeld,
            Self::NotAllocated { .. } | Self::OtherAllocator { .. } => Promise::FreedOnce,
            Self::NoAllocator { .. } | Self::InitialisedTwice => Promise::AllocatorAlive,
            Self::InUse { .. } | Self::NotTornDown { .. } => Promise::TornDown,
            Self::Leaked { .. } => Promise::NothingLeaked,
        }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotLocked { function } => {
                write!(f, "{function}() is called without the lock that the calls before it held")
            }
            Self::NotAllocated { function } => write!(
                f,
                "{function}() is given a block that is not allocated: it was freed before, \
                 or never allocated"
            ),
            Self::OtherAllocator { function } => {
                write!(f, "{function}() is given a block of another allocator")
            }
            Self::NoAllocator { function } => write!(
                f,
                "{function}() is called on an allocator that is not initialised at this address, \
                 or is torn down"
            ),
            Self::InitialisedTwice => {
                f.write_str("gpu_buddy_init() is called on an allocator that is not torn down")
            }
            Self::InUse { blocks } => {
                write!(f, "gpu_buddy_fini() is called with {blocks} blocks still allocated")
            }
            Self::NotTornDown { allocators } => {
                write!(f, "gpu_buddy_fini() was not called for {allocators} allocators")
            }
            Self::Leaked { objects } => write!(f, "{objects} objects of the C are left behind"),
        }
    }
}
