//! Simpler operations. Their numbers are in `numbers`.

use enumflags2::BitFlags;

use crate::AllocRequest;
use crate::diff::Operation;

use super::numbers::change;

/// Simpler operations than this one, the simplest first. Each is smaller by a fixed measure, so
/// simplifying ends.
pub(super) fn simpler(operation: &Operation) -> Vec<Operation> {
    match *operation {
        Operation::Alloc { ref request, .. } | Operation::AllocOnto { ref request, .. } => {
            let mut simpler = Vec::new();
            let mut push = |changed: &dyn Fn(&mut AllocRequest)| {
                let mut candidate = operation.clone();
                change(&mut candidate, changed);
                if candidate != *operation {
                    simpler.push(candidate);
                }
            };
            for flag in request.flags.iter() {
                push(&|request| request.flags &= !BitFlags::from_flag(flag));
            }
            push(&|request| request.extra_flags = 0);
            push(&|request| request.top_down = false);
            push(&|request| {
                request.range = false;
                (request.start, request.end) = (0, 0);
            });
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
        Operation::Trim { id, start: Some(_), new_size } => {
            vec![Operation::Trim { id, start: None, new_size }]
        }
        _ => Vec::new(),
    }
}
