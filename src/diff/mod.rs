//! Differential testing: the kernel's allocator beside another one.

pub mod compare;
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
mod subject;
pub mod torture;
mod trace;

pub use contract::{Accounts, Broken, Contract, KNOWN, Kernels, Known, Promise, known};
pub use coverage::{Coverage, Met};
pub use implementation::{Block, Capabilities, Capability, Implementation, Report, Space};
pub use lockstep::{Aspect, Divergence, Finding, Lockstep, NotCreated, Settings, Step, Strength};
pub use side::Outcome;
pub use subject::{KernelAllocation, KernelC, SafeAllocation, SafeApi};
pub use trace::{Found, Id, Operation, ParseError, ParseSizeError, Trace, format_size, parse_size};
