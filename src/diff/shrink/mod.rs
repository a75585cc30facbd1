//! Makes a failing trace short, then its numbers small.

mod simpler;

use core::ops::Range;
use std::collections::{HashMap, HashSet};
use std::time::Instant;

use crate::sizes::SZ_4K;

use super::{Id, Operation, Space, Trace};
use simpler::{scaled, simpler};

/// In a trace of no more parts than this, each pair is tried.
const FEW: usize = 16;

/// A trace that still fails, and whether it could have become shorter.
pub(super) struct Shrunk {
    pub trace: Trace,
    /// Time ran out.
    pub cut_short: bool,
}

/// Shrinks `trace` until `deadline`. `fails` runs a trace and returns how many
/// operations it takes to fail in the same way.
pub(super) fn shrink(
    trace: Trace,
    deadline: Instant,
    fails: impl FnMut(&Trace) -> Option<usize>,
) -> Shrunk {
    let mut shrinker = Shrinker { trace, deadline, fails, cut_short: false };
    // What is freed before the end is seldom needed.
    shrinker.drop_what_is_freed();
    loop {
        let before = shrinker.trace.clone();
        shrinker.drop_runs(allocations, without_allocations);
        shrinker.drop_runs(operations, without_operations);
        shrinker.join_runs();
        shrinker.simplify_space();
        shrinker.simplify_operations();
        if shrinker.trace == before {
            shrinker.drop_pairs(allocations, without_allocations);
            shrinker.drop_pairs(operations, without_operations);
        }
        if shrinker.trace == before || shrinker.cut_short {
            break;
        }
    }
    Shrunk { trace: shrinker.trace, cut_short: shrinker.cut_short }
}

struct Shrinker<F> {
    trace: Trace,
    deadline: Instant,
    fails: F,
    cut_short: bool,
}

impl<F: FnMut(&Trace) -> Option<usize>> Shrinker<F> {
    /// Keeps a candidate that fails, without what comes after the failure.
    fn try_candidate(&mut self, mut candidate: Trace) -> bool {
        if Instant::now() >= self.deadline {
            self.cut_short = true;
            return false;
        }
        if candidate == self.trace {
            return false;
        }
        let Some(length) = (self.fails)(&candidate) else {
            return false;
        };
        candidate.operations.truncate(length);
        self.trace = candidate;
        true
    }

    fn drop_what_is_freed(&mut self) {
        let operations = self.trace.operations.clone();
        // Try with the last operations whole, from few of them to many.
        for whole in [1, 4, 16, 64, 256] {
            let (head, tail) = operations.split_at(operations.len().saturating_sub(whole));
            let needed: HashSet<_> = tail.iter().filter_map(Operation::allocation).collect();
            let freed: HashSet<_> = head
                .iter()
                .filter(|operation| matches!(operation, Operation::Free { .. }))
                .filter_map(Operation::allocation)
                .filter(|id| !needed.contains(id))
                .collect();
            let kept = head
                .iter()
                .filter(|operation| operation.allocation().is_none_or(|id| !freed.contains(&id)))
                .chain(tail);
            let candidate = Trace { space: self.trace.space, operations: kept.cloned().collect() };
            if self.try_candidate(candidate) {
                return;
            }
        }
    }

    /// Leaves out runs of parts of the trace, long ones first. `parts` says how many
    /// there are.
    fn drop_runs(
        &mut self,
        parts: fn(&Trace) -> usize,
        without: fn(&Trace, Range<usize>) -> Trace,
    ) {
        let mut run = (parts(&self.trace) / 2).max(1);
        loop {
            let mut start = 0;
            while start < parts(&self.trace) && !self.cut_short {
                let end = (start + run).min(parts(&self.trace));
                let candidate = without(&self.trace, start..end);
                if !self.try_candidate(candidate) {
                    start = end;
                }
            }
            if run == 1 {
                break;
            }
            run /= 2;
        }
    }

    /// Leaves out any two parts of a short trace: each may be there for the other alone.
    fn drop_pairs(
        &mut self,
        parts: fn(&Trace) -> usize,
        without: fn(&Trace, Range<usize>) -> Trace,
    ) {
        let mut first = 0;
        while first < parts(&self.trace) && parts(&self.trace) <= FEW && !self.cut_short {
            let mut second = first + 1;
            while second < parts(&self.trace) && !self.cut_short {
                let candidate = without(&self.trace, second..second + 1);
                if !self.try_candidate(without(&candidate, first..first + 1)) {
                    second += 1;
                }
            }
            first += 1;
        }
    }

    /// Makes one allocation of several that only fill the space, many first.
    fn join_runs(&mut self) {
        let mut run = fillers(&self.trace).len();
        while run >= 2 && !self.cut_short {
            let mut start = 0;
            while let Some(joined) = fillers(&self.trace).get(start..start + run) {
                if !self.try_candidate(joined_allocations(&self.trace, joined)) {
                    start += run;
                }
            }
            run /= 2;
        }
    }

    fn simplify_space(&mut self) {
        let Space { size, chunk_size, .. } = self.trace.space;
        let page = SZ_4K as u64;
        if chunk_size > page
            && let Some(candidate) = scaled(&self.trace, chunk_size / page)
        {
            self.try_candidate(candidate);
        }
        let Space { size: _, chunk_size, .. } = self.trace.space;
        let mut sizes = vec![size / 2, size - 1];
        sizes.extend(size.checked_next_power_of_two().map(|power| power / 2));
        sizes.push(size.saturating_sub(chunk_size));
        for size in sizes {
            let size = size - size % chunk_size;
            if size >= chunk_size {
                let space = Space { size, ..self.trace.space };
                while self.trace.space.size > size
                    && self.try_candidate(Trace { space, ..self.trace.clone() })
                {}
            }
        }
    }

    fn simplify_operations(&mut self) {
        let mut index = 0;
        while index < self.trace.operations.len() && !self.cut_short {
            let simpler = simpler(&self.trace.operations[index], self.trace.space.chunk_size);
            let found = simpler.into_iter().any(|operation| {
                let mut candidate = self.trace.clone();
                candidate.operations[index] = operation;
                self.try_candidate(candidate)
            });
            // Again where it helped: there may be more to take away.
            if !found {
                index += 1;
            }
        }
    }
}

fn operations(trace: &Trace) -> usize {
    trace.operations.len()
}

fn without_operations(trace: &Trace, run: Range<usize>) -> Trace {
    let mut trace = trace.clone();
    trace.operations.drain(run);
    trace
}

/// The indices of allocations that nothing else is done to.
fn fillers(trace: &Trace) -> Vec<usize> {
    let mut count: HashMap<Id, usize> = HashMap::new();
    for id in trace.operations.iter().filter_map(Operation::allocation) {
        *count.entry(id).or_default() += 1;
    }
    let is_filler = |operation: &Operation| match operation {
        Operation::Alloc { id, .. } => count[id] == 1,
        _ => false,
    };
    (0..trace.operations.len()).filter(|&index| is_filler(&trace.operations[index])).collect()
}

/// The trace with one allocation for several: the first, with the size of all.
fn joined_allocations(trace: &Trace, indices: &[usize]) -> Trace {
    let size = |index: usize| match &trace.operations[index] {
        Operation::Alloc { request, .. } => request.size,
        _ => 0,
    };
    let sum = indices.iter().fold(0u64, |sum, &index| sum.saturating_add(size(index)));
    let mut joined = trace.clone();
    if let Some((&first, others)) = indices.split_first() {
        if let Operation::Alloc { request, .. } = &mut joined.operations[first] {
            request.size = sum;
        }
        let mut index = 0;
        joined.operations.retain(|_| {
            index += 1;
            !others.contains(&(index - 1))
        });
    }
    joined
}

/// How many allocations a trace makes.
fn allocations(trace: &Trace) -> usize {
    let is_alloc = |operation: &&Operation| matches!(operation, Operation::Alloc { .. });
    trace.operations.iter().filter(is_alloc).count()
}

/// Without some of the allocations, in the order in which they are made, and all that is
/// done to them: what is torn down in the end must have been freed.
fn without_allocations(trace: &Trace, run: Range<usize>) -> Trace {
    let ids = trace.operations.iter().filter_map(|operation| match operation {
        Operation::Alloc { id, .. } => Some(*id),
        _ => None,
    });
    let dropped: HashSet<_> = ids.skip(run.start).take(run.len()).collect();
    let kept =
        |operation: &&Operation| operation.allocation().is_none_or(|id| !dropped.contains(&id));
    let operations = trace.operations.iter().filter(kept).cloned().collect();
    Trace { space: trace.space, operations }
}

/// The trace without operations on allocations that it does not make, or has freed: those
/// are skipped, and have no line in its text.
pub(super) fn pruned(trace: Trace) -> Trace {
    let kept = trace.written().into_iter().map(|index| trace.operations[index].clone());
    Trace { space: trace.space, operations: kept.collect() }
}

/// The same, with its allocations named from 0 on.
pub(super) fn renamed(trace: Trace) -> Trace {
    let mut names = HashMap::new();
    let Trace { space, operations } = pruned(trace);
    let rename = |operation: Operation| {
        operation.renamed(|id| {
            let next = names.len() as Id;
            *names.entry(id).or_insert(next)
        })
    };
    Trace { space, operations: operations.into_iter().map(rename).collect() }
}
