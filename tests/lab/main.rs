//! The laboratory as a library: traces, lockstep, the contract, the reference model, and what judges
//! a user's allocator. `.ci/run` runs this again for each series, since the C takes part in it.

#[path = "../common/mod.rs"]
mod common;

mod adapter;
mod alloc_onto;
#[cfg(feature = "module")]
mod c_wrapper;
mod contract;
mod exhaustive;
mod fuzz_corpus;
mod loads;
mod lockstep;
mod many_free_blocks;
mod own_allocator;
mod public_crates;
mod pure;
mod steps;
mod strategy;
mod trace;
mod trace_file;
mod wrapper;
