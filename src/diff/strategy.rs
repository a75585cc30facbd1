//! Random traces for tests with `proptest`.
//!
//! ```
//! use gpu_buddy::diff::{Space, reference::Reference, strategy};
//! use proptest::prelude::*;
//!
//! let space = Just(Space::new(1 << 20, 4 << 10));
//! proptest!(|(trace in strategy::trace(space, 1..64))| {
//!     // Any implementation, in place of the twin.
//!     strategy::check::<Reference>(&trace)?;
//! });
//! ```

use proptest::collection::{SizeRange, vec};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::TestCaseError;

use crate::{AllocRequest, GpuBuddyAllocFlag, GpuBuddyAllocFlags};

use super::{Id, Implementation, KernelC, Lockstep, Operation, Settings, Space, Trace};

/// Allocations are put in this many places. To free one is to name its place, so
/// that a trace that shrinks keeps its meaning when other operations go.
const PLACES: usize = 6;

/// Traces of so many operations in such a space.
///
/// Spaces shrink with the strategy that they come from; `Just` has one alone.
pub fn trace(
    space: impl Strategy<Value = Space>,
    operations: impl Into<SizeRange>,
) -> impl Strategy<Value = Trace> {
    (space, vec(step(), operations)).prop_map(|(space, steps)| build(space, &steps))
}

/// Spaces of 1 to 64 chunks of 4 KiB, powers of two and others.
pub fn small_space() -> impl Strategy<Value = Space> {
    let chunk_size = 4 << 10;
    let chunks = prop_oneof![1..=64u64, (0..=6u32).prop_map(|order| 1 << order)];
    chunks.prop_map(move |chunks| Space::new(chunks * chunk_size, chunk_size))
}

/// Runs a trace on an implementation in lockstep with the kernel's C, with all
/// checks after each operation.
///
/// # Errors
///
/// The first difference or broken promise, with the trace as text.
pub fn check<S: Implementation>(trace: &Trace) -> Result<(), TestCaseError> {
    let settings = Settings { full_check_interval: 1, ..Settings::default() };
    let mut pair = Lockstep::<S, KernelC>::new(trace.space, settings)
        .map_err(|errno| TestCaseError::reject(format!("no such space: {errno}")))?;
    let found = trace.operations.iter().flat_map(|operation| pair.step(operation).findings).next();
    let found = found.or_else(|| pair.finish().findings.into_iter().next());
    found.map_or(Ok(()), |finding| Err(TestCaseError::fail(format!("{finding}\n{trace}"))))
}

/// An operation whose numbers are in chunks, and may be too large for the space.
#[derive(Clone, Debug)]
enum Step {
    Alloc { to: usize, size: u64, align: u32, mode: Mode, flags: GpuBuddyAllocFlags },
    Free { from: usize, cleared: bool },
    FreeBlock { from: usize, index: usize, cleared: bool },
    Trim { from: usize, start: Option<u64>, size: u64 },
    ResetClear { clear: bool },
    BlockAt { chunk: u64 },
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Simple,
    TopDown,
    Range {
        start: u64,
        length: u64,
    },
    /// A range as long as the request.
    Exact {
        start: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let place = || 0..PLACES;
    prop_oneof![
        10 => (place(), chunks(), align(), mode(), flags()).prop_map(|(to, size, align, mode, flags)| {
            Step::Alloc { to, size, align, mode, flags }
        }),
        6 => (place(), any::<bool>()).prop_map(|(from, cleared)| Step::Free { from, cleared }),
        2 => (place(), 0..4usize, any::<bool>())
            .prop_map(|(from, index, cleared)| Step::FreeBlock { from, index, cleared }),
        2 => (place(), proptest::option::of(0..8u64), 1..16u64)
            .prop_map(|(from, start, size)| Step::Trim { from, start, size }),
        1 => any::<bool>().prop_map(|clear| Step::ResetClear { clear }),
        1 => (0..=64u64).prop_map(|chunk| Step::BlockAt { chunk }),
    ]
}

fn chunks() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 1..=16u64,
        2 => (0..=20u32).prop_map(|order| 1 << order),
        1 => 1..=1u64 << 20,
    ]
}

fn align() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(0), 1 => 0..=6u32]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        2 => Just(Mode::Simple),
        1 => Just(Mode::TopDown),
        2 => (0..=1u64 << 20, chunks()).prop_map(|(start, length)| Mode::Range { start, length }),
        1 => (0..=1u64 << 20).prop_map(|start| Mode::Exact { start }),
    ]
}

fn flags() -> impl Strategy<Value = GpuBuddyAllocFlags> {
    let choice = (any::<bool>(), any::<bool>(), any::<bool>());
    choice.prop_map(|(contiguous, clear, trim_disable)| {
        [
            (contiguous, GpuBuddyAllocFlag::Contiguous),
            (clear, GpuBuddyAllocFlag::Clear),
            (trim_disable, GpuBuddyAllocFlag::TrimDisable),
        ]
        .into_iter()
        .filter(|&(asked, _)| asked)
        .fold(GpuBuddyAllocFlags::empty(), |flags, (_, flag)| flags | flag)
    })
}

fn build(space: Space, steps: &[Step]) -> Trace {
    let unit = space.chunk_size;
    let chunks = (space.size / unit).max(1);
    // The allocation in each place, and where it may begin.
    let mut places: [Option<Id>; PLACES] = [None; PLACES];
    let mut next: Id = 0;
    let mut operations = Vec::new();
    for step in steps {
        operations.push(match *step {
            Step::Alloc { to, size, align, mode, flags } => {
                places[to] = Some(next);
                next += 1;
                let size = (size - 1) % chunks + 1;
                let mut request = AllocRequest {
                    size: size * unit,
                    min_block_size: unit << align,
                    flags,
                    ..AllocRequest::default()
                };
                match mode {
                    Mode::Simple => {}
                    Mode::TopDown => request.top_down = true,
                    Mode::Range { start, length } => {
                        let start = start % chunks;
                        let length = (length - 1) % (chunks - start) + 1;
                        request.range = true;
                        (request.start, request.end) = (start * unit, (start + length) * unit);
                    }
                    Mode::Exact { start } => {
                        let start = (start % (chunks - size + 1)) >> align << align;
                        request.range = true;
                        (request.start, request.end) = (start * unit, (start + size) * unit);
                    }
                }
                Operation::Alloc { id: next - 1, request }
            }
            Step::Free { from, cleared } => match places[from].take() {
                Some(id) => Operation::Free { id, cleared },
                None => continue,
            },
            Step::FreeBlock { from, index, cleared } => match places[from] {
                Some(id) => Operation::FreeBlock { id, index, cleared },
                None => continue,
            },
            Step::Trim { from, start, size } => match places[from] {
                Some(id) => {
                    let start = start.map(|start| start % chunks * unit);
                    Operation::Trim { id, start, new_size: size * unit }
                }
                None => continue,
            },
            Step::ResetClear { clear } => Operation::ResetClear { clear },
            Step::BlockAt { chunk } => Operation::BlockAt { offset: chunk % (chunks + 1) * unit },
        });
    }
    Trace { space, operations }
}
