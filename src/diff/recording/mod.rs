//! Converts the calls of a running kernel's allocator to traces.
//!
//! `contrib/record.bt` records them; `docs/import.md` describes the format.
//!
//! ```
//! use gpu_buddy::diff::recording::Recording;
//!
//! let text = "\
//! gpu-buddy-recording 1
//! init 1000 7 0xffff0000 1048576 4096 0
//! alloc 2000 7 0xffff0000 0xffff1000 0x0 0 1048576 8192 4096 0x0 0
//! block 2000 7 0xffff2000 0xfe401
//! free 3000 7 0xffff0000 0xffff1000 0xffff2000 0xffff2000 0x0
//! ";
//! let recording: Recording = text.parse()?;
//! let imported = recording.import(0, recording.allocators()[0].space.expect("it was made"));
//! assert_eq!(
//!     imported.trace.to_string(),
//!     "space size=1M chunk=4K\na = alloc 8K end=1M\nfree a\n",
//! );
//! # Ok::<(), gpu_buddy::diff::recording::RecordingError>(())
//! ```

mod books;
mod import;
mod line;
mod write;

use core::str::FromStr;
use std::collections::HashMap;

use crate::AllocRequest;
use crate::sizes::SZ_4K;

use super::{Block, Space};

pub use import::{Imported, RecordedOutcome, Skipped};
pub use line::RecordingError;

/// A recording, in the order of time.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    calls: Vec<Call>,
    allocators: Vec<RecordedAllocator>,
    lost: u64,
}

/// An allocator whose calls were recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedAllocator {
    /// The address of its `struct gpu_buddy`.
    pub address: u64,
    /// Its space, from its creation or else inferred from its calls; `None` if neither shows it.
    pub space: Option<Space>,
    /// Whether its creation was recorded. Then all its allocations are known.
    pub is_whole: bool,
    /// The number of its calls.
    pub calls: usize,
    /// The times of its first and its last call, in ns.
    pub times: (u64, u64),
}

/// One recorded call.
#[derive(Clone, Debug)]
struct Call {
    time: u64,
    thread: u64,
    mm: u64,
    /// The index of its allocator.
    allocator: usize,
    function: Function,
}

/// A function of the allocator with its arguments. Addresses are those of the kernel.
#[derive(Clone, Debug)]
enum Function {
    Init {
        space: Space,
        result: i32,
    },
    Alloc {
        list: u64,
        first: u64,
        request: AllocRequest,
        result: i32,
        blocks: Blocks,
    },
    /// `first` and `last` are the addresses of blocks, or 0.
    Free {
        list: u64,
        first: u64,
        last: u64,
        cleared: bool,
    },
    FreeBlock {
        address: u64,
        clear: bool,
    },
    Trim {
        list: u64,
        start: Option<u64>,
        new_size: u64,
        result: i32,
        blocks: Blocks,
    },
    Reset {
        clear: bool,
    },
    Fini,
}

/// The blocks on a list: addresses and blocks.
#[derive(Clone, Debug, Default)]
struct Blocks {
    blocks: Vec<(u64, Block)>,
    /// Whether there were more than were recorded.
    more: bool,
}

impl FromStr for Recording {
    type Err = RecordingError;

    /// # Errors
    ///
    /// The first line that is not one of a recording. An incomplete last line is ignored.
    fn from_str(text: &str) -> Result<Self, RecordingError> {
        let mut lines = line::read(text)?;
        // The lines of each CPU are in order, but not those of several CPUs.
        lines.calls.sort_by_key(|call| call.time);
        let mut recording = Self { lost: lines.lost, ..Self::default() };
        let mut current = HashMap::new();
        for mut call in lines.calls {
            match call.function {
                // The creation failed.
                Function::Init { result, .. } if result < 0 => continue,
                // A new allocator may have the address of an old one.
                Function::Init { .. } => drop(current.remove(&call.mm)),
                _ => {}
            }
            call.allocator = *current.entry(call.mm).or_insert_with(|| {
                recording.allocators.push(RecordedAllocator::new(&call));
                recording.allocators.len() - 1
            });
            recording.allocators[call.allocator].count(&call);
            if let Function::Fini = call.function {
                current.remove(&call.mm);
            }
            recording.calls.push(call);
        }
        Ok(recording)
    }
}

impl Recording {
    /// The allocators, in the order of their first calls.
    #[must_use]
    pub fn allocators(&self) -> &[RecordedAllocator] {
        &self.allocators
    }

    /// The number of lines that are known to be lost: those that bpftrace reports, and those
    /// without the line of their call.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

impl RecordedAllocator {
    fn new(call: &Call) -> Self {
        let (space, is_whole) = match call.function {
            Function::Init { space, .. } => (Some(space), true),
            _ => (None, false),
        };
        Self { address: call.mm, space, is_whole, calls: 0, times: (call.time, call.time) }
    }

    fn count(&mut self, call: &Call) {
        self.calls += 1;
        self.times.1 = call.time;
        // Drivers pass the end of the space for memory anywhere.
        if let Function::Alloc { request, .. } = &call.function
            && !self.is_whole
            && !request.range
            && request.end > self.space.map_or(0, |space| space.size)
        {
            self.space = Some(Space::new(request.end, SZ_4K as u64));
        }
    }
}
