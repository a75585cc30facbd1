//! Shrinks a failing trace: first its length, then its numbers.

mod numbers;
mod parts;
mod simpler;
mod space;

use core::ops::Range;
use std::collections::HashSet;
use std::time::Instant;

use crate::sizes::SZ_4K;

use super::{Operation, Space, Trace};
use numbers::{Kind, NUMBERS, Number, descend, halve};
use parts::{
    allocations, fillers, joined_allocations, operations, without_allocations, without_operations,
};
pub(super) use parts::{pruned, renamed};
use simpler::simpler;
use space::{folded, offsets, scaled, without_addresses};

/// Every pair of parts is tried if a trace has no more parts than this.
const FEW: usize = 16;

/// A few passes are enough. A number that fails here and there could otherwise go down a little
/// in each of many.
const MOST_PASSES: usize = 12;

/// A trace that still fails, and whether it might become shorter.
pub(super) struct Shrunk {
    pub trace: Trace,
    /// Whether time ran out.
    pub cut_short: bool,
}

/// Shrinks `trace` until `deadline`. `fails` runs a trace and returns after how many operations it
/// fails in the same way.
pub(super) fn shrink(
    trace: Trace,
    deadline: Instant,
    fails: impl FnMut(&Trace) -> Option<usize>,
) -> Shrunk {
    let mut shrinker = Shrinker { trace, deadline, fails, cut_short: false };
    // Allocations that are freed before the end are seldom needed.
    shrinker.drop_what_is_freed();
    for _ in 0..MOST_PASSES {
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
    /// Keeps a candidate that fails, up to the failure.
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
        // Keep the last operations, from few to many.
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

    /// Removes runs of parts of the trace, long ones first. `parts` counts them.
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

    /// Leaves out pairs of parts of a short trace, since each may be there for the other alone.
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

    /// Replaces several allocations that only fill the space by one, many at first.
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
        if !self.trace.space.is_valid() {
            return self.simplify_invalid_space();
        }
        let chunk_size = self.trace.space.chunk_size;
        let page = SZ_4K as u64;
        if chunk_size > page
            && let Some(candidate) = scaled(&self.trace, chunk_size / page)
        {
            self.try_candidate(candidate);
        }
        while let Some(candidate) = folded(&self.trace)
            && self.try_candidate(candidate)
        {}
        if self.trace.operations.len() <= FEW {
            self.drop_addresses();
        }
        let Space { size, chunk_size, .. } = self.trace.space;
        descend(size, (chunk_size, chunk_size), |size| {
            let space = Space { size, ..self.trace.space };
            self.try_candidate(Trace { space, ..self.trace.clone() })
        });
    }

    /// Leaves out addresses that no operation names: long runs of them first.
    fn drop_addresses(&mut self) {
        let Space { size, chunk_size, .. } = self.trace.space;
        let mut length = chunk_size << (size / chunk_size).ilog2();
        while length >= chunk_size {
            for from in offsets(&self.trace) {
                // At a multiple of the length, so that what is aligned stays so.
                let from = from.checked_next_multiple_of(length).unwrap_or(u64::MAX);
                let end = from.saturating_add(length);
                while end < self.trace.space.size
                    && self.try_candidate(without_addresses(&self.trace, from, length))
                {
                }
            }
            length /= 2;
        }
    }

    /// Tries the simplest invalid spaces, one for each reason, then smaller numbers.
    fn simplify_invalid_space(&mut self) {
        const SIMPLEST: [(u64, u64); 3] = [(0, 4 << 10), (2 << 10, 2 << 10), (12 << 10, 12 << 10)];
        for (size, chunk_size) in SIMPLEST {
            let space = Space { size, chunk_size, ..self.trace.space };
            if self.trace.space == space
                || self.try_candidate(Trace { space, ..self.trace.clone() })
            {
                return;
            }
        }
        let Space { size, chunk_size, .. } = self.trace.space;
        descend(size, (0, 1), |size| {
            let space = Space { size, ..self.trace.space };
            self.try_candidate(Trace { space, ..self.trace.clone() })
        });
        descend(chunk_size, (1, 1), |chunk_size| {
            let space = Space { chunk_size, ..self.trace.space };
            self.try_candidate(Trace { space, ..self.trace.clone() })
        });
    }

    fn simplify_operations(&mut self) {
        let mut index = 0;
        while index < self.trace.operations.len() && !self.cut_short {
            // If it helped, try the same operation again.
            while let Some(operation) = self.trace.operations.get(index)
                && simpler(operation).into_iter().any(|simpler| self.try_operation(index, simpler))
            {
            }
            for number in NUMBERS {
                self.simplify_number(index, number);
            }
            index += 1;
        }
    }

    fn simplify_number(&mut self, index: usize, Number { get, set, kind }: &Number) {
        let space = self.trace.space;
        let range = (kind.least(space), kind.unit(space));
        let Some(operation) = self.trace.operations.get(index).cloned() else { return };
        let Some(number) = get(&operation) else { return };
        let accepted = |smaller: u64| {
            let mut operation = operation.clone();
            set(&mut operation, smaller);
            self.try_operation(index, operation)
        };
        if *kind == Kind::Alignment && number.is_power_of_two() {
            halve(number, range.0, accepted);
        } else {
            descend(number, range, accepted);
        }
    }

    /// Tries another operation in the place of one.
    fn try_operation(&mut self, index: usize, operation: Operation) -> bool {
        if index >= self.trace.operations.len() {
            return false;
        }
        let mut candidate = self.trace.clone();
        candidate.operations[index] = operation;
        self.try_candidate(candidate)
    }
}
