//! Traces: sequences of operations as data and as text.

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

/// The name of an allocation in a trace. Names count up from 0. The highest one decides how much
/// memory the table of allocations takes.
pub type Id = u32;

/// One operation on an allocator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Allocates. `id` names the allocation from here on.
    Alloc {
        /// Its name, unique in the trace.
        id: Id,
        /// The request.
        request: AllocRequest,
    },
    /// Allocates onto the list of an allocation, as the C allows. Skipped if that failed or is
    /// freed.
    AllocOnto {
        /// The allocation that grows.
        id: Id,
        /// The request.
        request: AllocRequest,
    },
    /// Frees a whole allocation. Skipped if it failed or is freed.
    Free {
        /// The allocation.
        id: Id,
        /// Whether it is marked cleared, or dirty.
        cleared: bool,
    },
    /// Frees one block of an allocation. Skipped if there is none.
    FreeBlock {
        /// The allocation.
        id: Id,
        /// The block's position in it.
        index: usize,
        /// Whether it is marked cleared, or dirty.
        cleared: bool,
    },
    /// Trims an allocation of one block. Skipped if it failed or is freed.
    Trim {
        /// The allocation.
        id: Id,
        /// The start of the part to keep, in bytes from the start of the space; `None` for the
        /// block's own start.
        start: Option<u64>,
        /// The number of bytes to keep.
        new_size: u64,
    },
    /// Makes every free block clear or dirty.
    ResetClear {
        /// Whether clear.
        clear: bool,
    },
    /// Looks up the allocated block at an offset.
    BlockAt {
        /// The offset in bytes from the start of the space.
        offset: u64,
    },
    /// Makes allocations of the allocator's own objects fail: the `nth` from now, and the `times -
    /// 1` after it. Replaces the previous such operation; `times` 0 ends failures.
    FailNth {
        /// Counts from 1.
        nth: u64,
        /// The number of failures; `u64::MAX` for all.
        times: u64,
    },
    /// Tears the allocator down, even with blocks allocated. Later operations are skipped.
    Fini,
}

/// A space and the operations on it.
///
/// As text, it has one operation a line, to read, write and mail. `docs/traces.md` describes the
/// notation:
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
/// Settings of an operation may be in any order, and are written in this one. Allocations are
/// numbered as they appear, and are written as `a` to `z`, `aa`, `ab` and so on; a [`TraceFile`]
/// keeps the names and comments of a text. Operations on an allocation that the trace does not
/// make, or has freed, are skipped, and are not written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Trace {
    /// The space.
    pub space: Space,
    /// The operations, in order.
    pub operations: Vec<Operation>,
}
