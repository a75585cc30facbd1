//! `gpu-buddy torture`, `replay` and `generate`, as a user runs them.

use std::fs;
use std::io::{BufRead, BufReader, Write, pipe};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::command_line::{assert_wrong_usage, command, finding_file, run, text};
use rstest::rstest;
use serde_json::Value;

/// Returns the output of a command, which must pass.
fn passes(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(arguments);
    assert!(status.success(), "{arguments:?}: {status}\n{}{}", text(&stdout), text(&stderr));
    text(&stdout)
}

fn json(output: &str) -> Value {
    serde_json::from_str(output).unwrap_or_else(|error| panic!("{error}: {output}"))
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let output =
            passes(&["torture", "--json", "--ops", "20000", "--threads", "2", "--seed", seed]);
        let mut object = json(&output);
        for measured in ["seconds", "operations_per_second"] {
            assert!(object[measured].is_number(), "{object}");
            object[measured] = Value::Null;
        }
        object
    };
    assert_eq!(run("7"), run("7"));
    assert_ne!(run("7")["coverage"], run("8")["coverage"]);
}

/// Each field that the help names is there, and no other.
#[test]
fn the_help_names_the_fields_of_the_object() {
    let help = passes(&["torture", "--help"]);
    let (_, fields) = help.split_once("The object of --json has: ").expect("in the help");
    let (run, failure) = fields.split_once("each with: ").expect("in the help");
    let (failure, _) = failure.split_once(". ").expect("in the help");
    // Parentheses contain explanations; `and` and `failures` are no fields here.
    let mut documented: Vec<_> = run
        .split(&['(', ')'])
        .step_by(2)
        .flat_map(|part| part.split(|c: char| c == ',' || c.is_whitespace()))
        .filter(|word| !["", "and"].contains(word))
        .collect();
    documented.sort_unstable();
    let object = json(&passes(&["torture", "--json", "--ops", "100"]));
    let mut fields: Vec<_> = object.as_object().expect("one").keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(documented, fields);

    let out = tempfile::tempdir().expect("a folder");
    let out = out.path().to_str().expect("UTF-8");
    let output = run_strict(out, &["--json"]);
    let object = json(&text(&output.stdout));
    let mut documented: Vec<_> =
        failure.split(|c: char| c == ',' || c.is_whitespace()).filter(|w| !w.is_empty()).collect();
    documented.sort_unstable();
    let failure = object["failures"][0].as_object().expect("one");
    let mut fields: Vec<_> = failure.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(documented, fields);
}

/// A run that fails, because known breaches count as failures.
fn run_strict(out: &str, further: &[&str]) -> Output {
    let arguments = ["torture", "--strict", "--seed", "1", "--ops", "100000", "--out", out];
    let output = run(&[&arguments[..], further].concat());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    output
}

#[test]
fn a_failure_comes_with_the_command_that_replays_it() {
    let out = tempfile::tempdir().expect("a folder");
    let output = text(&run_strict(out.path().to_str().expect("UTF-8"), &[]).stdout);
    let (_, replay) = output.split_once("replay it: gpu-buddy ").expect(&output);
    let replay: Vec<_> = replay.lines().next().expect("a line").split(' ').collect();
    let output = run(&replay);
    assert_eq!(output.status.code(), Some(1), "{replay:?}");
    assert!(text(&output.stdout).contains("\n  ** "), "{}", text(&output.stdout));
    // Otherwise known breaches are no failures.
    let file = replay.last().expect("the file");
    let output = passes(&["replay", file]);
    assert!(output.contains("\n  known: "), "{output}");
}

/// The verdict comes first: what broke, a short trace, and how to see it again.
#[test]
fn a_failure_is_told_in_fifteen_lines() {
    let out = tempfile::tempdir().expect("a folder");
    let output = run_strict(&out.path().display().to_string(), &[]);
    let stdout = text(&output.stdout);
    assert!(stdout.lines().count() <= 15, "{stdout}");
    assert!(!stdout.contains("never seen"), "{stdout}");
    let output = run_strict(&out.path().display().to_string(), &["--coverage"]);
    let stdout = text(&output.stdout);
    assert!(stdout.contains("never seen:") && stdout.contains("\nknown:"), "{stdout}");
}

/// A trace with failing memory is not compared with the reference model, whose memory does not fail.
#[test]
fn a_trace_with_faults_finds_its_judge() {
    let output = passes(&["replay", &finding_file("enospc-hides-enomem")]);
    assert!(!output.contains("**"), "{output}");
}

#[test]
fn threads_may_share_an_allocator() {
    let object =
        json(&passes(&["torture", "--json", "--threads", "4", "--shared", "--ops", "30000"]));
    assert!(object["operations"].as_u64() >= Some(30_000), "{object}");
    assert!(object["coverage"]["free, dirty"].as_u64() > Some(0), "{object}");
}

#[rstest]
#[case::interrupt("INT", "interrupted")]
#[case::terminate("TERM", "interrupted")]
#[case::no_supervisor("KILL", "interrupted")]
fn a_signal_ends_it_with_a_summary(#[case] signal: &str, #[case] says: &str) {
    let mut child = command(&["torture", "--seconds", "600"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    // The work has begun.
    assert!(lines.next().expect("a line").expect("UTF-8").starts_with("seed "));
    sleep(Duration::from_millis(300));
    let started = Instant::now();
    let killed = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    // The output ends when the last process does.
    let last = lines.map(|line| line.expect("UTF-8")).last().expect("a summary");
    assert!(last.ends_with(says), "{last}");
    assert!(started.elapsed() < Duration::from_secs(60));
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), (signal != "KILL").then_some(130));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let output = command(&["replay", &finding_file("top-down-fallback")]).stdout(writer).output();
    let output = output.expect("the command runs");
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)));
}

#[rstest]
#[case::no_folder(&["torture", "--out", "/nonexistent"], "no such folder")]
#[case::size_below_chunk(&["torture", "--size", "1K"], "--size")]
#[case::chunk_of_no_power(&["torture", "--size", "1M", "--chunk", "5K"], "--chunk")]
#[case::chunk_alone(&["torture", "--chunk", "4K"], "--size")]
#[case::rate_above_1(&["torture", "--faults", "2"], "from 0 to 1")]
#[case::faults_of_the_model(&["torture", "--faults", "0.1", "--against", "reference"], "contract")]
#[case::nobody_to_share(&["torture", "--shared"], "--threads 2")]
#[case::both_limits(&["torture", "--ops", "1", "--seconds", "1"], "--seconds")]
#[case::no_operations(&["torture", "--ops", "0"], "--ops")]
#[case::no_trace(&["replay", "/nonexistent.trace"], "/nonexistent.trace")]
#[case::plain_and_strict(&["replay", "--plain", "--strict", "-"], "--strict")]
fn wrong_usage_exits_2_and_says_why(#[case] arguments: &[&str], #[case] says: &str) {
    assert_wrong_usage(arguments, says);
}

#[test]
fn a_malformed_trace_says_where_it_is() {
    let mut child = command(&["replay", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"space size=1M chunk=4K\na = alloc 4Q\n").expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("line 2, column 11"), "{stderr}");
}

#[test]
fn a_generated_trace_replays() {
    let trace = passes(&["generate", "--seed", "3", "--ops", "200", "--size", "1M"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("random.trace");
    fs::write(&file, &trace).expect("a file");
    let replay = |further: &[&str], file: &Path| {
        passes(&[&["replay", file.to_str().expect("UTF-8")], further].concat())
    };
    let plain = replay(&["--plain"], &file);
    // A line for each operation, besides the comments.
    assert_eq!(plain.lines().count(), trace.lines().filter(|line| !line.starts_with('#')).count());
    assert!(replay(&[], &file).lines().count() >= plain.lines().count());
}

/// A load works with every way to run, and makes its driver's requests: only amdgpu requests
/// clear memory.
#[rstest]
#[case(&["--load", "xe"])]
#[case(&["--load", "nova", "--faults", "0.01"])]
#[case(&["--load", "amdgpu", "--threads", "2", "--shared"])]
#[case(&["--load", "amdgpu", "--against", "contract", "--size", "64M"])]
fn a_load_goes_with_each_way_to_run(#[case] arguments: &[&str]) {
    let usual = ["torture", "--json", "--ops", "8000", "--seed", "4"];
    let object = json(&passes(&[&usual, arguments].concat()));
    let coverage = object["coverage"].as_object().expect("one");
    let met: Vec<_> = coverage.iter().filter(|kind| kind.1.as_u64() > Some(0)).collect();
    let has = |word| met.iter().any(|(kind, _)| kind.contains(word));
    assert!(has("contiguous: done"), "{met:?}");
    assert_eq!(has("clear: done"), arguments.contains(&"amdgpu"), "{met:?}");
    assert_eq!(has("fail-nth"), arguments.contains(&"--faults"), "{met:?}");
}

#[test]
fn a_trace_of_a_load_is_of_a_card() {
    let trace = passes(&["generate", "--load", "xe", "--ops", "50"]);
    assert!(trace.starts_with("space size=16G chunk=4K\n"), "{trace}");
    assert_eq!(trace.lines().count(), 51);
    let small = passes(&["generate", "--load", "xe", "--ops", "50", "--size", "1G"]);
    assert!(small.starts_with("space size=1G chunk=4K\n"), "{small}");
    let says = "choose one of xe, amdgpu, nova";
    assert_wrong_usage(&["generate", "--load", "radeon"], says);
    assert_wrong_usage(&["torture", "--load", "radeon"], says);
}
