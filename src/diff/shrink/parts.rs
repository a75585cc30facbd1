//! The same trace without some of its operations, or with other names.

use core::ops::Range;
use std::collections::{HashMap, HashSet};

use crate::diff::{Id, Operation, Trace};

pub(super) fn operations(trace: &Trace) -> usize {
    trace.operations.len()
}

pub(super) fn without_operations(trace: &Trace, run: Range<usize>) -> Trace {
    let mut trace = trace.clone();
    trace.operations.drain(run);
    trace
}

/// The indices of allocations without further operations.
pub(super) fn fillers(trace: &Trace) -> Vec<usize> {
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

/// The trace with one allocation in place of several: the first, with the size of all.
pub(super) fn joined_allocations(trace: &Trace, indices: &[usize]) -> Trace {
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

/// The number of allocations in a trace.
pub(super) fn allocations(trace: &Trace) -> usize {
    let is_alloc = |operation: &&Operation| matches!(operation, Operation::Alloc { .. });
    trace.operations.iter().filter(is_alloc).count()
}

/// The trace without some of its allocations, in order of creation, and all operations on them:
/// what is torn down in the end must be freed.
pub(super) fn without_allocations(trace: &Trace, run: Range<usize>) -> Trace {
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

/// The trace without operations on allocations that it does not make or has freed: these are
/// skipped, and have no line in its text.
pub(in crate::diff) fn pruned(trace: Trace) -> Trace {
    let kept = trace.written().into_iter().map(|index| trace.operations[index].clone());
    Trace { space: trace.space, operations: kept.collect() }
}

/// The same, with its allocations renamed from 0 on.
pub(in crate::diff) fn renamed(trace: Trace) -> Trace {
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
