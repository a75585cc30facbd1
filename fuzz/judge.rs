//! Judges traces. Shared by the fuzz targets and the replay of their corpus.

#![allow(dead_code, reason = "each target uses one of the two")]

use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::{
    Capabilities, Capability, KernelC, Lockstep, NotCreated, Settings, Space, Trace,
};
use gpu_buddy::module::Module;

/// The whole tree is checked after this many operations.
const DEEP_EVERY: u64 = 8;

/// A trace without memory failures, because the reference model has none.
pub fn lockstep_trace(bytes: &[u8]) -> Trace {
    Trace::from_bytes(bytes, !Capabilities::from_flag(Capability::FailNth))
}

/// A trace in which memory for the allocator's own objects fails.
pub fn faults_trace(bytes: &[u8]) -> Trace {
    Trace::from_bytes(bytes, Capabilities::all())
}

/// Runs the C in lockstep with the reference model and under the contract; for a series without
/// such a model, under the contract alone.
///
/// # Panics
///
/// With the finding and the trace.
pub fn lockstep(trace: &Trace) {
    if Reference::models(Module::compiled_in().features()) {
        judge(trace, false, Lockstep::new::<KernelC, Reference>);
    } else {
        judge(trace, false, Lockstep::alone::<KernelC>);
    }
}

/// Runs the C alone, under the contract.
///
/// # Panics
///
/// With the finding and the trace.
pub fn faults(trace: &Trace) {
    judge(trace, false, Lockstep::alone::<KernelC>);
}

/// Runs a trace. If `strict`, a known breach is a finding as well.
pub fn judge(
    trace: &Trace,
    strict: bool,
    start: fn(Space, Settings) -> Result<Lockstep, NotCreated>,
) {
    let settings = Settings { full_check_interval: DEEP_EVERY, strict, ..Settings::default() };
    if let Ok(Some(found)) = trace.run(start, settings) {
        let done = &trace.operations[..found.operations];
        let short = Trace { space: trace.space, operations: done.to_vec() };
        panic!("{}\nafter {} operations:\n\n{short}", found.finding, done.len());
    }
}
