//! Differential testing: the kernel's allocator next to another one.
//!
//! ```
//! use gpu_buddy::diff::{KernelC, Lockstep, Settings, Space, Trace, reference::Reference, torture};
//!
//! // One sequence of calls, on the C and on its reference model.
//! let trace: Trace = "\
//! space size=64K chunk=4K
//! a = alloc 32K range=32K..64K
//! free a cleared
//! b = alloc 8K clear
//! ".parse()?;
//! let found = trace.run(Lockstep::new::<KernelC, Reference>, Settings::default())?;
//! assert_eq!(found, None);
//!
//! // Random calls on the C alone, checked against what the documentation promises.
//! let options = torture::Options { operations: 5_000, ..torture::Options::default() };
//! let (report, failure) = torture::run_alone::<KernelC>(&options, |_| true);
//! assert!(failure.is_none(), "{}", failure.unwrap());
//! assert_eq!(report.operations, 5_000);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # How do I test my own allocator?
//!
//! If it returns one run of units per call, use [`adapter`]. Otherwise implement
//! [`Implementation`], and declare with [`Capability`] what it supports. Then [`torture::check`] is
//! a test in one line, and [`Trace::replay`] repeats what it found. If it is [`Shareable`],
//! [`shared`] tests it with several threads.
//!
//! # What is compared?
//!
//! [`Comparison`] says how closely: the same blocks, the same outcomes, or only that each side
//! keeps the [`Contract`]. The contract is what the header's documentation [promises](Promise). It
//! is checked after each call, and does not depend on how an allocator finds its blocks. A
//! [`Finding`] is a broken promise or a [`Divergence`].
//!
//! # What does the kernel itself break?
//!
//! [`KNOWN`] lists it. In lockstep, the reference model breaks the same promises in the same way, so
//! no other breach is excused by the list. If a kernel is compared with a base kernel, no list is
//! needed: what both break in the same call was there before.
//!
//! # Parts
//!
//! | part | what it is for |
//! | --- | --- |
//! | [`Trace`] | operations as data: to read, write, run, and generate from bytes |
//! | [`KernelC`], [`SafeApi`] | allocators under test: a kernel's C, the safe API |
//! | [`mod@reference`] | the reference model, which makes the C's choices in safe Rust |
//! | [`Lockstep`] | runs one operation on both sides, compares and judges |
//! | [`torture`] | episodes of random operations, and short traces of failures |
//! | [`Load`] | the operations of drivers |
//! | [`Churn`] | steady loads, to measure speed |
//! | [`recording`] | the calls of a running kernel, as a trace |
//! | [`compare`] | every kind of difference between two kernels, once |
//! | [`cost`] | the cost of calls, in steps that do not depend on the machine |

pub mod adapter;
pub mod compare;
mod contract;
pub mod cost;
mod generate;
mod known;
mod loads;
mod lockstep;
pub mod recording;
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
pub use loads::{Churn, ChurnStep, Load, UnknownLoad};
pub use lockstep::{Aspect, Comparison, Divergence, Finding, Lockstep, NotCreated, Settings, Step};
pub use subject::{
    Block, Capabilities, Capability, Implementation, KernelAllocation, KernelC, Outcome, Printed,
    Report, SafeAllocation, SafeApi, Shareable, Space,
};
pub(crate) use subject::{catch, kept_away};
pub use tally::{Count, Tally};
pub use trace::{
    FirstFinding, Found, Id, Operation, ParseError, ParseSizeError, Trace, TraceFile, TraceLine,
    format_size, parse_size,
};
