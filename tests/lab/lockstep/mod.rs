//! Lockstep itself: what it finds, which operations it skips, and that it repeats itself.

mod liar;
mod own;

use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::torture::{self, Failure, Options};
use gpu_buddy::diff::{
    Aspect, Capabilities, Capability, Comparison, Finding, Implementation, KernelC, Lockstep,
    Operation, Outcome, Promise, SafeApi, Settings, Space, Step, Trace,
};
use liar::*;
use rstest::rstest;

const SPACE: Space = Space::new(1 << 20, 4 << 10);

fn options(comparison: Comparison) -> Options {
    let settings = Settings { comparison, full_check_interval: 8, ..Settings::default() };
    Options { seed: 3, operations: 20_000, space: Some(SPACE), settings, ..Options::default() }
}

fn against_the_model<L: Lie>(comparison: Comparison) -> Option<Box<Failure>> {
    torture::run::<Liar<L>, Reference>(&options(comparison), |_| true).1
}

fn trace(text: &str) -> Trace {
    text.parse().expect(text)
}

/// The steps of a trace, and its end.
fn steps<S: Implementation, R: Implementation>(text: &str, settings: Settings) -> Vec<Step> {
    let trace = trace(text);
    let mut pair = Lockstep::new::<S, R>(trace.space, settings).expect("a space");
    let mut steps: Vec<_> = trace.operations.iter().map(|operation| pair.step(operation)).collect();
    steps.push(pair.finish());
    steps
}

/// What a finding is about: an aspect, or a promise.
#[derive(Debug, PartialEq)]
enum In {
    Aspect(Aspect),
    Promise(Promise),
}

fn what(finding: &Finding) -> In {
    match finding {
        Finding::Divergence(divergence) => In::Aspect(divergence.aspect),
        Finding::Breach(broken) => In::Promise(broken.promise),
        _ => panic!("another kind of finding: {finding}"),
    }
}

/// Each lie is found, as itself or by its effect. The contract judges first, and finds those
/// that break a promise.
#[rstest]
#[case::order(against_the_model::<Order>, &[In::Aspect(Aspect::Blocks)], 1)]
#[case::errors(against_the_model::<Errors>, &[In::Aspect(Aspect::Outcome), In::Promise(Promise::ValidArguments)], 2)]
#[case::greed(against_the_model::<Greed>, &[In::Promise(Promise::AddsUp), In::Promise(Promise::Room)], 1)]
#[case::avail(against_the_model::<Avail>, &[In::Promise(Promise::Avail)], 1)]
#[case::clear_avail(against_the_model::<ClearAvail>, &[In::Promise(Promise::ClearAvail)], 2)]
#[case::forgetful(against_the_model::<Forgetful>, &[In::Promise(Promise::ClearAvail)], 2)]
#[case::blind(against_the_model::<Blind>, &[In::Promise(Promise::BlockAt)], 2)]
#[case::snapshots(against_the_model::<Snapshots>, &[In::Promise(Promise::ClearAvail)], 2)]
#[case::leak(against_the_model::<Leak>, &[In::Promise(Promise::Avail)], 2)]
#[cfg_attr(not(offset_align), ignore = "the reference model makes the choices of a later series")]
fn a_lie_is_found_and_made_short(
    #[case] run: fn(Comparison) -> Option<Box<Failure>>,
    #[case] expected: &[In],
    #[case] shortest: usize,
) {
    let failure = run(Comparison::Exact).expect("it is found");
    assert!(expected.contains(&what(&failure.finding)), "{failure}");
    assert!(failure.trace.operations.len() <= shortest, "{failure}");
    assert!(!failure.cut_short);
}

#[rstest]
#[case::order(against_the_model::<Order>)]
#[case::errors(against_the_model::<Errors>)]
#[case::avail(against_the_model::<Avail>)]
#[case::snapshots(against_the_model::<Snapshots>)]
#[case::leak(against_the_model::<Leak>)]
fn the_same_seed_gives_the_same_failure(#[case] run: fn(Comparison) -> Option<Box<Failure>>) {
    let failures = [run(Comparison::Exact), run(Comparison::Exact)];
    let [first, second] = failures.map(|failure| failure.expect("it is found").to_string());
    assert_eq!(first, second);
}

#[test]
#[cfg_attr(not(offset_align), ignore = "the reference model makes the choices of a later series")]
fn the_same_seed_gives_the_same_run() {
    let options = Options { space: None, ..options(Comparison::Exact) };
    let run = |seed| {
        let options = Options { seed, ..options.clone() };
        let (report, failure) = torture::run::<KernelC, Reference>(&options, |_| true);
        assert!(failure.is_none(), "{}", failure.expect("one"));
        (report.operations, report.allocators, report.known, report.tally)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// A failure's trace fails in the same way after it was written and read.
#[test]
fn a_failure_survives_being_written() {
    replays::<Order>();
    replays::<Errors>();
    replays::<Greed>();
    replays::<Avail>();
    replays::<ClearAvail>();
    replays::<Forgetful>();
    replays::<Blind>();
    replays::<Snapshots>();
    replays::<Leak>();
}

fn replays<L: Lie>() {
    let failure = against_the_model::<L>(Comparison::Exact).expect("it is found");
    let text = failure.trace.to_string();
    assert_eq!(trace(&text), failure.trace);
    let settings = Settings { full_check_interval: 1, ..Settings::default() };
    let steps = steps::<Liar<L>, Reference>(&text, settings);
    let found = steps.iter().position(|step| !step.findings.is_empty()).expect("it fails again");
    assert_eq!(steps[found].findings[0], failure.finding, "{text}");
    // The last operation shows it, or the end.
    assert!(found + 2 >= steps.len(), "{text}");
}

#[test]
#[cfg_attr(not(offset_align), ignore = "the reference model makes the choices of a later series")]
fn an_honest_one_passes() {
    for comparison in [Comparison::Exact, Comparison::Observable, Comparison::Contract] {
        let failure = against_the_model::<Honest>(comparison);
        assert!(failure.is_none(), "{}", failure.expect("one"));
    }
}

/// Another order of blocks differs from the reference model, but the accounts are the same; other error
/// numbers may keep the contract.
#[test]
fn comparisons_differ() {
    let settings = |comparison| Settings { comparison, ..Settings::default() };
    let blocks = "space size=64K chunk=4K\na = alloc 12K\nfree a\n";
    let found = |comparison| {
        let steps = steps::<Liar<Order>, Reference>(blocks, settings(comparison));
        steps.into_iter().flat_map(|step| step.findings).next()
    };
    assert_eq!(found(Comparison::Exact).as_ref().map(what), Some(In::Aspect(Aspect::Blocks)));
    assert_eq!(found(Comparison::Observable), None);
    assert_eq!(found(Comparison::Contract), None);

    // Full is ENOSPC, not EINVAL.
    let errors = "space size=64K chunk=4K\na = alloc 64K\nb = alloc 4K\n";
    let found = |comparison| {
        let steps = steps::<Liar<Errors>, Reference>(errors, settings(comparison));
        steps.into_iter().flat_map(|step| step.findings).map(|f| what(&f)).collect::<Vec<_>>()
    };
    assert!(found(Comparison::Exact).contains(&In::Aspect(Aspect::Outcome)));
    assert!(found(Comparison::Observable).contains(&In::Aspect(Aspect::Outcome)));
    assert!(!found(Comparison::Contract).contains(&In::Aspect(Aspect::Outcome)));
}

#[test]
fn unsupported_operations_are_skipped() {
    let text = "\
        space size=64K chunk=4K\n\
        a = alloc 8K clear\n\
        b = alloc 8K align=8K\n\
        c = alloc 8K range=0..16K\n\
        d = alloc 8K end=16K\n\
        e = alloc 8K topdown\n\
        f = alloc 8K contiguous\n\
        g = alloc 8K trim-disable\n\
        reset clear\n\
        lookup 4K\n\
        fail-nth 1\n\
        h = alloc 8K\n\
        trim h 4K\n\
        free h[0]\n\
        free h cleared\n";
    let steps = steps::<Liar<Plain>, Reference>(text, Settings::default());
    let done: Vec<_> = steps.iter().map(|step| step.outcome != Outcome::Skipped).collect();
    let mut expected = [false; 15];
    // The plain allocation, the free of a block, and the end.
    (expected[10], expected[12], expected[14]) = (true, true, true);
    assert_eq!(done, expected);
    assert!(steps.iter().all(|step| step.findings.is_empty()));

    let (report, failure) =
        torture::run::<Liar<Plain>, Reference>(&options(Comparison::Exact), |_| true);
    assert!(failure.is_none(), "{}", failure.expect("one"));
    assert_eq!(report.not_compared, !Capabilities::from(Capability::FreeBlock));
}

#[test]
fn the_end_finds_what_was_not_given_back() {
    let text = "space size=64K chunk=4K\na = alloc 32K\n";
    let steps = steps::<Liar<Leak>, Reference>(text, Settings::default());
    assert!(steps[0].findings.is_empty());
    let found: Vec<_> = steps[1].findings.iter().map(what).collect();
    assert!(found.contains(&In::Promise(Promise::NothingLeaked)), "{found:?}");
}

#[test]
fn a_step_without_its_allocation_does_nothing() {
    let mut pair =
        Lockstep::new::<KernelC, Reference>(SPACE, Settings::default()).expect("a space");
    for operation in [
        Operation::Free { id: 3, cleared: true },
        Operation::FreeBlock { id: 3, index: 0, cleared: true },
        Operation::Trim { id: 3, start: None, new_size: 4096 },
    ] {
        let step = pair.step(&operation);
        assert_eq!(step.outcome, Outcome::Skipped);
        assert!(step.findings.is_empty());
    }
    assert!(pair.finish().findings.is_empty());
}

/// The C may be on either side, though its reset of the clear state misses blocks.
#[test]
#[cfg_attr(not(offset_align), ignore = "the reference model makes the choices of a later series")]
fn the_c_serves_as_the_reference() {
    let text = "\
        space size=64K chunk=4K\n\
        a = alloc 4K\n\
        b = alloc 8K range=4K..12K\n\
        c = alloc 20K align=8K\n\
        reset clear\n";
    let settings = Settings { full_check_interval: 1, ..Settings::default() };
    let of_c = steps::<KernelC, Reference>(text, settings);
    let of_model = steps::<Reference, KernelC>(text, settings);
    assert!([&of_c, &of_model].into_iter().flatten().all(|step| step.findings.is_empty()));
    // The C misses some; the reference model, which has the C's trees, misses the same.
    assert_eq!(of_c[3].known.len(), 1);
    assert!(of_model[3].known.is_empty());
    torture::check::<Reference>(&Options { space: None, ..options(Comparison::Exact) });
}

/// The reference model, which has the C's trees, predicts which blocks a reset misses.
#[test]
#[cfg_attr(not(offset_align), ignore = "the reference model makes the choices of a later series")]
fn what_a_reset_misses_is_predicted() {
    let mut missed = 0;
    for seed in 0..40 {
        let chunks = [16, 100, 1000, 5000][seed as usize % 4];
        let space = Space::new(chunks * 4096, 4096);
        let capabilities = KernelC::create(space).unwrap().capabilities() & !Capability::Fini;
        let random = Trace::random(seed, space, capabilities & !Capability::FailNth, 600);
        let resets =
            (0..).map(|count: u32| Operation::ResetClear { clear: !count.is_multiple_of(3) });
        let operations = random.operations.chunks(7).zip(resets);
        let operations = operations.flat_map(|(some, reset)| some.iter().cloned().chain([reset]));
        let trace = Trace { space, operations: operations.collect() };

        let settings = Settings { full_check_interval: 1, ..Settings::default() };
        let mut pair = Lockstep::new::<KernelC, Reference>(space, settings).unwrap();
        for operation in &trace.operations {
            let step = pair.step(operation);
            assert!(step.findings.is_empty(), "{:?}\n{trace}", step.findings);
            missed += step.known.iter().filter(|known| known.name.starts_with("reset")).count();
        }
    }
    assert!(missed > 100, "{missed}");
}

/// The safe API refuses wrong arguments by itself, with the C's answers.
#[test]
fn the_safe_api_answers_as_the_c() {
    let options = Options { space: None, ..options(Comparison::Exact) };
    let (report, failure) = torture::run::<SafeApi, KernelC>(&options, |_| true);
    assert!(failure.is_none(), "{}", failure.unwrap());
    assert_eq!(report.operations, 20_000);
}

/// Placement-dependent operations are skipped if placements may differ.
#[test]
#[cfg_attr(not(offset_align), ignore = "the reference model makes the choices of a later series")]
fn placement_dependent_operations_are_skipped() {
    let (report, failure) =
        torture::run::<Reference, KernelC>(&options(Comparison::Observable), |_| true);
    assert!(failure.is_none());
    let placed = Capability::FreeBlock | Capability::Trim | Capability::BlockAt;
    assert!(report.not_compared.contains(placed), "{:?}", report.not_compared);
}
