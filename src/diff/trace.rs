//! A written sequence of operations.

use crate::AllocRequest;

use super::Space;

/// Names an allocation in a trace.
pub type Id = u32;

/// One operation on an allocator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Allocates. The allocation is named `id` from here on.
    Alloc {
        /// Its name, used for no other allocation of the trace.
        id: Id,
        /// What is asked for.
        request: AllocRequest,
    },
    /// Frees a whole allocation. Nothing happens where it failed or is freed.
    Free {
        /// The allocation.
        id: Id,
        /// Whether it is marked cleared, or dirty.
        cleared: bool,
    },
    /// Frees one block of an allocation. Nothing happens where there is none.
    FreeBlock {
        /// The allocation.
        id: Id,
        /// The block's position in it.
        index: usize,
        /// Whether it is marked cleared, or dirty.
        cleared: bool,
    },
    /// Trims an allocation. Nothing happens where it failed or is freed.
    Trim {
        /// The allocation.
        id: Id,
        /// Where what stays begins, in bytes from the start of the space.
        start: Option<u64>,
        /// How many bytes stay.
        new_size: u64,
    },
    /// Makes every free block clear, or dirty.
    ResetClear {
        /// Whether clear.
        clear: bool,
    },
    /// Looks up the allocated block at an offset.
    BlockAt {
        /// Bytes from the start of the space.
        offset: u64,
    },
    /// Makes allocations of the allocator's own objects fail from here on:
    /// the `nth` from now, and the `times - 1` after it. Replaces the last
    /// such operation; `times` 0 ends it.
    FailNth {
        /// Counts from 1.
        nth: u64,
        /// How many fail; `u64::MAX` for all.
        times: u64,
    },
}

/// A space, and what is done to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Trace {
    /// The space.
    pub space: Space,
    /// The operations, in order.
    pub operations: Vec<Operation>,
}
