//! The pages under docs/findings/, compiled into the command.

use super::entry::Finding;

macro_rules! pages {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../../../docs/findings/", $name, ".md")))),*]
    };
}

/// Sorted by topic: data at risk, room, alignment, clear memory, top-down, time, the Rust binding,
/// fixed findings.
const PAGES: &[(&str, &str)] = pages![
    "contiguous-frees-list"
    "contiguous-use-after-free"
    "large-size-truncated"
    "reset-clear-misses-blocks"
    "clear-mark-outlives-write"
    "trim-keeps-clear-mark"
    "enomem-corrupts-tree"
    "enospc-hides-enomem"
    "enomem-leaves-untrimmed"
    "enomem-takes-smaller-blocks"
    "merge-within-unused-range"
    "merge-stops-early"
    "range-used-without-flag"
    "try-harder-misses-run"
    "contiguous-range-rounds-up"
    "rounded-size-is-einval"
    "contiguous-ignores-alignment"
    "range-ignores-alignment"
    "empty-range-is-unbounded"
    "exact-range-of-small-blocks"
    "trim-ignores-start"
    "range-skips-clear"
    "offset-aligned-flips-tree"
    "failed-call-forgets-clear"
    "order-before-state"
    "top-down-fallback"
    "offset-aligned-not-top-down"
    "range-ignores-top-down"
    "top-down-trim-keeps-lower-part"
    "range-request-is-quadratic"
    "contiguous-tries-every-hole"
    "failed-request-walks-free-blocks"
    "range-walks-blocks-in-use"
    "binding-reaches-undefined-shift"
    "binding-size-is-as-asked"
    "binding-range-is-without-base"
    "binding-alignment-is-without-base"
    "binding-base-overflows"
    "binding-arguments-are-undocumented"
    "binding-refuses-empty-range"
    "binding-knows-no-clear-memory"
    "binding-passes-large-sizes"
    "binding-leaks-on-later-field"
    "binding-lock-unknown-to-lockdep"
    "binding-top-down-example-proves-nothing"
    "contiguous-too-much"
    "large-contiguous-crashes"
    "large-request-bug"
    "exact-range-ignores-alignment"
    "clear-range-enospc"
];

/// All findings.
///
/// # Panics
///
/// If [`Finding::read`] rejects a page, which a test rules out.
pub fn all() -> Vec<Finding> {
    let read = |&(name, page): &(&'static str, &'static str)| match Finding::read(name, page) {
        Ok(finding) => finding,
        Err(reason) => panic!("docs/findings/{name}.md: {reason}"),
    };
    PAGES.iter().map(read).collect()
}

pub fn names() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|page| page.0)
}
