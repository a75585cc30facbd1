//! What a trace is held against. The fuzz targets and the replay of their corpus
//! share this.

#![allow(dead_code, reason = "each target uses one of the two")]

use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::{
    Capabilities, Capability, Implementation, KernelC, Lockstep, NotCreated, Settings, Space, Trace,
};
use gpu_buddy::module::Module;

/// The whole tree is looked at after so many operations.
const DEEP_EVERY: u64 = 8;

/// A trace without failures of memory, as the twin has none.
pub fn lockstep_trace(bytes: &[u8]) -> Trace {
    Trace::from_bytes(bytes, !Capabilities::from_flag(Capability::FailNth))
}

/// A trace in which memory for the allocator's own objects fails.
pub fn faults_trace(bytes: &[u8]) -> Trace {
    Trace::from_bytes(bytes, Capabilities::all())
}

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
    if let Ok(Some(found)) = trace.run(start, settings) {
        let done = &trace.operations[..found.operations];
        let short = Trace { space: trace.space, operations: done.to_vec() };
        panic!("{}\nafter {} operations:\n\n{short}", found.finding, done.len());
    }
}
