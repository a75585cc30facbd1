//! Random traces for tests with `proptest`.
//!
//! ```
//! use gpu_buddy::diff::{Comparison, Implementation, Space, reference::Reference, strategy};
//! use proptest::prelude::*;
//!
//! let space = Space::new(1 << 20, 4 << 10);
//! // Put your implementation in the place of the reference model.
//! let capabilities = Reference::create(space).unwrap().capabilities();
//! proptest!(|(trace in strategy::trace(Just(space), capabilities, 1..64))| {
//!     strategy::check::<Reference>(&trace, Comparison::Exact)?;
//! });
//! ```

use std::time::Duration;

use proptest::collection::SizeRange;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::test_runner::TestCaseError;

use super::torture::{self, Failure};
use super::{Capabilities, Comparison, Implementation, KernelC, Lockstep, NotCreated, Settings};
use super::{Space, Trace};

/// The time limit of [`check`] for shrinking a failing trace.
const SHRINK: Duration = Duration::from_secs(10);

/// Traces of this many operations in such a space, which use only `capabilities`.
///
/// They are not shrunk by proptest, which does not know their structure: [`check`] shrinks them.
pub fn trace(
    space: impl Strategy<Value = Space>,
    capabilities: Capabilities,
    operations: impl Into<SizeRange>,
) -> impl Strategy<Value = Trace> {
    let operations = operations.into();
    (space, any::<u64>(), operations.start()..operations.end_excl())
        .prop_map(move |(space, seed, count)| Trace::random(seed, space, capabilities, count))
        .no_shrink()
}

/// Spaces of 1 to 64 chunks of 4 KiB, powers of two and other sizes.
pub fn small_space() -> impl Strategy<Value = Space> {
    let chunk_size = 4 << 10;
    let chunks = prop_oneof![1..=64u64, (0..=6u32).prop_map(|order| 1 << order)];
    chunks.prop_map(move |chunks| Space::new(chunks * chunk_size, chunk_size))
}

/// Runs a trace on an implementation in lockstep with the kernel's C, with all checks after each
/// operation. Rejects a space that the implementation does not support.
///
/// # Errors
///
/// The first difference or broken promise, with the shortest trace found as text.
pub fn check<S: Implementation>(
    trace: &Trace,
    comparison: Comparison,
) -> Result<(), TestCaseError> {
    let settings = Settings { comparison, full_check_interval: 1, ..Settings::default() };
    let run = |trace: &Trace| match comparison {
        Comparison::Contract => trace.run(Lockstep::alone::<S>, settings),
        _ => trace.run(Lockstep::new::<S, KernelC>, settings),
    };
    let found = match run(trace) {
        Ok(Some(found)) => found,
        Ok(None) | Err(NotCreated::Refused(_)) => return Ok(()),
        Err(not_created) => return Err(TestCaseError::reject(not_created.to_string())),
    };
    let first = |trace: &Trace| run(trace).ok().flatten();
    let (short, cut_short) = torture::shrink(trace.clone(), SHRINK, |trace| {
        let seen = first(trace)?;
        seen.is_same(&found).then_some(seen.operations)
    });
    let found = first(&short).unwrap_or(found);
    let failure = Failure::new(found, short, trace.operations.len() as u64, cut_short);
    Err(TestCaseError::fail(failure.to_string()))
}
