//! The checks in Rust agree with the C: the safe API and the raw layer get the same arguments,
//! right and wrong, and do the same. The raw layer is left out only if the C's behaviour would
//! be undefined or it would not return; the safe API refuses exactly these calls.

mod allocations;
mod hostile;
mod spaces_and_blocks;

use std::time::{Duration, Instant};

use crate::common::{CHUNK, GIB, KIB, List, MIB, Random, Raw, extents, params, within};
use gpu_buddy::{
    Alignment, AllocRequest, AllocatedBlocks, Errno, Error, GpuBuddy, GpuBuddyAllocFlag as Flag,
    GpuBuddyAllocFlags as Flags, GpuBuddyAllocMode as Mode, InvalidArgument,
};
use rstest::rstest;

/// A table takes seconds; a call that does not return fails after this.
const LIMIT: Duration = Duration::from_secs(300);

/// How long one call may take, whatever its arguments.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// The largest space in chunks of 4K: 2^64 bytes less one chunk.
const ALL: u64 = u64::MAX - CHUNK + 1;

/// Each number at which a check changes its answer, one step below and one above.
fn around(values: &[u64], step: u64) -> Vec<u64> {
    let mut all: Vec<_> = values
        .iter()
        .flat_map(|&value| [value.wrapping_sub(step), value, value.wrapping_add(step)])
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// What the C makes of a request before it looks for room.
#[derive(Debug, PartialEq)]
enum Fate {
    /// It returns.
    Returns,
    /// It rounds up to a power of two beyond 64 bits.
    Undefined,
    /// It loses the upper bits of the number of chunks and goes on, a chunk at a
    /// time, for 2^32 of them.
    Endless,
}

/// Computed from the documented checks, in 128 bits.
fn fate(request: &AllocRequest, size: u64, chunk: u64) -> Fate {
    let AllocRequest { start, end, size: requested, min_block_size, flags, .. } = *request;
    let refused = requested < chunk
        || min_block_size < chunk
        || !min_block_size.is_power_of_two()
        || [start, end, requested].iter().any(|value| value % chunk != 0)
        || end > size
        || u128::from(start) + u128::from(requested) > u128::from(size)
        || start >= size;
    if refused || start + requested == end {
        return Fate::Returns;
    }
    if flags.contains(Flag::Contiguous) {
        return if requested > 1 << 63 { Fate::Undefined } else { Fate::Returns };
    }
    let kept = cfg!(offset_align) && requested < min_block_size && requested.is_power_of_two();
    let requested = u128::from(requested);
    let rounded =
        if kept { requested } else { requested.next_multiple_of(u128::from(min_block_size)) };
    let chunks = rounded / u128::from(chunk);
    // The C takes the order of the lower 32 bits.
    let seen = chunks as u32;
    if rounded <= u128::from(size) && chunks > u128::from(u32::MAX) && seen != 0 {
        return Fate::Endless;
    }
    Fate::Returns
}

/// The outcome of a call, through either layer.
type Outcome = Result<Vec<(u64, u64)>, i32>;

/// Frees what was allocated.
fn outcome(result: Result<AllocatedBlocks, Error>) -> Outcome {
    match result {
        Ok(blocks) => Ok(extents(&blocks)),
        Err(error) => Err(-error.errno().code()),
    }
}

/// The same space twice.
struct Pair {
    safe: GpuBuddy,
    raw: Raw,
}

impl Pair {
    fn new(size: u64, chunk: u64) -> Self {
        let safe = GpuBuddy::new(params(0, size, chunk)).expect("a space");
        Self { safe, raw: Raw::new(size, chunk).expect("a space") }
    }

    /// Makes the call on both, frees what it allocated, and returns the outcome.
    fn compare(&mut self, request: &AllocRequest) -> Outcome {
        let started = Instant::now();
        let size = self.safe.size();
        let chunk = self.safe.chunk_size().as_u64();
        let safe = self.safe.alloc(request);
        let fate = fate(request, size, chunk);
        match (&safe, &fate) {
            (Err(Error::InvalidArgument(InvalidArgument::NoPowerOfTwo { .. })), _) => {
                assert_eq!(fate, Fate::Undefined, "{request:x?} of {size:#x}");
            }
            (Err(Error::InvalidArgument(InvalidArgument::TooManyChunks { .. })), fate) => {
                assert_ne!(*fate, Fate::Undefined, "{request:x?} of {size:#x}");
            }
            (result, fate) => {
                assert_eq!(*fate, Fate::Returns, "{request:x?} of {size:#x}: {result:?}");
            }
        }
        let safe = outcome(safe);
        if fate == Fate::Returns {
            let mut list = List::new();
            let raw = match self.raw.alloc(request, &mut list) {
                0 => Ok(list.extents(&mut self.raw)),
                error => Err(error),
            };
            self.raw.free(&mut list);
            assert_eq!(safe, raw, "{request:x?} of {size:#x}");
            assert_eq!(self.safe.avail(), self.raw.avail(), "{request:x?} of {size:#x}");
        }
        assert!(started.elapsed() < CALL_LIMIT, "{request:x?} took {:?}", started.elapsed());
        safe
    }
}
