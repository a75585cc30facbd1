//! The C that is compiled in, through the safe API and the raw layer. `.ci/run` runs this again
//! for each series.
//!
//! What needs a process of its own is in `tests/runtime`, `tests/unusable` and `tests/no_heap.rs`.

#[path = "../common/mod.rs"]
mod common;

mod api;
mod arguments;
mod extremes;
mod faults;
mod raw_findings;
mod threads;
mod undefined;
