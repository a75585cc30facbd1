//! Counts the kinds of operations in a run, and their outcomes.

use core::fmt;

use crate::{AllocRequest, Errno, GpuBuddyAllocFlag, GpuBuddyAllocFlags};

use super::{Operation, Outcome};

const MODES: [&str; 6] =
    ["simple", "simple, bounds", "top-down", "top-down, bounds", "range", "exact range"];
const OUTCOMES: [&str; 4] = ["done", "EINVAL", "ENOSPC", "other error"];
const FLAGS: [(GpuBuddyAllocFlag, &str); 3] = [
    (GpuBuddyAllocFlag::Contiguous, "contiguous"),
    (GpuBuddyAllocFlag::Clear, "clear"),
    (GpuBuddyAllocFlag::TrimDisable, "trim-disable"),
];
const OTHERS: [&str; 15] = [
    "free, dirty",
    "free, cleared",
    "free block, dirty",
    "free block, cleared",
    "trim, done",
    "trim, EINVAL",
    "trim with start, done",
    "trim with start, EINVAL",
    "reset to dirty",
    "reset to clear",
    "lookup, allocated",
    "lookup, free",
    "lookup, ENXIO",
    "fail-nth",
    "fini",
];
/// Ways to answer a request, as far as they are visible from outside.
const WAYS: [&str; 4] = [
    "clear memory merged with dirty to make room",
    "contiguous from several blocks (try-harder)",
    "aligned beyond its size",
    "several blocks, the last one trimmed",
];

/// Counts by kind of operation and outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    allocs: [[[u64; OUTCOMES.len()]; 8]; MODES.len()],
    others: [u64; OTHERS.len()],
    ways: [u64; WAYS.len()],
}

/// One kind of operation with one outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Count {
    /// The kind, such as `alloc range, clear: ENOSPC`.
    pub kind: String,
    /// How often it occurred.
    pub count: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            allocs: [[[0; OUTCOMES.len()]; 8]; MODES.len()],
            others: [0; OTHERS.len()],
            ways: [0; WAYS.len()],
        }
    }
}

impl Tally {
    /// Counts one operation. `blocks` is the number of blocks of an allocation, and `merged`
    /// whether the allocator lost more clear memory than it returned.
    pub(super) fn count(
        &mut self,
        operation: &Operation,
        outcome: Outcome,
        blocks: usize,
        merged: bool,
    ) {
        if outcome == Outcome::Skipped {
            return;
        }
        let done = outcome == Outcome::Done;
        match operation {
            Operation::Alloc { request, .. } | Operation::AllocOnto { request, .. } => {
                let outcome = match outcome.errno() {
                    None => 0,
                    Some(Errno::EINVAL) => 1,
                    Some(Errno::ENOSPC) => 2,
                    Some(_) => 3,
                };
                self.allocs[mode(request)][flags(request.flags)][outcome] += 1;
                let AllocRequest { size, min_block_size, .. } = *request;
                let contiguous = request.flags.contains(GpuBuddyAllocFlag::Contiguous);
                let trimmed =
                    done && !contiguous && blocks > 2 && !size.is_multiple_of(min_block_size);
                for (way, taken) in [
                    merged,
                    done && contiguous && blocks > 1 && mode(request) < 4,
                    done && size < min_block_size && blocks == 1 && !request.range,
                    trimmed,
                ]
                .into_iter()
                .enumerate()
                {
                    self.ways[way] += u64::from(taken);
                }
            }
            Operation::Free { cleared, .. } => self.others[usize::from(*cleared)] += 1,
            Operation::FreeBlock { cleared, .. } => self.others[2 + usize::from(*cleared)] += 1,
            Operation::Trim { start, .. } => {
                self.others[4 + usize::from(!done) + 2 * usize::from(start.is_some())] += 1;
            }
            Operation::ResetClear { clear } => self.others[8 + usize::from(*clear)] += 1,
            Operation::BlockAt { .. } => {
                let index = match outcome {
                    Outcome::Found(Some(_)) => 10,
                    Outcome::Found(None) => 11,
                    _ => 12,
                };
                self.others[index] += 1;
            }
            Operation::FailNth { .. } => self.others[13] += 1,
            Operation::Fini => self.others[14] += 1,
        }
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        let mine = self.allocs.as_flattened_mut().as_flattened_mut();
        let theirs = other.allocs.as_flattened().as_flattened();
        let pairs = mine.iter_mut().zip(theirs);
        let pairs = pairs.chain(self.others.iter_mut().zip(&other.others));
        for (mine, theirs) in pairs.chain(self.ways.iter_mut().zip(&other.ways)) {
            *mine += theirs;
        }
    }

    /// Every kind and how often it occurred, even if 0.
    #[must_use]
    pub fn kinds(&self) -> Vec<Count> {
        let mut kinds = Vec::new();
        for (mode, by_flags) in MODES.iter().zip(&self.allocs) {
            for (bits, by_outcome) in by_flags.iter().enumerate() {
                let names: Vec<_> = FLAGS
                    .iter()
                    .enumerate()
                    .filter(|(bit, _)| bits >> bit & 1 == 1)
                    .map(|(_, (_, name))| format!(", {name}"))
                    .collect();
                for (outcome, &count) in OUTCOMES.iter().zip(by_outcome) {
                    let kind = format!("alloc {mode}{}: {outcome}", names.concat());
                    kinds.push(Count { kind, count });
                }
            }
        }
        let others = OTHERS.iter().zip(&self.others).chain(WAYS.iter().zip(&self.ways));
        kinds.extend(others.map(|(kind, &count)| Count { kind: (*kind).to_owned(), count }));
        kinds
    }

    /// The kinds that never occurred, without errors that only injected faults cause, unless
    /// `faults` is set.
    #[must_use]
    pub fn never_met(&self, faults: bool) -> Vec<String> {
        self.kinds()
            .into_iter()
            .filter(|met| met.count == 0)
            .filter(|met| faults || !(met.kind.ends_with("other error") || met.kind == "fail-nth"))
            .map(|met| met.kind)
            .collect()
    }
}

/// A table: modes and flags down, outcomes across.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:52}", "alloc")?;
        for outcome in OUTCOMES {
            write!(f, "{outcome:>12}")?;
        }
        writeln!(f)?;
        for (mode, by_flags) in MODES.iter().zip(&self.allocs) {
            for (bits, by_outcome) in by_flags.iter().enumerate() {
                let mut row = (*mode).to_owned();
                for (bit, (_, name)) in FLAGS.iter().enumerate() {
                    if bits >> bit & 1 == 1 {
                        row = format!("{row}, {name}");
                    }
                }
                write!(f, "  {row:50}")?;
                for count in by_outcome {
                    write!(f, "{count:>12}")?;
                }
                writeln!(f)?;
            }
        }
        let others = OTHERS.iter().zip(&self.others).chain(WAYS.iter().zip(&self.ways));
        for (kind, count) in others {
            writeln!(f, "{kind:52}{count:>12}")?;
        }
        Ok(())
    }
}

fn mode(request: &AllocRequest) -> usize {
    if request.start.checked_add(request.size) == Some(request.end) {
        return 5;
    }
    if request.range {
        return 4;
    }
    2 * usize::from(request.top_down) + usize::from(request.end != 0)
}

fn flags(set: GpuBuddyAllocFlags) -> usize {
    FLAGS.iter().enumerate().map(|(bit, (flag, _))| usize::from(set.contains(*flag)) << bit).sum()
}
