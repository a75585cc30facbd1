//! Differential testing: the kernel's allocator beside another one.

mod c;
mod contract;
mod implementation;
pub mod reference;
mod trace;

pub use c::{C, CAllocation};
pub use implementation::{Block, Capabilities, Capability, Implementation, Space};
pub use trace::{Id, Operation, Trace};
