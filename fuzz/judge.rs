//! What a trace is held against. The fuzz targets and the replay of their corpus
//! share this.

#![allow(dead_code, reason = "each target uses one of the two")]

use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::{C, Finding, Implementation, Lockstep, Operation, Settings, Space, Trace};
use gpu_buddy::{Errno, KERNEL};

/// The whole tree is looked at after so many operations.
const DEEP_EVERY: u64 = 8;

/// What a series has that the twin is a twin of.
const TWIN_OF: [&str; 4] = ["scoreboard", "addr_to_block", "offset_align", "undo_splits"];

/// The C in step with its twin, under the contract; in another series than the
/// twin's, under the contract alone.
///
/// # Panics
///
/// With what is wrong, and the trace.
pub fn lockstep(trace: &Trace) {
    if TWIN_OF.iter().all(|capability| KERNEL.has(capability)) {
        judge(trace, false, Lockstep::<C, Reference>::new);
    } else {
        judge(trace, false, Lockstep::<C, C>::alone);
    }
}

/// The C alone, under the contract.
///
/// # Panics
///
/// With what is wrong, and the trace.
pub fn faults(trace: &Trace) {
    judge(trace, false, Lockstep::<C, C>::alone);
}

/// Where `strict`, a breach that the C is known for is a finding as well.
pub fn judge<R: Implementation>(
    trace: &Trace,
    strict: bool,
    start: fn(Space, Settings) -> Result<Lockstep<C, R>, Errno>,
) {
    let settings = Settings { deep_every: DEEP_EVERY, strict, ..Settings::default() };
    // Of a space that there cannot be, both have to say so, which `start` checks.
    let Ok(mut pair) = start(trace.space, settings) else { return };
    for (done, operation) in trace.operations.iter().enumerate() {
        let step = pair.step(operation);
        check(trace, &trace.operations[..=done], &step.findings);
    }
    let step = pair.finish();
    check(trace, &trace.operations, &step.findings);
}

/// Panics with the operations that it took: text that `gpu-buddy replay` reads.
fn check(trace: &Trace, done: &[Operation], findings: &[Finding]) {
    if let Some(finding) = findings.first() {
        let trace = Trace { space: trace.space, operations: done.to_vec() };
        panic!("{finding}\nafter {} operations:\n\n{trace}", done.len());
    }
}
