//! The contract: the C breaks what it is known to break, and nothing else; and the contract
//! catches an allocator that lies.

mod judged;
mod told;

use std::collections::BTreeSet;

use crate::common;
use gpu_buddy::diff::torture::{self, Options};
use gpu_buddy::diff::{Breach, Finding, KNOWN, KernelC, Lockstep, Promise, Settings, Trace, known};
use gpu_buddy::module::{Features, Module};

/// Runs a trace on the C and judges each operation in full depth. Returns all breaches,
/// also those that are known.
fn run(trace: &Trace) -> Vec<Breach> {
    let settings = Settings { full_check_interval: 1, strict: true, ..Settings::default() };
    let mut alone = Lockstep::alone::<KernelC>(trace.space, settings).unwrap();
    let steps = trace.operations.iter().map(|operation| alone.step(operation));
    let mut findings: Vec<_> = steps.flat_map(|step| step.findings).collect();
    findings.extend(alone.finish().findings);
    let breach = |finding| match finding {
        Finding::Breach(breach) => breach,
        other => panic!("{other}"),
    };
    findings.into_iter().map(breach).collect()
}

/// The features of the kernel that is compiled in.
fn features() -> Features {
    Module::compiled_in().features()
}

#[test]
fn known_breaches_show_in_their_traces() {
    let mut wrong = String::new();
    for entry in KNOWN {
        let text = common::finding_trace(entry.name);
        let trace: Trace = text.parse().unwrap();
        let broken = run(&trace);
        let shows = broken.iter().any(|broken| {
            broken.promise == entry.promises[0]
                && known(broken, features()).is_some_and(|known| known.name == entry.name)
        });
        let listed = entry.kernels.include(features());
        // Nothing unknown is broken.
        if shows != listed || broken.iter().any(|broken| known(broken, features()).is_none()) {
            wrong += &format!("{}: listed: {listed}, shows: {shows}\n", entry.name);
            wrong.extend(broken.iter().map(|broken| format!("    {broken}\n")));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Requests of many chunks are pieced together, and top-down is ignored.
#[test]
fn a_large_request_that_is_pieced_together_is_known() {
    let trace: Trace = "\
        space size=1120533313674600K chunk=4K\n\
        reset clear\n\
        a = alloc 1601108936676K contiguous\n\
        b = alloc 128K range=1052772203776M..1078038737726520K trim-disable\n\
        c = alloc 96553471200K contiguous clear topdown\n"
        .parse()
        .unwrap();
    let broken = run(&trace);
    assert!(broken.iter().any(|broken| broken.promise == Promise::TopDown), "{broken:?}");
    for broken in broken {
        assert!(known(&broken, features()).is_some(), "{broken}");
    }
}

fn nothing_unknown(seeds: core::ops::Range<u64>, faults: f64) {
    for seed in seeds {
        let settings = Settings { full_check_interval: 4, ..Settings::default() };
        let options = Options { seed, operations: 4_000, faults, settings, ..Options::default() };
        let (_, failure) = torture::run_alone::<KernelC>(&options, |_| true);
        assert!(failure.is_none(), "seed {seed}: {}", failure.unwrap());
    }
}

#[test]
fn the_c_breaks_nothing_else() {
    nothing_unknown(0..20, 0.0);
}

/// Earlier series do not survive it, which is known.
#[test]
fn the_c_breaks_nothing_else_out_of_memory() {
    nothing_unknown(100..120, 0.05);
}

#[test]
fn promises_have_names_and_sentences() {
    let names: BTreeSet<_> = Promise::ALL.iter().map(|promise| promise.name()).collect();
    assert_eq!(names.len(), Promise::ALL.len());
    assert!(Promise::ALL.iter().all(|promise| promise.explanation().ends_with('.')));
}
