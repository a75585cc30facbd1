//! The C in step with the twin, driven by `proptest`. What once failed is in
//! `proptest.seeds` beside this file, and is run first.

mod common;

use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::{Finding, KernelC, Lockstep, Settings, Space, Trace, strategy};
use gpu_buddy::module::Module;
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestCaseError};

fn config(cases: u32) -> ProptestConfig {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proptest.seeds");
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

/// The first finding, with what is known not among them.
fn run(trace: &Trace, mut pair: Lockstep<KernelC, Reference>) -> Option<Finding> {
    let steps = trace.operations.iter().map(|operation| pair.step(operation));
    let found = steps.flat_map(|step| step.findings).next();
    found.or_else(|| pair.finish().findings.into_iter().next())
}

fn judge(trace: &Trace, finding: Option<Finding>) -> Result<(), TestCaseError> {
    finding.map_or(Ok(()), |finding| Err(TestCaseError::fail(format!("{finding}\n{trace}"))))
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn c_does_as_the_twin(trace in strategy::trace(spaces(), 1..80)) {
        if !Reference::models(Module::compiled_in().features()) {
            let why = "the twin makes other choices than this kernel";
            common::not_tested("C beside the twin", why);
            return Ok(());
        }
        let settings = Settings { full_check_interval: 1, ..Settings::default() };
        let pair = Lockstep::new(trace.space, settings).expect("a space");
        judge(&trace, run(&trace, pair))?;
    }

    #[test]
    fn c_keeps_the_contract(trace in strategy::trace(spaces(), 1..200)) {
        let settings = Settings { full_check_interval: 4, ..Settings::default() };
        let pair = Lockstep::alone(trace.space, settings).expect("a space");
        judge(&trace, run(&trace, pair))?;
    }

    #[test]
    fn a_trace_survives_being_written(trace in strategy::trace(spaces(), 0..40)) {
        let text = trace.to_string();
        let read: Trace = text.parse().expect("what is written can be read");
        prop_assert_eq!(read.to_string(), text);
        prop_assert_eq!(read, trace);
    }
}
