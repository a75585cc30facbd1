//! Differential testing: the kernel's allocator beside another one.

mod c;
pub mod contention;
mod contract;
mod coverage;
mod generate;
mod implementation;
mod lockstep;
pub mod reference;
mod shrink;
mod side;
#[cfg(feature = "proptest")]
pub mod strategy;
pub mod torture;
mod trace;

pub use c::{C, CAllocation};
pub use contract::{Accounts, Broken, Contract, KNOWN, Known, Promise, known};
pub use coverage::{Coverage, Met};
pub use implementation::{Block, Capabilities, Capability, Implementation, Report, Space};
pub use lockstep::{Aspect, Divergence, Finding, Lockstep, Settings, Step, Strength};
pub use side::Outcome;
pub use trace::{Found, Id, Operation, ParseError, ParseSizeError, Trace, format_size, parse_size};
