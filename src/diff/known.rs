//! What the C is known to break.
//!
//! Each entry matches no more than what it explains, so that another breach of
//! the same promise is not hidden by it.

use crate::module::Features;
use crate::{AllocRequest, GpuBuddyAllocFlag, KernelBug};

use super::contract::Detail;
use super::{Breach, Operation, Promise, Space};

/// A breach that the C is known for. Each has a minimal trace under
/// `tests/known/`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct KnownBreach {
    /// Its name, and that of its trace.
    pub name: &'static str,
    /// The promises that it breaks; its trace shows the first.
    pub promises: &'static [Promise],
    /// What goes wrong, and when.
    pub sentence: &'static str,
    /// The kernels that show it.
    pub kernels: Kernels,
    applies: fn(&Case) -> bool,
}

/// The kernels that show a breach, by what they can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kernels {
    /// Those that make such a call at all.
    All,
    /// Those with a feature.
    With(&'static str),
    /// Those without a feature.
    Without(&'static str),
}

impl Kernels {
    /// Whether a kernel with these features is among them.
    #[must_use]
    pub fn include(self, features: Features) -> bool {
        match self {
            Self::All => true,
            Self::With(name) => features.has(name),
            Self::Without(name) => !features.has(name),
        }
    }
}

/// An operation that broke a promise, taken apart.
struct Case<'a> {
    broken: &'a Breach,
    /// The request; empty for other operations.
    request: &'a AllocRequest,
    contiguous: bool,
    clear: bool,
    /// `start..end` is as long as the request, so that the C takes it exactly.
    exact: bool,
    /// The C looks for a single block of this size, at aligned offsets, without
    /// rounding it up.
    offset_aligned: bool,
}

impl Case<'_> {
    /// The range does not span the whole space.
    fn has_bounds(&self) -> bool {
        (self.request.start, self.request.end) != (0, self.broken.space.size)
    }

    /// The range is one that the C refuses, with the flag or without.
    fn has_wrong_bounds(&self) -> bool {
        let AllocRequest { start, end, size, .. } = *self.request;
        let Space { size: space, chunk_size, .. } = self.broken.space;
        self.exact
            || !(start | end).is_multiple_of(chunk_size)
            || end > space
            || start.checked_add(size).is_none_or(|end| end > space)
    }

    /// There was something to merge.
    fn has_clear(&self) -> bool {
        self.broken.before.clear_avail > 0
    }

    /// The size of the single block that a contiguous allocation looks for.
    fn rounded(&self) -> Option<u64> {
        self.request.size.checked_next_power_of_two()
    }

    /// The chunks that are looked for.
    fn chunks(&self) -> u64 {
        let AllocRequest { size, min_block_size, .. } = *self.request;
        let keeps_size = size < min_block_size && size.is_power_of_two();
        let rounded = if self.contiguous {
            self.rounded()
        } else if keeps_size {
            Some(size)
        } else {
            size.checked_next_multiple_of(min_block_size)
        };
        rounded.unwrap_or(size) / self.broken.space.chunk_size
    }

    /// There is a block of the rounded size, apart from merging.
    fn has_whole_block(&self) -> bool {
        matches!(self.broken.detail, Detail::RoomAt { block: true, .. })
    }
}

/// All that is known.
pub const KNOWN: &[KnownBreach] = &[
    KnownBreach {
        name: "contiguous-ignores-alignment",
        promises: &[Promise::Aligned],
        sentence: "A contiguous allocation is aligned to its own size, rounded up, where \
                   min_block_size asks for more.",
        kernels: Kernels::All,
        applies: |case| {
            case.contiguous
                && !case.exact
                && case.rounded().is_some_and(|size| size < case.request.min_block_size)
        },
    },
    KnownBreach {
        name: "range-ignores-alignment",
        promises: &[Promise::Aligned],
        sentence: "An allocation in a range is aligned to its own size, a power of two, where \
                   min_block_size asks for more.",
        kernels: Kernels::With("offset_align"),
        applies: |case| case.request.range && case.offset_aligned,
    },
    KnownBreach {
        name: "range-skips-clear",
        promises: &[Promise::PrefersClear],
        sentence: "A clear allocation in a range finds clear memory only where nothing around \
                   it is split, and takes the lowest block otherwise.",
        kernels: Kernels::All,
        applies: |case| case.request.range,
    },
    KnownBreach {
        name: "range-ignores-top-down",
        promises: &[Promise::TopDown],
        sentence: "A top-down allocation in a range takes the lowest place in it.",
        kernels: Kernels::All,
        applies: |case| case.request.range,
    },
    KnownBreach {
        name: "offset-aligned-flips-tree",
        promises: &[Promise::PrefersClear],
        sentence: "An allocation aligned beyond its size swaps clear for dirty with each order \
                   that it tries, so that it can take dirty memory though there is clear.",
        kernels: Kernels::With("offset_align"),
        applies: |case| !case.request.range && case.offset_aligned,
    },
    KnownBreach {
        name: "offset-aligned-not-top-down",
        promises: &[Promise::TopDown],
        sentence: "A top-down allocation aligned beyond its size takes the smallest block that \
                   fits, wherever it is.",
        kernels: Kernels::With("offset_align"),
        applies: |case| !case.request.range && case.offset_aligned,
    },
    KnownBreach {
        name: "top-down-fallback",
        promises: &[Promise::TopDown],
        sentence: "A top-down allocation that finds none of the memory that it prefers, clear \
                   or dirty, takes the smallest block of the other that fits, wherever it is.",
        kernels: Kernels::All,
        applies: |case| {
            !case.request.range
                && !case.offset_aligned
                && matches!(case.broken.detail,
                    Detail::Place { block, .. } if block.clear != case.clear)
        },
    },
    KnownBreach {
        name: "range-used-without-flag",
        promises: &[
            Promise::Room,
            Promise::ValidArguments,
            Promise::PrefersClear,
            Promise::TopDown,
        ],
        sentence: "Without the range flag, start and end are checked all the same, and a range \
                   as long as the request is taken exactly.",
        kernels: Kernels::All,
        applies: |case| match case.broken.promise {
            Promise::ValidArguments => !case.request.range && case.has_wrong_bounds(),
            _ => !case.request.range && case.exact,
        },
    },
    KnownBreach {
        name: "merge-within-unused-range",
        promises: &[Promise::Room],
        sentence: "Without the range flag, clear and dirty buddies are merged to find room only \
                   between start and end.",
        kernels: Kernels::All,
        applies: |case| {
            !case.request.range
                && case.has_clear()
                && case.has_bounds()
                && !case.exact
                && (!case.contiguous || case.has_whole_block())
        },
    },
    KnownBreach {
        name: "empty-range-is-unbounded",
        promises: &[Promise::InRange],
        sentence: "A range that ends at 0 is taken to have no end.",
        kernels: Kernels::All,
        applies: |case| case.request.range && case.request.end == 0,
    },
    KnownBreach {
        name: "failed-call-forgets-clear",
        promises: &[Promise::FailureChangesNothing],
        sentence: "Clear memory that was merged with dirty in a vain search for room stays \
                   dirty.",
        kernels: Kernels::All,
        applies: |case| matches!(case.broken.detail, Detail::ClearAvail { expected, is } if is < expected),
    },
    KnownBreach {
        name: "enospc-hides-enomem",
        promises: &[Promise::Room],
        sentence: "Where memory for a block runs out, the search goes on, and ends with ENOSPC.",
        kernels: Kernels::With("undo_splits"),
        applies: |case| case.broken.faulted,
    },
    KnownBreach {
        name: "enomem-corrupts-tree",
        promises: &[Promise::NoBug],
        sentence: "Where memory for a block runs out, the splits before it are undone by freeing \
                   a block that is free already; the C is stopped before that.",
        kernels: Kernels::Without("undo_splits"),
        applies: |case| {
            case.broken.faulted
                && matches!(
                    case.broken.detail,
                    Detail::Errno(_) | Detail::Bug(KernelBug::OUT_OF_MEMORY)
                )
        },
    },
    KnownBreach {
        name: "large-size-truncated",
        promises: &[
            Promise::ValidArguments,
            Promise::Room,
            Promise::PrefersClear,
            Promise::TopDown,
        ],
        sentence: "The chunks of a request are counted in 32 bits, so that requests of 2^32 \
                   chunks or more, rounded up, find no room, or room made of smaller blocks \
                   where one would do.",
        kernels: Kernels::All,
        // What cannot be rounded up in 64 bits is beyond all counting.
        applies: |case| case.chunks() >= 1 << 32 || (case.contiguous && case.rounded().is_none()),
    },
    KnownBreach {
        name: "try-harder-misses-run",
        promises: &[Promise::Room],
        sentence: "A contiguous allocation finds a run of free blocks only around a free block of \
                   the size rounded down to a power of two.",
        kernels: Kernels::All,
        applies: |case| {
            case.contiguous && !case.request.range && !case.exact && !case.has_whole_block()
        },
    },
    KnownBreach {
        name: "contiguous-range-rounds-up",
        promises: &[Promise::Room, Promise::ValidArguments],
        sentence: "A contiguous allocation in a range needs a free block of the size rounded up \
                   to a power of two in the range.",
        kernels: Kernels::All,
        applies: |case| {
            case.contiguous && case.request.range && !case.exact && !case.has_whole_block()
        },
    },
    KnownBreach {
        name: "merge-stops-early",
        promises: &[Promise::Room, Promise::Repeatable],
        sentence: "Clear and dirty buddies are merged to find room until there is one block of the \
                   size, which may lie where it is of no use; the same call again merges more.",
        kernels: Kernels::All,
        applies: |case| {
            let merges = match case.broken.promise {
                Promise::Repeatable => true,
                _ => case.has_clear() && (!case.contiguous || case.has_whole_block()),
            };
            merges && !case.exact && (case.request.range || case.offset_aligned)
        },
    },
    KnownBreach {
        name: "contiguous-frees-list",
        promises: &[Promise::KeepsList],
        sentence: "A contiguous request for which there is no single block is pieced together, \
                   and between two attempts frees all that its caller's list holds.",
        kernels: Kernels::All,
        applies: |case| {
            case.contiguous
                && !case.request.range
                && !case.exact
                && case.request.size >= 2 * case.broken.space.chunk_size
        },
    },
    KnownBreach {
        name: "reset-clear-misses-blocks",
        promises: &[Promise::ResetClear],
        sentence: "Resetting the clear state takes blocks out of a tree while it walks that tree, \
                   and misses some where there are several of one order.",
        kernels: Kernels::All,
        // The first block of each tree is always reached, and the merging before the walk
        // only makes clear memory dirty.
        applies: |case| {
            let (before, outcome) = (case.broken.before, case.broken.outcome);
            let Detail::ClearAvail { expected, is } = case.broken.detail else { return false };
            let some_reached = match case.broken.operation {
                Some(Operation::ResetClear { clear: true }) => is < expected,
                Some(Operation::ResetClear { clear: false }) => is < before.clear_avail,
                _ => false,
            };
            let whole_chunks = is.is_multiple_of(case.broken.space.chunk_size);
            outcome.is_ok() && is > 0 && some_reached && whole_chunks
        },
    },
];

/// The entry for a breach by a kernel with these features, if it is known.
#[must_use]
pub fn known(broken: &Breach, kernel: Features) -> Option<&'static KnownBreach> {
    let empty = AllocRequest::default();
    let request = match &broken.operation {
        Some(Operation::Alloc { request, .. } | Operation::AllocOnto { request, .. }) => request,
        _ => &empty,
    };
    let case = Case {
        broken,
        request,
        contiguous: request.flags.contains(GpuBuddyAllocFlag::Contiguous),
        clear: request.flags.contains(GpuBuddyAllocFlag::Clear),
        exact: request.start.checked_add(request.size) == Some(request.end),
        offset_aligned: !request.flags.contains(GpuBuddyAllocFlag::Contiguous)
            && request.size < request.min_block_size
            && request.size.is_power_of_two(),
    };
    KNOWN.iter().find(|known| {
        known.promises.contains(&broken.promise)
            && known.kernels.include(kernel)
            && (known.applies)(&case)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Errno;
    use crate::diff::Accounts;
    use crate::sizes::{SZ_1M, SZ_4K, SZ_16K};

    /// Room that a contiguous request did not find, in a whole block or not.
    fn missed(range: bool, block: bool) -> Breach {
        let request = AllocRequest {
            end: SZ_1M as u64,
            size: SZ_16K as u64,
            min_block_size: SZ_4K as u64,
            range,
            flags: GpuBuddyAllocFlag::Contiguous.into(),
            ..AllocRequest::default()
        };
        Breach {
            promise: Promise::Room,
            space: Space::new(SZ_1M as u64, SZ_4K as u64),
            operation: Some(Operation::Alloc { id: 0, request }),
            before: Accounts { avail: SZ_1M as u64, clear_avail: 0 },
            outcome: Err(Errno::ENOSPC),
            faulted: false,
            detail: Detail::RoomAt { offset: 0, block },
        }
    }

    /// A run of several blocks may be missed; a block that would do may not.
    #[test]
    fn a_whole_block_that_is_missed_is_not_known() {
        let name = |broken| known(&broken, Features::ALL).map(|known| known.name);
        assert_eq!(name(missed(false, false)), Some("try-harder-misses-run"));
        assert_eq!(name(missed(true, false)), Some("contiguous-range-rounds-up"));
        assert_eq!(name(missed(false, true)), None);
        assert_eq!(name(missed(true, true)), None);
    }

    /// Some blocks may be missed. All of them may not, nor may the account grow wrong.
    #[test]
    fn a_reset_that_reaches_nothing_is_not_known() {
        let (chunk, avail) = (SZ_4K as u64, SZ_1M as u64);
        let is_known = |clear, clear_avail, is| {
            let broken = Breach {
                promise: Promise::ResetClear,
                operation: Some(Operation::ResetClear { clear }),
                before: Accounts { avail, clear_avail },
                outcome: Ok(()),
                detail: Detail::ClearAvail { expected: if clear { avail } else { 0 }, is },
                ..missed(false, false)
            };
            known(&broken, Features::ALL).is_some()
        };
        assert!(is_known(true, 0, chunk));
        assert!(is_known(true, 4 * chunk, 2 * chunk), "merging made some dirty first");
        assert!(!is_known(true, 0, 0));
        assert!(!is_known(true, 0, avail + chunk));
        assert!(!is_known(true, 0, chunk + 1));
        assert!(is_known(false, 4 * chunk, chunk));
        assert!(!is_known(false, 4 * chunk, 4 * chunk));
        assert!(!is_known(false, 4 * chunk, 5 * chunk));
    }
}
