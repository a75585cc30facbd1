//! Differential testing: the kernel's allocator beside another one.

pub mod adapter;
pub mod compare;
mod contract;
pub mod cost;
mod generate;
mod known;
mod lockstep;
pub mod reference;
pub mod shared;
mod shrink;
#[cfg(feature = "proptest")]
pub mod strategy;
mod subject;
mod tally;
pub mod torture;
mod trace;

pub use contract::{Accounts, Breach, Contract, Observation, Promise};
pub use known::{KNOWN, Kernels, KnownBreach, known};
pub use lockstep::{Aspect, Comparison, Divergence, Finding, Lockstep, NotCreated, Settings, Step};
pub use subject::{
    Block, Capabilities, Capability, Implementation, KernelAllocation, KernelC, Outcome, Report,
    SafeAllocation, SafeApi, Shareable, Space,
};
pub use tally::{Count, Tally};
pub use trace::{
    FirstFinding, Found, Id, Operation, ParseError, ParseSizeError, Trace, TraceFile, TraceLine,
    format_size, parse_size,
};
