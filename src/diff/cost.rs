//! The cost of calls: the most expensive ones of a run, and which are too expensive.
//!
//! Costs are those of [`Report::cost`](super::Report::cost), in steps that do not depend on the
//! machine. An implementation that does not count steps has none.

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use super::shrink::{renamed, shrink};
use super::torture::{Episode, Options, Pulse, Runner};
use super::{Lockstep, NotCreated, Operation, Settings, Space, Trace, compare};
use crate::GpuBuddyAllocFlag;

/// A call of up to this many steps is never too expensive.
pub const FLOOR: u64 = 100;

/// The same for a teardown: a driver makes one when it is unloaded, and nobody waits for memory then.
pub const FLOOR_OF_FINI: u64 = 10_000;

/// Whether a call of `steps` costs more than twice the `base`, and more than [`FLOOR`] or
/// [`FLOOR_OF_FINI`].
#[must_use]
pub fn is_excessive(operation: &Operation, steps: u64, base: u64) -> bool {
    let floor = if *operation == Operation::Fini { FLOOR_OF_FINI } else { FLOOR };
    steps > floor && steps > base.saturating_mul(2)
}

/// The most expensive call of each kind and size class.
#[derive(Clone, Debug, Default)]
pub struct Costs {
    calls: BTreeMap<usize, Costly>,
    /// The steps of the same calls, by their key.
    steps: Vec<u64>,
}

/// An expensive call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Costly {
    /// The call.
    pub operation: Operation,
    /// Its steps.
    pub steps: u64,
    /// The episode in which it occurred.
    pub episode: Episode,
    /// The number of operations of the episode up to this one.
    pub operations: u64,
}

impl Costly {
    /// The kind of the call: see [`compare::call`].
    #[must_use]
    pub fn kind(&self) -> String {
        compare::call(Some(&self.operation))
    }

    /// Its size class in chunks: the call's size is at least this, and less than twice this. 0 for
    /// less than a chunk, and for a call without a size.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        match key(&self.operation, self.episode.space) % CLASSES {
            0 => 0,
            bits => 1 << (bits - 1),
        }
    }
}

/// A trace whose last call is an expensive one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CostlyTrace {
    /// The trace.
    pub trace: Trace,
    /// The steps of its last call. Shrinking may lose up to a tenth of them.
    pub steps: u64,
    /// Whether shrinking ran out of time.
    pub cut_short: bool,
}

impl Costs {
    /// Records the steps of an operation, the `operations`th of an episode.
    pub fn record(
        &mut self,
        operation: &Operation,
        steps: u64,
        episode: &Episode,
        operations: u64,
    ) {
        let key = key(operation, episode.space);
        if self.steps.is_empty() {
            self.steps = vec![0; KEYS];
        }
        if steps > self.steps[key] {
            self.steps[key] = steps;
            let (operation, episode) = (operation.clone(), *episode);
            self.calls.insert(key, Costly { operation, steps, episode, operations });
        }
    }

    /// Adds the calls of another run.
    pub fn add(&mut self, other: &Self) {
        if self.steps.is_empty() {
            self.steps.clone_from(&other.steps);
        }
        for (&key, costly) in &other.calls {
            if self.calls.get(&key).is_none_or(|known| known.steps < costly.steps) {
                self.steps[key] = costly.steps;
                self.calls.insert(key, costly.clone());
            }
        }
    }

    /// All calls, the most expensive first.
    #[must_use]
    pub fn calls(&self) -> Vec<&Costly> {
        let mut calls: Vec<_> = self.calls.values().collect();
        calls.sort_by_key(|costly| core::cmp::Reverse(costly.steps));
        calls
    }

    /// The most expensive call of each kind, of any size; the most expensive first.
    #[must_use]
    pub fn kinds(&self) -> Vec<&Costly> {
        let mut kinds: Vec<&Costly> = Vec::new();
        for costly in self.calls() {
            if !kinds.iter().any(|known| known.kind() == costly.kind()) {
                kinds.push(costly);
            }
        }
        kinds
    }
}

/// The number of size classes: one for each number of bits of a size in chunks.
const CLASSES: usize = 65;

/// The number of kinds of calls, as in [`compare::call`].
const KINDS: usize = REQUESTS + 11;

/// The number of kinds of requests.
const REQUESTS: usize = 256;

const KEYS: usize = KINDS * CLASSES;

/// The index of an operation's kind and size class.
fn key(operation: &Operation, space: Space) -> usize {
    let (kind, size) = match *operation {
        Operation::Alloc { ref request, .. } | Operation::AllocOnto { ref request, .. } => {
            let is_exact = request.start.checked_add(request.size) == Some(request.end);
            let mode = match (is_exact, request.range, request.top_down) {
                (true, ..) => 0,
                (_, true, _) => 1,
                (.., true) => 2,
                _ => 3,
            };
            let bits = [
                request.size < request.min_block_size,
                request.flags.contains(GpuBuddyAllocFlag::Contiguous),
                request.flags.contains(GpuBuddyAllocFlag::Clear),
                request.flags.contains(GpuBuddyAllocFlag::TrimDisable),
                request.extra_flags != 0,
                matches!(operation, Operation::AllocOnto { .. }),
            ];
            let kind = bits.into_iter().fold(mode, |kind, bit| 2 * kind + usize::from(bit));
            (kind, request.size)
        }
        Operation::Free { cleared, .. } => (REQUESTS + usize::from(cleared), 0),
        Operation::FreeBlock { cleared, .. } => (REQUESTS + 2 + usize::from(cleared), 0),
        Operation::Trim { start, new_size, .. } => {
            (REQUESTS + 4 + usize::from(start.is_some()), new_size)
        }
        Operation::ResetClear { clear } => (REQUESTS + 6 + usize::from(clear), 0),
        Operation::BlockAt { .. } => (REQUESTS + 8, 0),
        Operation::FailNth { .. } => (REQUESTS + 9, 0),
        Operation::Fini => (REQUESTS + 10, 0),
    };
    // The chunk size is a power of two.
    let chunks = size.checked_shr(space.chunk_size.trailing_zeros()).unwrap_or(0);
    kind * CLASSES + (u64::BITS - chunks.leading_zeros()) as usize
}

/// Reproduces an expensive call of a run with these options, as a trace that ends with it. Shrinks
/// the trace for up to `within`. `None` if the call cannot be reproduced.
pub fn trace(
    options: &Options,
    start: impl Fn(Space, Settings) -> Result<Lockstep, NotCreated>,
    costly: &Costly,
    within: Duration,
) -> Option<CostlyTrace> {
    let deadline = Instant::now() + within;
    let pulse = &Pulse::default();
    let long = Runner::new(options, &start, pulse).operations(costly.episode, costly.operations);
    let settings = Settings { full_check_interval: 0, ..options.settings };
    let pair = |trace: &Trace| start(trace.space, settings).ok();
    let kind = costly.kind();
    let enough = costly.steps - costly.steps / 10;
    let shrunk = shrink(long, deadline, |trace| {
        let mut pair = pair(trace)?;
        let is_it = |operation: &Operation| {
            pair.step(operation);
            pair.costs().0.is_some_and(|steps| steps >= enough)
                && compare::call(Some(operation)) == kind
        };
        Some(1 + trace.operations.iter().position(is_it)?)
    });
    let trace = renamed(shrunk.trace);
    let mut pair = pair(&trace)?;
    for operation in &trace.operations {
        pair.step(operation);
    }
    Some(CostlyTrace { steps: pair.costs().0?, trace, cut_short: shrunk.cut_short })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::AllocRequest;

    const SPACE: Space = Space::new(1 << 30, 4 << 10);
    const EPISODE: Episode =
        Episode { seed: 1, space: SPACE, operations: 10, full_check_interval: 0 };

    #[test]
    fn twice_the_base_and_the_floor_are_not_too_much() {
        let reset = Operation::ResetClear { clear: true };
        for (operation, floor) in [(reset, FLOOR), (Operation::Fini, FLOOR_OF_FINI)] {
            assert!(!is_excessive(&operation, floor, 0));
            assert!(is_excessive(&operation, floor + 1, 0));
            assert!(!is_excessive(&operation, 2 * floor, floor));
            assert!(is_excessive(&operation, 2 * floor + 1, floor));
            assert!(!is_excessive(&operation, u64::MAX, u64::MAX));
        }
    }

    /// The key distinguishes exactly what the name of a kind does.
    #[test]
    fn a_kind_has_one_name_and_one_number() {
        let start = Lockstep::alone::<crate::diff::KernelC>;
        let trace = super::super::torture::random_trace(start, 1, SPACE, 20_000).expect("a trace");
        let (mut names, mut numbers) = (HashMap::new(), HashMap::new());
        // The generator makes neither.
        let request = AllocRequest { size: 4096, ..AllocRequest::default() };
        let other_flags = AllocRequest { extra_flags: 1 << 40, ..request.clone() };
        let more = [
            Operation::AllocOnto { id: 0, request },
            Operation::Alloc { id: 0, request: other_flags },
        ];
        for operation in trace.operations.iter().chain(&more) {
            let key = key(operation, SPACE);
            assert!(key < KEYS);
            let (number, name) = (key / CLASSES, compare::call(Some(operation)));
            assert_eq!(names.entry(number).or_insert_with(|| name.clone()), &name);
            assert_eq!(numbers.entry(name).or_insert(number), &number);
        }
        // There are fewer if a kernel never aligns beyond the size.
        assert!(names.len() > 30, "{names:?}");
    }

    #[test]
    fn the_highest_of_each_size_is_kept() {
        let alloc = |chunks: u64| {
            let size = chunks * SPACE.chunk_size;
            let request = AllocRequest { size, ..AllocRequest::default() };
            Operation::Alloc { id: 0, request }
        };
        let (mut costs, mut other) = (Costs::default(), Costs::default());
        costs.record(&alloc(4), 10, &EPISODE, 1);
        costs.record(&alloc(7), 20, &EPISODE, 2);
        costs.record(&alloc(8), 15, &EPISODE, 3);
        other.record(&alloc(5), 30, &EPISODE, 4);
        other.record(&alloc(15), 5, &EPISODE, 5);
        other.add(&costs);
        let kept: Vec<_> = other.calls().iter().map(|it| (it.steps, it.chunks())).collect();
        assert_eq!(kept, [(30, 4), (15, 8)]);
        assert_eq!(other.kinds().len(), 1);
        // What was taken in from another run is not replaced by less.
        other.record(&alloc(8), 15, &EPISODE, 6);
        assert_eq!(other.calls()[1].operations, 3);
    }
}
