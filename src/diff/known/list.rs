//! The list.

use crate::KernelBug;
use crate::diff::contract::Detail;
use crate::diff::{Operation, Promise};

use super::{Kernels, KnownBreach};
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
        applies: |case| {
            case.request.range
                && matches!(case.broken.detail, Detail::Place { in_whole_root: false, .. })
        },
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
