//! The list of known breaches.

use crate::KernelBug;
use crate::diff::contract::Detail;
use crate::diff::{Operation, Promise};

use super::{Kernels, KnownBreach};
/// All known breaches.
pub const KNOWN: &[KnownBreach] = &[
    KnownBreach {
        name: "contiguous-ignores-alignment",
        promises: &[Promise::Aligned],
        sentence: "A contiguous allocation is aligned to its own size, rounded up, even if \
                   min_block_size is larger.",
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
        sentence: "An allocation in a range is aligned to its own size, a power of two, even if \
                   min_block_size is larger.",
        kernels: Kernels::With("offset_align"),
        applies: |case| case.request.range && case.offset_aligned,
    },
    KnownBreach {
        name: "range-skips-clear",
        promises: &[Promise::PrefersClear],
        sentence: "An allocation in a range with the clear flag finds clear memory only in a \
                   root that is not split. Otherwise it takes the lowest block.",
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
        sentence: "An allocation aligned beyond its size switches between clear and dirty memory \
                   with each order that it tries, so it may take dirty memory although there is \
                   clear memory.",
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
        sentence: "A top-down allocation that finds no memory in its preferred state, clear or \
                   dirty, takes the smallest block in the other state that fits, wherever it is.",
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
        sentence: "Without the range flag, start and end are still checked, and a range as long \
                   as the request is taken exactly.",
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
        sentence: "A range that ends at 0 is treated as one without an end.",
        kernels: Kernels::All,
        applies: |case| case.request.range && case.request.end == 0,
    },
    KnownBreach {
        name: "failed-call-forgets-clear",
        promises: &[Promise::FailureChangesNothing],
        sentence: "Clear memory that a failed search for room merged with dirty memory stays \
                   dirty.",
        kernels: Kernels::All,
        applies: |case| matches!(case.broken.detail, Detail::ClearAvail { expected, is } if is < expected),
    },
    KnownBreach {
        name: "enospc-hides-enomem",
        promises: &[Promise::Room],
        sentence: "If there is no memory for a block, the search goes on, and ends with ENOSPC.",
        kernels: Kernels::With("undo_splits"),
        // An exact range returns the error of the split.
        applies: |case| case.broken.faulted && !case.exact,
    },
    KnownBreach {
        name: "enomem-corrupts-tree",
        promises: &[Promise::NoBug],
        sentence: "If there is no memory for a block, earlier splits are undone by freeing a \
                   block that is already free. The C is stopped before that.",
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
        sentence: "The chunks of a request are counted in 32 bits. So requests that round up to \
                   2^32 chunks or more find no room, or get smaller blocks instead of one.",
        kernels: Kernels::All,
        // A size that cannot be rounded up in 64 bits has more chunks too.
        applies: |case| case.chunks() >= 1 << 32 || (case.contiguous && case.rounded().is_none()),
    },
    KnownBreach {
        name: "try-harder-misses-run",
        promises: &[Promise::Room],
        sentence: "A contiguous allocation finds a run of free blocks only around a free block \
                   whose size is the request's, rounded down to a power of two.",
        kernels: Kernels::All,
        applies: |case| {
            case.contiguous && !case.request.range && !case.exact && !case.has_whole_block()
        },
    },
    KnownBreach {
        name: "contiguous-range-rounds-up",
        promises: &[Promise::Room, Promise::ValidArguments],
        sentence: "A contiguous allocation in a range needs a free block in the range whose size \
                   is the request's, rounded up to a power of two.",
        kernels: Kernels::All,
        applies: |case| {
            case.contiguous && case.request.range && !case.exact && !case.has_whole_block()
        },
    },
    KnownBreach {
        name: "merge-stops-early",
        promises: &[Promise::Room, Promise::Repeatable],
        sentence: "To find room, clear and dirty buddies are merged until there is one block of \
                   the size, which may be in a place that the request cannot use. The same call \
                   again merges more.",
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
        sentence: "A contiguous request for which there is no single block is pieced together. \
                   Between two attempts, this frees all blocks on the caller's list.",
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
        sentence: "Resetting the clear state removes blocks from a tree while walking it, and \
                   misses some if there are several of one order.",
        kernels: Kernels::All,
        // The first block of each tree is always reached, and merging before the walk only makes
        // clear memory dirty.
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
