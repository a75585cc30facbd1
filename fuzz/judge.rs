//! What a trace is held against. The fuzz targets and the replay of their corpus
//! share this.

#![allow(dead_code, reason = "each target uses one of the two")]

use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::{
    Finding, Implementation, KernelC, Lockstep, NotCreated, Operation, Settings, Space, Trace,
};
use gpu_buddy::module::Module;

/// The whole tree is looked at after so many operations.
const DEEP_EVERY: u64 = 8;

/// The C in step with its twin, under the contract; in another series than the
/// twin's, under the contract alone.
///
/// # Panics
///
/// With what is wrong, and the trace.
pub fn lockstep(trace: &Trace) {
    if Reference::models(Module::compiled_in().features()) {
        judge(trace, false, Lockstep::<KernelC, Reference>::new);
    } else {
        judge(trace, false, Lockstep::<KernelC, KernelC>::alone);
    }
}

/// The C alone, under the contract.
///
/// # Panics
///
/// With what is wrong, and the trace.
pub fn faults(trace: &Trace) {
    judge(trace, false, Lockstep::<KernelC, KernelC>::alone);
}

/// Where `strict`, a breach that the C is known for is a finding as well.
pub fn judge<R: Implementation>(
    trace: &Trace,
    strict: bool,
    start: fn(Space, Settings) -> Result<Lockstep<KernelC, R>, NotCreated>,
) {
    let settings = Settings { full_check_interval: DEEP_EVERY, strict, ..Settings::default() };
    let mut pair = match start(trace.space, settings) {
        Ok(pair) => pair,
        // A space that no allocator can have, as both have said.
        Err(NotCreated::Refused(_)) => return,
        Err(NotCreated::Finding(finding)) => return check(trace, &[], &[*finding]),
    };
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
