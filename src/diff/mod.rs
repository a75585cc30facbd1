//! Differential testing: the kernel's allocator beside another one.
//!
//! ```
//! use gpu_buddy::diff::{KernelC, Lockstep, Settings, Space, Trace, reference::Reference, torture};
//!
//! // One sequence of calls, on the C and on a twin in safe Rust.
//! let trace: Trace = "\
//! space size=64K chunk=4K
//! a = alloc 32K range=32K..64K
//! free a cleared
//! b = alloc 8K clear
//! ".parse()?;
//! let found = trace.run(Lockstep::<KernelC, Reference>::new, Settings::default())?;
//! assert_eq!(found, None);
//!
//! // Random ones, on the C alone, held against what the documentation promises.
//! let options = torture::Options { operations: 5_000, ..torture::Options::default() };
//! let (report, failure) = torture::run_alone::<KernelC>(&options, |_| true);
//! assert!(failure.is_none(), "{}", failure.unwrap());
//! assert_eq!(report.operations, 5_000);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # How do I test my own allocator?
//!
//! If it hands out one run of units at a time, [`adapter`] takes it in a few lines. Otherwise
//! implement [`Implementation`] and say with [`Capability`] what it offers. Then
//! [`torture::check`] is a test in one line, and [`Trace::replay`] keeps what it has found.
//! Threads that share an allocator are tested by [`shared`], if it is [`Shareable`].
//!
//! # What is compared?
//!
//! [`Comparison`] says how closely: the same blocks, the same outcomes, or only that each
//! side keeps the [`Contract`]. The contract is what the header's documentation
//! [promises](Promise); it is checked after each call, without knowing how an allocator finds
//! its blocks. A [`Finding`] is a broken promise or a [`Divergence`].
//!
//! # What does the kernel itself break?
//!
//! [`KNOWN`] lists it. In lockstep the twin breaks the same promises in the same way, so that
//! nothing else passes under that name. Of two kernels, one is the base of the other, and what
//! both break in the same call is present in the base: no list is needed.
//!
//! # Which parts are there?
//!
//! | part | what it does |
//! | --- | --- |
//! | [`Trace`] | operations as data: read, written, run, made of bytes |
//! | [`KernelC`], [`SafeApi`] | what can be driven: a kernel's C, the safe API |
//! | [`mod@reference`] | the twin, which makes the C's choices in safe Rust |
//! | [`Lockstep`] | one operation on both sides, compared and judged |
//! | [`torture`] | episodes of random operations, and short traces of what breaks |
//! | [`Load`] | operations as drivers ask for them |
//! | [`recording`] | the calls of a running kernel, as a trace |
//! | [`compare`] | every kind of difference between two kernels, once |
//! | [`cost`] | what calls cost, in steps that do not depend on the machine |

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
pub use loads::{Load, UnknownLoad};
pub use lockstep::{Aspect, Comparison, Divergence, Finding, Lockstep, NotCreated, Settings, Step};
pub(crate) use subject::kept_away;
pub use subject::{
    Block, Capabilities, Capability, Implementation, KernelAllocation, KernelC, Outcome, Printed,
    Report, SafeAllocation, SafeApi, Shareable, Space,
};
pub use tally::{Count, Tally};
pub use trace::{
    FirstFinding, Found, Id, Operation, ParseError, ParseSizeError, Trace, TraceFile, TraceLine,
    format_size, parse_size,
};
