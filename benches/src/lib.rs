//! Measures the crate and its peers, and writes what it has found as a page. `main.rs` is the
//! command.

pub mod fragmentation;
pub mod instructions;
pub mod machine;
pub mod page;
pub mod pairs;
mod plot;
mod random;
pub mod run;
pub mod scale;
pub mod subject;
mod timer;
pub mod walks;
