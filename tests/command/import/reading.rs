//! What is read as a recording, and what the command says of it.

use std::fs;

use crate::command_line::{assert_wrong_usage, run, text};
use gpu_buddy::diff::recording::Recording;
use gpu_buddy::diff::{Space, Trace};
use rstest::rstest;

use super::{called, difference, import, joined, operations, random, record, record_beside};

/// bpftrace wrote it while this crate's C ran `calls.trace`.
#[test]
fn a_recording_of_bpftrace_is_read() {
    let imported = import(include_str!("../../recordings/calls.recording"));
    let trace: Trace = include_str!("../../recordings/calls.trace").parse().unwrap();
    assert_eq!(operations(&imported.trace), operations(&trace));
    let is_modelled = gpu_buddy::diff::reference::Reference::models(
        gpu_buddy::module::Module::compiled_in().features(),
    );
    if is_modelled {
        assert_eq!(difference(&imported), None);
    }
}

#[rstest]
#[case("free 1 2 0x3\n", "line 1: expected the address of a list, found the end of the line")]
#[case("\nalloc 1 2 0x3 0x4 0x0 0 x", "line 2: expected the end of the range, found 'x'")]
#[case("fini 1 2 0x3 4\n", "line 1: expected the end of the line, found '4'")]
#[case("reset 1 2 0x3 2\n", "line 1: expected 0 for dirty or 1 for clear, found '2'")]
#[case("init 1 2 0x3 4096 4096 7\n", "expected 0 or a negative error number, found '7'")]
#[case("gpu-buddy-recording 2\n", "line 1: expected version 1 of the recording, found '2'")]
#[case("space size=16M chunk=4K\n", "line 1: expected a line of contrib/record.bt")]
#[case("\u{7f}ELF\u{1}\u{fffd}\n", "found '\\u{7f}ELF\\u{1}\u{fffd}'")]
fn what_is_no_recording_is_named_with_its_line(#[case] text: &str, #[case] says: &str) {
    // Only the last line may be cut off.
    let text = format!("{text}\nfini 9 9 0x3\n");
    let error = text.parse::<Recording>().expect_err("none").to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn what_bpftrace_says_and_a_line_that_was_cut_off_are_passed_over() {
    let text = "Attaching 13 probes...\ninit 1 2 0x3 1048576 4096 0\n\nLost 12 events\n\
                block 1 2 0x4 0x400\n@busy[7]: 1\nreset 5 2 0x3 1\nalloc 6 2 0x3 0x9 0x";
    let recording: Recording = text.parse().unwrap();
    // 12 that bpftrace names, a block without its call, and the last line.
    assert_eq!(recording.lost(), 14);
    assert_eq!(recording.allocators()[0].calls, 2);
}

/// The free of the first list is lost. Its block is used again by another list before the
/// first list is.
#[test]
fn a_block_that_was_used_again_belongs_to_its_new_list() {
    let text = "init 1 2 0x3 1048576 4096 0\n\
                alloc 2 2 0x3 0x10 0x0 0 0 4096 4096 0x0 0\nblock 2 2 0x40 0x400\n\
                alloc 3 2 0x3 0x20 0x0 0 0 4096 4096 0x0 0\nblock 3 2 0x40 0x1400\n\
                alloc 4 2 0x3 0x10 0x0 0 0 4096 4096 0x0 0\nblock 4 2 0x50 0x2400\n\
                free-block 5 2 0x3 0x40 0x1400\n";
    let imported = text.parse::<Recording>().unwrap().import(0, Space::new(1 << 20, 4 << 10));
    let trace = "space size=1M chunk=4K\na = alloc 4K\nb = alloc 4K\nfree a\nc = alloc 4K\n\
                 free b[0]\n";
    assert_eq!(imported.trace.to_string(), trace);
    assert_eq!((imported.skipped.presumed, imported.skipped.blocks), (1, 0));
}

#[test]
fn the_command_says_what_it_has_and_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().expect("UTF-8").to_owned()
    };
    let one = file("one", &joined(&record(&called(&random(1)), 1, 100)));
    let output = run(&["import", &one]);
    assert!(output.status.success());
    assert!(text(&output.stdout).starts_with("space size=64M chunk=4K\n"));
    assert!(text(&output.stderr).contains("64M at 0x"), "{}", text(&output.stderr));

    let trace = folder.path().join("one.trace");
    let written = run(&["import", &one, "-o", trace.to_str().unwrap()]);
    assert!(written.stdout.is_empty() && written.status.success());
    assert_eq!(fs::read_to_string(&trace).unwrap(), text(&output.stdout));
    let replayed = run(&["replay", trace.to_str().unwrap()]);
    assert!(replayed.status.success(), "{}", text(&replayed.stdout));

    let both = record_beside(&[called(&random(1)), called(&random(2))]);
    let both = file("both", &joined(both.iter().flatten()));
    assert_wrong_usage(&["import", &both], "--allocator 2: 64M at 0x");
    assert_wrong_usage(&["import", &both, "--allocator", "3"], "there is no allocator 3\n");
    assert!(run(&["import", &both, "--allocator", "2"]).status.success());

    let middle = file("middle", "reset 1 2 0x3 1\n");
    assert_wrong_usage(&["import", &middle], "for example --size 16G");
    let output = run(&["import", &middle, "--size", "1G"]);
    assert!(text(&output.stdout).ends_with("space size=1G chunk=4K\nreset clear  # 0.000000 s\n"));
    assert!(text(&output.stderr).contains("created before the recording"));

    assert_wrong_usage(&["import", &one, "--size", "1G"], "leave out --size");
    assert_wrong_usage(&["import", &file("empty", "")], "no call of an allocator was recorded");
    assert_wrong_usage(&["import", "/nowhere"], "/nowhere: No such file");
    let script = run(&["import", "--script"]);
    assert_eq!(text(&script.stdout), include_str!("../../../contrib/record.bt"));
}
