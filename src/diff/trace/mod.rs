//! A written sequence of operations.

mod error;
mod file;
mod read;
mod run;
mod size;
mod words;
mod write;

pub use error::{Found, ParseError};
pub use file::{TraceFile, TraceLine};
pub use run::FirstFinding;
pub use size::{ParseSizeError, format_size, parse_size};

use crate::AllocRequest;

use super::Space;

/// Names an allocation in a trace. Names count up from 0: the highest decides how
/// much memory it takes to keep allocations by name.
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
    /// Allocates onto the list of an allocation, as the C allows. Nothing happens where
    /// that failed or is freed.
    AllocOnto {
        /// The allocation that grows.
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
    /// Tears the allocator down, whatever is allocated. Nothing happens after that.
    Fini,
}

/// A space, and what is done to it.
///
/// As text it has one operation a line, made to be read, written and mailed. The notation
/// is described in `docs/traces.md`:
///
/// ```
/// use gpu_buddy::diff::Trace;
///
/// let text = "\
/// space size=16M chunk=4K base=4G
/// a = alloc 8M align=4M range=0..16M contiguous
/// b = alloc 12K start=4K end=1M clear topdown trim-disable
/// trim a 4M
/// trim a 1M start=2M
/// free a[2] cleared
/// free a
/// reset dirty
/// lookup 12K
/// fail-nth 3 times=1
/// c = alloc 4K flags=0x10
/// c += alloc 8K
/// fail-nth off
/// free b
/// free c
/// fini
/// ";
/// let trace: Trace = text.parse()?;
/// assert_eq!(trace.to_string(), text);
/// # Ok::<(), gpu_buddy::diff::ParseError>(())
/// ```
///
/// Settings of an operation may be in any order, and are written in this one.
/// Allocations are numbered as they appear, and are written as `a` to `z`, `aa`, `ab` and
/// so on; a [`TraceFile`] keeps the names and comments of a text. Operations on an
/// allocation that the trace does not make, or has freed, are not written: nothing happens
/// there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Trace {
    /// The space.
    pub space: Space,
    /// The operations, in order.
    pub operations: Vec<Operation>,
}
