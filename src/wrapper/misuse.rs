//! What a wrapper does wrong with the raw layer.

use core::fmt;

use crate::diff::Promise;

/// A rule for callers of the [raw layer](crate::ffi#rules-for-callers) that was broken. The
/// call that broke it was not passed on to the C, but for one without its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misuse {
    /// A call without a lock that all calls on this allocator before it had in common.
    NotLocked {
        /// The function of the C.
        function: &'static str,
    },
    /// A block that is not allocated: it was given back before, or never handed out.
    NotAllocated {
        /// The function of the C.
        function: &'static str,
    },
    /// A block of another allocator.
    OtherAllocator {
        /// The function of the C.
        function: &'static str,
    },
    /// A call on what is no allocator: it was not initialised at this address, or is torn
    /// down.
    NoAllocator {
        /// The function of the C.
        function: &'static str,
    },
    /// Initialising an allocator that is not torn down.
    InitialisedTwice,
    /// A teardown with blocks that are still allocated.
    InUse {
        /// How many.
        blocks: usize,
    },
    /// At the end: allocators that were never torn down.
    NotTornDown {
        /// How many.
        allocators: usize,
    },
    /// At the end: objects of the C that are left, though all allocators are torn down.
    Leaked {
        /// How many.
        objects: usize,
    },
}

impl Misuse {
    /// The promise of a wrapper that is broken by it.
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
                "{function}() is given a block that is not allocated: it was given back before, \
                 or never handed out"
            ),
            Self::OtherAllocator { function } => {
                write!(f, "{function}() is given a block of another allocator")
            }
            Self::NoAllocator { function } => write!(
                f,
                "{function}() is called on an allocator that is not initialised at this address, \
                 or torn down"
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
