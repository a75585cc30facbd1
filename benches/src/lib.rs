//! Measures the crate and its peers: the allocators under test, and what is measured.

pub mod pairs;
pub mod subject;
pub mod walks;
