//! The C in lockstep with the reference model, driven by `proptest`. Seeds of failures are in
//! `strategy.seeds` beside this file, and run first.

use crate::common;
use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::{
    Capabilities, Comparison, Implementation, KernelC, Lockstep, NotCreated, Settings, Space,
    Trace, strategy,
};
use gpu_buddy::module::Module;
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestCaseError};

fn config(cases: u32) -> ProptestConfig {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/strategy.seeds");
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        ..ProptestConfig::default()
    }
}

/// Spaces with few chunks and with many.
fn spaces() -> impl Strategy<Value = Space> {
    let large =
        (1..=1u64 << 20, 12..=21u32).prop_map(|(chunks, log)| Space::new(chunks << log, 1 << log));
    prop_oneof![3 => strategy::small_space(), 1 => large]
}

fn judge(
    trace: &Trace,
    start: fn(Space, Settings) -> Result<Lockstep, NotCreated>,
) -> Result<(), TestCaseError> {
    let settings = Settings { full_check_interval: 4, ..Settings::default() };
    match trace.run(start, settings).expect("a space") {
        None => Ok(()),
        Some(found) => Err(TestCaseError::fail(format!("{}\n{trace}", found.finding))),
    }
}

/// The capabilities of the kernel.
fn offered() -> Capabilities {
    let space = Space::new(1 << 20, 4 << 10);
    KernelC::create(space).expect("a space").capabilities()
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn c_does_as_the_model(trace in strategy::trace(spaces(), offered(), 1..80)) {
        if !Reference::models(Module::compiled_in().features()) {
            let why = "the reference model makes other choices than this kernel";
            common::not_tested("C beside the reference model", why);
            return Ok(());
        }
        strategy::check::<Reference>(&trace, Comparison::Exact)?;
        judge(&trace, Lockstep::new::<KernelC, Reference>)?;
    }

    #[test]
    fn c_keeps_the_contract(trace in strategy::trace(spaces(), offered(), 1..200)) {
        judge(&trace, Lockstep::alone::<KernelC>)?;
    }

    #[test]
    fn a_trace_survives_being_written(trace in strategy::trace(spaces(), offered(), 0..40)) {
        let text = trace.to_string();
        let read: Trace = text.parse().expect("what is written can be read");
        prop_assert_eq!(read.to_string(), text);
        prop_assert_eq!(read, trace);
    }
}
