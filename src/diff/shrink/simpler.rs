//! Simpler operations, and smaller numbers.

use enumflags2::BitFlags;

use crate::diff::{Operation, Space, Trace};
/// Simpler operations than this one, the simplest first. Each is smaller by a fixed measure, so
/// simplifying ends.
pub(super) fn simpler(operation: &Operation, chunk_size: u64) -> Vec<Operation> {
    match operation.clone() {
        Operation::Alloc { id, request } => {
            let mut simpler = Vec::new();
            let mut push = |change: &dyn Fn(&mut crate::AllocRequest)| {
                let mut changed = request.clone();
                change(&mut changed);
                if changed != request {
                    simpler.push(Operation::Alloc { id, request: changed });
                }
            };
            for flag in request.flags.iter() {
                push(&|request| request.flags &= !BitFlags::from_flag(flag));
            }
            push(&|request| request.top_down = false);
            push(&|request| {
                request.range = false;
                (request.start, request.end) = (0, 0);
            });
            push(&|request| {
                // Move the range to the start of the space.
                request.end = request.end.saturating_sub(request.start);
                request.start = 0;
            });
            for size in smaller(request.min_block_size, chunk_size) {
                push(&|request| request.min_block_size = size);
            }
            for size in smaller(request.size, chunk_size) {
                push(&|request| request.size = size);
                // Keep an exact range exact.
                push(&|request| {
                    if request.start.checked_add(request.size) == Some(request.end) {
                        request.size = size;
                        request.end = request.start + size;
                    }
                });
            }
            for end in smaller(request.end, chunk_size) {
                push(&|request| request.end = end);
            }
            for start in smaller(request.start, chunk_size).into_iter().chain([0]) {
                push(&|request| {
                    let moved = request.start - start;
                    request.start = start;
                    request.end = request.end.saturating_sub(moved);
                });
                push(&|request| request.start = start);
            }
            simpler
        }
        Operation::Free { id, cleared: true } => vec![Operation::Free { id, cleared: false }],
        Operation::FreeBlock { id, index, cleared } => {
            let mut simpler = vec![Operation::Free { id, cleared }];
            if index > 0 {
                simpler.push(Operation::FreeBlock { id, index: 0, cleared });
            }
            if cleared {
                simpler.push(Operation::FreeBlock { id, index, cleared: false });
            }
            simpler
        }
        Operation::Trim { id, start, new_size } => {
            let mut simpler: Vec<_> = smaller(new_size, chunk_size)
                .into_iter()
                .map(|new_size| Operation::Trim { id, start, new_size })
                .collect();
            if let Some(at) = start {
                simpler.push(Operation::Trim { id, start: None, new_size });
                for start in smaller(at, chunk_size).into_iter().chain((at > 0).then_some(0)) {
                    simpler.push(Operation::Trim { id, start: Some(start), new_size });
                }
            }
            simpler
        }
        Operation::BlockAt { offset } => smaller(offset, chunk_size)
            .into_iter()
            .chain((offset > 0).then_some(0))
            .map(|offset| Operation::BlockAt { offset })
            .collect(),
        Operation::FailNth { nth, times } if nth > 1 => {
            vec![Operation::FailNth { nth: 1, times }, Operation::FailNth { nth: nth - 1, times }]
        }
        _ => Vec::new(),
    }
}

/// Smaller numbers than `number`: whole chunks, and not 0.
fn smaller(number: u64, chunk_size: u64) -> Vec<u64> {
    let chunks = number / chunk_size;
    let power = number.checked_next_power_of_two().map_or(1 << 63, |power| power / 2);
    let mut numbers = vec![chunk_size, chunks / 2 * chunk_size, power];
    numbers.push(number.saturating_sub(chunk_size));
    numbers.retain(|&smaller| smaller < number && smaller > 0);
    numbers.dedup();
    numbers
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
