//! Traces that are run in every check: one for each thing that some kernel is known for.

/// Their names and texts.
pub const TRACES: &[(&str, &str)] = &[
    ("contiguous-frees-list", include_str!("../../../../tests/known/contiguous-frees-list.trace")),
    (
        "contiguous-ignores-alignment",
        include_str!("../../../../tests/known/contiguous-ignores-alignment.trace"),
    ),
    (
        "contiguous-range-rounds-up",
        include_str!("../../../../tests/known/contiguous-range-rounds-up.trace"),
    ),
    (
        "empty-range-is-unbounded",
        include_str!("../../../../tests/known/empty-range-is-unbounded.trace"),
    ),
    ("enomem-corrupts-tree", include_str!("../../../../tests/known/enomem-corrupts-tree.trace")),
    ("enospc-hides-enomem", include_str!("../../../../tests/known/enospc-hides-enomem.trace")),
    (
        "failed-call-forgets-clear",
        include_str!("../../../../tests/known/failed-call-forgets-clear.trace"),
    ),
    ("large-size-truncated", include_str!("../../../../tests/known/large-size-truncated.trace")),
    ("merge-stops-early", include_str!("../../../../tests/known/merge-stops-early.trace")),
    (
        "merge-within-unused-range",
        include_str!("../../../../tests/known/merge-within-unused-range.trace"),
    ),
    (
        "offset-aligned-flips-tree",
        include_str!("../../../../tests/known/offset-aligned-flips-tree.trace"),
    ),
    (
        "offset-aligned-not-top-down",
        include_str!("../../../../tests/known/offset-aligned-not-top-down.trace"),
    ),
    (
        "range-ignores-alignment",
        include_str!("../../../../tests/known/range-ignores-alignment.trace"),
    ),
    (
        "range-ignores-top-down",
        include_str!("../../../../tests/known/range-ignores-top-down.trace"),
    ),
    ("range-skips-clear", include_str!("../../../../tests/known/range-skips-clear.trace")),
    (
        "range-used-without-flag",
        include_str!("../../../../tests/known/range-used-without-flag.trace"),
    ),
    (
        "reset-clear-misses-blocks",
        include_str!("../../../../tests/known/reset-clear-misses-blocks.trace"),
    ),
    ("top-down-fallback", include_str!("../../../../tests/known/top-down-fallback.trace")),
    ("try-harder-misses-run", include_str!("../../../../tests/known/try-harder-misses-run.trace")),
];
