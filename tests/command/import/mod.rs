//! Recordings of a running kernel become traces with the same blocks: whole recordings, some that
//! begin in the middle, and some with lost lines.

mod reading;
mod recorder;
mod script;

use gpu_buddy::diff::recording::{Imported, RecordedOutcome, Recording, Skipped};
use gpu_buddy::diff::{
    Capability, KernelC, Load, Lockstep, Operation, Outcome, Settings, Space, Trace,
};
use recorder::Recorder;
use rstest::rstest;

const SPACE: Space = Space::new(64 << 20, 4 << 10);

/// A trace with every kind of recorded call, with sizes that the C takes.
fn random(seed: u64) -> Trace {
    let capabilities = !(Capability::FailNth | Capability::Fini | Capability::BlockAt);
    Trace::random(seed, SPACE, capabilities, 600)
}

fn record(trace: &Trace, thread: u64, most_blocks: usize) -> Vec<(u64, String)> {
    let mut recorder = Recorder::new(trace.space, thread, most_blocks);
    recorder.apply_all(trace);
    std::mem::take(&mut recorder.calls)
}

/// Records each trace in its own thread, on allocators that all exist at once: one that is made
/// after another is gone may get its address.
fn record_beside<const N: usize>(traces: &[Trace; N]) -> [Vec<(u64, String)>; N] {
    let mut recorders = core::array::from_fn::<_, N, _>(|thread| {
        Recorder::new(traces[thread].space, thread as u64, 100)
    });
    recorders.iter_mut().zip(traces).for_each(|(recorder, trace)| recorder.apply_all(trace));
    recorders.each_mut().map(|recorder| std::mem::take(&mut recorder.calls))
}

fn joined<'a>(calls: impl IntoIterator<Item = &'a (u64, String)>) -> String {
    calls.into_iter().map(|call| call.1.as_str()).collect()
}

fn import(text: &str) -> Imported {
    let recording: Recording = text.parse().unwrap_or_else(|error| panic!("{error}"));
    let about = &recording.allocators()[0];
    recording.import(0, about.space.unwrap_or(SPACE))
}

/// Runs the trace on the C. Returns the first answer that is not the recorded one.
fn difference(imported: &Imported) -> Option<String> {
    let mut pair = Lockstep::alone::<KernelC>(imported.trace.space, Settings::default()).unwrap();
    for (operation, (_, recorded)) in imported.trace.operations.iter().zip(&imported.outcomes) {
        let outcome = pair.step(operation).outcome;
        let same = match recorded {
            RecordedOutcome::Blocks { blocks, more } => {
                let given = pair.blocks();
                let given = if *more { &given[..blocks.len()] } else { given };
                outcome == Outcome::Done && given == blocks
            }
            RecordedOutcome::Failed(errno) => outcome == Outcome::Failed(*errno),
            _ => true,
        };
        if !same {
            return Some(format!("{operation}: {recorded:?}, {outcome:?} {:?}", pair.blocks()));
        }
    }
    None
}

/// The operations that are recorded and have an effect.
fn operations(trace: &Trace) -> Vec<String> {
    let written = trace.to_string();
    written.lines().map(str::to_owned).collect()
}

/// The trace without operations that do not call the C.
fn called(trace: &Trace) -> Trace {
    let mut pair = Lockstep::alone::<KernelC>(trace.space, Settings::default()).unwrap();
    let mut operations = Vec::new();
    for operation in &trace.operations {
        if pair.step(operation).outcome != Outcome::Skipped {
            operations.push(operation.clone());
        }
    }
    Trace { space: trace.space, operations }
}

#[rstest]
fn a_whole_recording_is_the_trace_that_was_run(#[values(100, 1)] most_blocks: usize) {
    for load in Load::ALL {
        let trace = load.trace(5, Space::new(1 << 30, 4 << 10), 3000);
        let imported = import(&joined(&record(&trace, 7, most_blocks)));
        assert!(imported.is_whole);
        assert_eq!(imported.skipped, Skipped::default());
        assert_eq!(operations(&imported.trace), operations(&called(&trace)));
        assert_eq!(difference(&imported), None);
    }
}

/// Odd requests, single blocks freed, allocations that grow, and trims: the same blocks.
#[test]
fn every_kind_of_call_gives_the_same_blocks() {
    let (mut blocks, mut trims, mut failed) = (0, 0, 0);
    for seed in 1..=20 {
        let mut trace = random(seed);
        // The generator makes none of these.
        let grown = trace.operations.iter().find_map(Operation::allocation).expect("one");
        let request = gpu_buddy::AllocRequest {
            size: 20 << 10,
            min_block_size: 4 << 10,
            ..Default::default()
        };
        trace.operations.insert(40, Operation::AllocOnto { id: grown, request });
        // Operations that the C does not survive are skipped.
        let trace = called(&trace);
        let imported = import(&joined(&record(&trace, 3, 100)));
        assert_eq!(difference(&imported), None, "seed {seed}");
        assert_eq!(imported.skipped, Skipped::default(), "seed {seed}");
        for (operation, (_, outcome)) in imported.trace.operations.iter().zip(&imported.outcomes) {
            blocks += usize::from(matches!(operation, Operation::FreeBlock { .. }));
            trims += usize::from(matches!(operation, Operation::Trim { .. }));
            failed += usize::from(matches!(outcome, RecordedOutcome::Failed(_)));
        }
    }
    assert!(blocks > 50 && trims > 50 && failed > 50, "{blocks} {trims} {failed}");
}

/// Each processor writes its lines in order; lines of several are in any order.
#[test]
fn allocators_and_threads_are_told_apart() {
    let traces = [random(1), random(2), random(3)].map(|trace| called(&trace));
    let recordings = record_beside(&traces);
    let mut text = String::from("Attaching 13 probes...\ngpu-buddy-recording 1\n");
    let parts = recordings.each_ref().map(|calls| calls.chunks(50).collect::<Vec<_>>());
    for index in 0..parts.iter().map(Vec::len).max().unwrap() {
        for part in parts.iter().rev() {
            text += &joined(part.get(index).copied().unwrap_or_default());
        }
    }
    let recording: Recording = text.parse().unwrap();
    assert_eq!(recording.allocators().len(), 3);
    for (index, about) in recording.allocators().iter().enumerate() {
        assert!(about.is_whole);
        let imported = recording.import(index, about.space.unwrap());
        assert_eq!(difference(&imported), None);
    }
    // Later calls of an allocator may come first, from another processor.
    let backwards: Vec<_> = recordings[0].rchunks(50).map(joined).collect();
    let imported = import(&backwards.concat());
    assert!(imported.is_whole);
    assert_eq!(difference(&imported), None);
    // A new allocator at the address of an old one is another allocator.
    let again = recordings[0].iter().map(|call| call.1.clone()).collect::<String>();
    let mm = again.split_whitespace().nth(3).unwrap();
    let reused = format!("{again}fini 9000000 0 {mm}\ninit 9000001 0 {mm} 1048576 4096 0\n");
    let recording: Recording = reused.parse().unwrap();
    let sizes = recording.allocators().iter().map(|about| about.space.unwrap().size);
    assert_eq!(sizes.collect::<Vec<_>>(), [64 << 20, 1 << 20]);
}

#[test]
fn a_recording_that_begins_in_the_middle_counts_what_is_unknown() {
    let trace = Load::Amdgpu.trace(9, Load::Amdgpu.space(), 3000);
    let calls = record(&trace, 7, 100);
    let text = joined(&calls[1500..]);
    let recording: Recording = text.parse().unwrap();
    let about = &recording.allocators()[0];
    assert!(!about.is_whole);
    // As drivers request memory anywhere.
    assert_eq!(about.space, Some(Load::Amdgpu.space()));
    let imported = recording.import(0, about.space.unwrap());
    assert!(imported.skipped.frees > 20, "{:?}", imported.skipped);
    assert_eq!(imported.skipped.presumed, 0);
    // It is a trace that can be read, and that the C takes.
    let text = imported.to_string();
    assert!(text.starts_with("# The recording begins in the middle"), "{text}");
    assert!(text.contains("frees of unknown lists skipped"));
    let read: Trace = text.parse().unwrap();
    assert_eq!(operations(&read), operations(&imported.trace));
    // As many lines are imported or counted as were recorded.
    let allocs = |text: &str| text.lines().filter(|line| line.starts_with("alloc ")).count();
    let is_alloc = |operation: &&Operation| matches!(operation, Operation::Alloc { .. });
    let imported = imported.trace.operations.iter().filter(is_alloc).count();
    assert_eq!(imported, allocs(&joined(&calls[1500..])));
}

/// One line in eleven is missing: no two allocations of the trace ever have the same memory
/// in the recording, and the trace can be read.
#[test]
fn lost_lines_leave_a_trace_of_what_is_left() {
    let mut presumed = 0;
    for seed in 1..=8 {
        let trace = called(&random(seed));
        let calls = record(&trace, 7, 100);
        let kept = calls.iter().enumerate().filter(|(index, _)| (index + seed as usize) % 11 != 5);
        let text = joined(kept.map(|kept| kept.1));
        let imported = import(&text);
        presumed += imported.skipped.presumed;
        let read: Trace = imported.to_string().parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(operations(&read), operations(&imported.trace));
        assert!(imported.trace.operations.len() > trace.operations.len() * 7 / 10);
        assert_no_overlap(&imported);
    }
    assert!(presumed > 50, "{presumed}");
}

fn assert_no_overlap(imported: &Imported) {
    let mut alive = std::collections::BTreeMap::new();
    let chunk_size = imported.trace.space.chunk_size;
    for (operation, (_, outcome)) in imported.trace.operations.iter().zip(&imported.outcomes) {
        match (operation, outcome) {
            (Operation::Free { id, .. }, _) => drop(alive.remove(id)),
            // The index counts the remaining blocks, so the whole allocation is freed here.
            (Operation::FreeBlock { id, .. }, _) => drop(alive.remove(id)),
            (operation, RecordedOutcome::Blocks { blocks, .. }) => {
                let id = operation.allocation().expect("one");
                alive.remove(&id);
                for block in blocks {
                    let end = block.offset + block.size(chunk_size);
                    let taken = alive.iter().find(|(_, others)| {
                        let others: &Vec<gpu_buddy::diff::Block> = others;
                        others.iter().any(|other| {
                            other.offset < end
                                && block.offset < other.offset + other.size(chunk_size)
                        })
                    });
                    assert_eq!(taken, None, "{operation}: {block}");
                }
                alive.insert(id, blocks.clone());
            }
            _ => {}
        }
    }
}

/// A list's address is used again while lines are lost; blocks are moved to another list.
#[test]
fn an_allocation_is_known_by_its_blocks() {
    let begin = "init 1 7 0x3 1048576 4096 0\n\
                 alloc 2 7 0x3 0x90 0x0 0 0 8192 4096 0x0 0\nblock 2 7 0x100 0xfe401\n\
                 alloc 3 7 0x3 0xa0 0x0 0 0 12288 4096 0x0 0\nblock 3 7 0x200 0xfa401\n\
                 block 3 7 0x300 0xfd400\n";
    let imported = |end: &str| import(&format!("{begin}{end}"));
    let last = |imported: &Imported| {
        imported.trace.to_string().lines().skip(3).collect::<Vec<_>>().join(", ")
    };

    let reused = imported("free 4 7 0x3 0x90 0x500 0x500 0x10\n");
    assert_eq!(last(&reused), "free a");
    assert_eq!((reused.skipped.frees, reused.skipped.presumed), (1, 1));

    let moved = imported("free 4 7 0x3 0xb0 0x200 0x300 0x10\n");
    assert_eq!(last(&moved), "free b cleared");
    let one = imported("free 4 7 0x3 0xb0 0x300 0x300 0x0\nfree 5 7 0x3 0xa0 0x200 0x200 0x0\n");
    assert_eq!(last(&one), "free b[1], free b");
    let joined = imported("free 4 7 0x3 0xb0 0x100 0x200 0x0\n");
    assert_eq!(last(&joined), "free a, free b[0]");
    for imported in [moved, one, joined] {
        assert_eq!(imported.skipped, Skipped::default());
    }
}
