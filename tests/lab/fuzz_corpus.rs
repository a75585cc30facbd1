//! Replays the inputs that the fuzzer has collected under `fuzz/corpus/`, and tests how bytes
//! become traces. `ci/fuzz` collects more.

#[path = "../../fuzz/judge.rs"]
mod judge;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::common::{self, project, within};
use gpu_buddy::KERNEL;
use gpu_buddy::diff::{KernelC, Lockstep, Operation, Trace};
use proptest::prelude::*;
use rstest::rstest;

/// Each corpus takes less than a second.
const LIMIT: Duration = Duration::from_secs(300);

/// The total size of both corpora, in bytes.
const MOST_BYTES: usize = 64 << 10;
const MOST_FILES: usize = 150;

/// A fuzz target: its name, how it reads bytes, and what it does with the trace.
type Target = (&'static str, fn(&[u8]) -> Trace, fn(&Trace));

const LOCKSTEP: Target = ("lockstep", judge::lockstep_trace, judge::lockstep);
const FAULTS: Target = ("faults", judge::faults_trace, judge::faults);

/// The files of a corpus, by name.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = project().join("fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).expect("a folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).expect("a file");
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

fn kind(operation: &Operation) -> &'static str {
    match operation {
        Operation::Alloc { .. } => "alloc",
        Operation::AllocOnto { .. } => "alloc onto",
        Operation::Free { .. } => "free",
        Operation::FreeBlock { .. } => "free block",
        Operation::Trim { .. } => "trim",
        Operation::ResetClear { .. } => "reset",
        Operation::BlockAt { .. } => "lookup",
        Operation::FailNth { .. } => "fail-nth",
        Operation::Fini => "fini",
    }
}

#[rstest]
#[case::lockstep(LOCKSTEP, 6)]
#[case::faults(FAULTS, 7)]
fn corpus_finds_nothing(#[case] (name, decode, judge): Target, #[case] kinds: usize) {
    let corpus = corpus(name);
    assert!(corpus.len() >= 20, "{} files for {name}", corpus.len());
    let traces: Vec<_> = corpus.iter().map(|(path, bytes)| (path.clone(), decode(bytes))).collect();
    let met: BTreeSet<_> =
        traces.iter().flat_map(|(_, trace)| &trace.operations).map(kind).collect();
    assert_eq!(met.len(), kinds, "{met:?}");

    if name == FAULTS.0 && !KERNEL.has("undo_splits") {
        common::not_tested("the corpus of faults", "this C is stopped when it is out of memory");
        return;
    }
    within(LIMIT, move |note| {
        for (path, trace) in &traces {
            note(path.clone());
            judge(trace);
        }
    });
}

#[test]
fn corpus_stays_small() {
    let corpora = [LOCKSTEP, FAULTS].map(|(name, ..)| corpus(name));
    let files: Vec<_> = corpora.iter().flatten().collect();
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(files.len() <= MOST_FILES, "{} files; see docs/assurance/fuzzing.md", files.len());
    assert!(bytes <= MOST_BYTES, "{bytes} bytes; see docs/assurance/fuzzing.md");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    /// Any bytes are a trace of bounded length, which can be written and read.
    #[test]
    fn every_byte_string_is_a_trace(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        for (name, decode, _) in [LOCKSTEP, FAULTS] {
            let trace = decode(&bytes);
            prop_assert!(trace.operations.len() <= 300);
            let faults = trace.operations.iter().any(|operation| kind(operation) == "fail-nth");
            prop_assert!(!faults || name == FAULTS.0);
            let text = trace.to_string();
            prop_assert_eq!(text.parse::<Trace>(), Ok(trace), "{}", text);
        }
    }
}

/// The same byte repeated takes each branch to its end.
#[test]
fn every_byte_repeated_is_a_trace() {
    for byte in 0..=u8::MAX {
        for length in [0, 1, 2, 3, 7, 64, 5000] {
            for (_, decode, _) in [LOCKSTEP, FAULTS] {
                let trace = decode(&vec![byte; length]);
                assert!(trace.operations.len() <= 300);
            }
        }
    }
}

/// A breach is reported with the operations up to it. Known breaches serve as an example.
#[test]
#[should_panic(expected = "16K\nafter 1 operations:\n\nspace size=16K chunk=4K\na = alloc")]
fn a_finding_is_shown_with_its_trace() {
    let known = common::finding_trace("contiguous-ignores-alignment");
    let trace: Trace = known.parse().expect("a trace");
    judge::judge(&trace, true, Lockstep::alone::<KernelC>);
}
