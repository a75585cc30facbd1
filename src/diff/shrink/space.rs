//! The same trace in a smaller space.

use crate::AllocRequest;
use crate::diff::{Operation, Space, Trace};

use super::numbers::change;

/// The trace without the addresses from `from` to `from + length`: what is behind them moves up.
pub(super) fn without_addresses(trace: &Trace, from: u64, length: u64) -> Trace {
    let moved = |offset: u64| match offset.checked_sub(from) {
        Some(behind) => from + behind.saturating_sub(length),
        None => offset,
    };
    let size = trace.space.size - length;
    moved_to(trace, size, moved, moved)
}

/// The trace in the first half of a space, or in its largest root: what is in the second half
/// moves to the same place in the first.
pub(super) fn folded(trace: &Trace) -> Option<Trace> {
    let Space { size, chunk_size, .. } = trace.space;
    let chunks = size / chunk_size;
    let half = (chunks >= 2).then(|| chunk_size << (chunks - 1).ilog2())?;
    let start = |offset: u64| offset.checked_sub(half).unwrap_or(offset);
    let end = |offset: u64| if offset > half { offset - half } else { offset };
    let mut folded = moved_to(trace, half, start, end);
    for (operation, old) in folded.operations.iter_mut().zip(&trace.operations) {
        let (Operation::Alloc { request, .. } | Operation::AllocOnto { request, .. }) = old else {
            continue;
        };
        // What reaches into both halves reaches to the end of the first.
        if request.start < half && request.end > half {
            change(operation, |request| request.end = half);
        }
    }
    Some(folded)
}

/// The trace in a space of another size, with its offsets changed. Requests that are larger get
/// all of it.
fn moved_to(
    trace: &Trace,
    size: u64,
    start_of: impl Fn(u64) -> u64,
    end_of: impl Fn(u64) -> u64,
) -> Trace {
    let mut moved = trace.clone();
    moved.space.size = size;
    for operation in &mut moved.operations {
        match operation {
            Operation::Alloc { request, .. } | Operation::AllocOnto { request, .. } => {
                let AllocRequest { start, end, size: asked, .. } = request;
                let exact = start.checked_add(*asked) == Some(*end);
                (*start, *end) = (start_of(*start), end_of(*end));
                if exact {
                    *asked = end.saturating_sub(*start);
                }
                *asked = (*asked).min(size);
            }
            Operation::Trim { start: Some(start), .. } => *start = start_of(*start),
            Operation::BlockAt { offset } => *offset = start_of(*offset),
            _ => {}
        }
    }
    moved
}

/// The offsets in a trace.
pub(super) fn offsets(trace: &Trace) -> Vec<u64> {
    let mut offsets = vec![0];
    for operation in &trace.operations {
        match operation {
            Operation::Alloc { request, .. } | Operation::AllocOnto { request, .. } => {
                offsets.extend([request.start, request.end]);
            }
            Operation::Trim { start: Some(offset), .. } | Operation::BlockAt { offset } => {
                offsets.push(*offset);
            }
            _ => {}
        }
    }
    offsets.sort_unstable();
    offsets.dedup();
    offsets
}

/// The trace with all numbers divided by `ratio`; `None` if one is not a multiple of it.
pub(super) fn scaled(trace: &Trace, ratio: u64) -> Option<Trace> {
    let divide = |number: u64| number.is_multiple_of(ratio).then_some(number / ratio);
    let mut trace = trace.clone();
    let Space { size, chunk_size, base } = trace.space;
    trace.space =
        Space { size: divide(size - size % chunk_size)?, chunk_size: divide(chunk_size)?, base };
    for operation in &mut trace.operations {
        match operation {
            Operation::Alloc { request, .. } => {
                let numbers = [
                    &mut request.start,
                    &mut request.end,
                    &mut request.size,
                    &mut request.min_block_size,
                ];
                for number in numbers {
                    *number = divide(*number)?;
                }
            }
            Operation::Trim { start, new_size, .. } => {
                *new_size = divide(*new_size)?;
                if let Some(start) = start {
                    *start = divide(*start)?;
                }
            }
            Operation::BlockAt { offset } => *offset = divide(*offset)?,
            _ => {}
        }
    }
    Some(trace)
}
