//! Measures the crate and its peers: the allocators under test, and what is measured.

pub mod fragmentation;
pub mod instructions;
pub mod pairs;
mod random;
pub mod scale;
pub mod subject;
pub mod walks;
