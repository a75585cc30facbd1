//! The numbers of operations, each of which can become smaller.

use crate::AllocRequest;
use crate::diff::{Operation, Space};

/// A number of some operations.
pub(super) struct Number {
    /// Its value, if the operation has it.
    pub get: fn(&Operation) -> Option<u64>,
    pub set: fn(&mut Operation, u64),
    pub kind: Kind,
}

/// What a number is, which says how small it can be and by which steps it gets there.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// At least a chunk.
    Size,
    /// At least a chunk, and mostly a power of two.
    Alignment,
    Offset,
    /// From 1 up.
    Count,
}

impl Kind {
    /// The smallest value in a space.
    pub fn least(self, space: Space) -> u64 {
        match self {
            Self::Size | Self::Alignment => space.chunk_size,
            Self::Offset => 0,
            Self::Count => 1,
        }
    }

    /// The smallest step in a space.
    pub fn unit(self, space: Space) -> u64 {
        if self == Self::Count { 1 } else { space.chunk_size }
    }
}

pub(super) const NUMBERS: &[Number] = &[
    Number {
        get: |operation| Some(request(operation)?.min_block_size),
        set: |operation, number| change(operation, |request| request.min_block_size = number),
        kind: Kind::Alignment,
    },
    // An exact range stays exact.
    Number {
        get: |operation| {
            let AllocRequest { start, end, size, .. } = *request(operation)?;
            (start.checked_add(size) == Some(end)).then_some(size)
        },
        set: |operation, number| {
            change(operation, |request| {
                request.size = number;
                request.end = request.start + number;
            });
        },
        kind: Kind::Size,
    },
    Number {
        get: |operation| Some(request(operation)?.size),
        set: |operation, number| change(operation, |request| request.size = number),
        kind: Kind::Size,
    },
    // The whole range moves.
    Number {
        get: |operation| Some(request(operation)?.start),
        set: |operation, number| {
            change(operation, |request| {
                request.end = request.end.saturating_sub(request.start - number);
                request.start = number;
            });
        },
        kind: Kind::Offset,
    },
    Number {
        get: |operation| Some(request(operation)?.start),
        set: |operation, number| change(operation, |request| request.start = number),
        kind: Kind::Offset,
    },
    Number {
        get: |operation| Some(request(operation)?.end),
        set: |operation, number| change(operation, |request| request.end = number),
        kind: Kind::Offset,
    },
    Number {
        get: |operation| match operation {
            Operation::Trim { new_size, .. } => Some(*new_size),
            _ => None,
        },
        set: |operation, number| {
            if let Operation::Trim { new_size, .. } = operation {
                *new_size = number;
            }
        },
        kind: Kind::Size,
    },
    Number {
        get: |operation| match operation {
            Operation::Trim { start, .. } => *start,
            _ => None,
        },
        set: |operation, number| {
            if let Operation::Trim { start, .. } = operation {
                *start = Some(number);
            }
        },
        kind: Kind::Offset,
    },
    Number {
        get: |operation| match operation {
            Operation::BlockAt { offset } => Some(*offset),
            _ => None,
        },
        set: |operation, number| {
            if let Operation::BlockAt { offset } = operation {
                *offset = number;
            }
        },
        kind: Kind::Offset,
    },
    Number {
        get: |operation| match operation {
            Operation::FailNth { nth, .. } => Some(*nth),
            _ => None,
        },
        set: |operation, number| {
            if let Operation::FailNth { nth, .. } = operation {
                *nth = number;
            }
        },
        kind: Kind::Count,
    },
];

fn request(operation: &Operation) -> Option<&AllocRequest> {
    match operation {
        Operation::Alloc { request, .. } | Operation::AllocOnto { request, .. } => Some(request),
        _ => None,
    }
}

pub(super) fn change(operation: &mut Operation, change: impl FnOnce(&mut AllocRequest)) {
    if let Operation::Alloc { request, .. } | Operation::AllocOnto { request, .. } = operation {
        change(request);
    }
}

/// Finds the smallest number from `least` up that is `accepted`, if all above it are: first
/// `least` itself, then by steps of half the distance, a quarter of that, and so on.
pub(super) fn descend(
    number: u64,
    (least, unit): (u64, u64),
    mut accepted: impl FnMut(u64) -> bool,
) {
    if number <= least || accepted(least) {
        return;
    }
    let mut number = number;
    // Whole units.
    let odd = number % unit;
    if odd > 0 && number - odd > least && accepted(number - odd) {
        number -= odd;
    }
    let mut step = (number - least) / unit / 2;
    while step > 0 {
        // The larger step did not help, and seven of these are more than that. What fails here
        // and there only is not followed further, or the steps would never end.
        for _ in 0..6 {
            let smaller = number.saturating_sub(step * unit);
            if smaller <= least || !accepted(smaller) {
                break;
            }
            number = smaller;
        }
        step = if step > 4 { step / 4 } else { step - 1 };
    }
}

/// The same for a power of two, which stays one.
pub(super) fn halve(number: u64, least: u64, mut accepted: impl FnMut(u64) -> bool) {
    if number <= least || accepted(least) {
        return;
    }
    let mut number = number;
    while number / 2 > least && accepted(number / 2) {
        number /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tries to find `smallest`, and what was found.
    fn tries(number: u64, smallest: u64) -> (usize, u64) {
        let (mut count, mut found) = (0, number);
        descend(number, (1, 1), |smaller| {
            assert!(smaller < found, "{smaller} after {found}");
            count += 1;
            let accepted = smaller >= smallest;
            if accepted {
                found = smaller;
            }
            accepted
        });
        (count, found)
    }

    #[test]
    fn a_number_shrinks_to_the_smallest_in_few_tries() {
        for number in [2, 3, 100, 16_384, 1 << 40, u64::MAX] {
            for smallest in [1, 2, 3, 7, number / 3, number / 2, number - 1, number] {
                let (count, found) = tries(number, smallest.clamp(1, number));
                assert_eq!(found, smallest.clamp(1, number), "of {number}");
                assert!(
                    count as u32 <= 8 + 3 * number.ilog2(),
                    "{count} for {smallest} of {number}"
                );
            }
        }
    }
}
