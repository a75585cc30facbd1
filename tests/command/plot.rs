//! `gpu-buddy plot`, as a user runs it, on the kernel's C: its numbers are those of the
//! states, however long the trace is.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::command_line::{assert_wrong_usage, command, on_trace, prints};
use crate::common::with_statement;
use gpu_buddy::Snapshot;
use gpu_buddy::diff::{KernelC, Lockstep, Settings, Trace, format_size};
use rstest::rstest;
use tempfile::TempDir;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn plot(&self, trace: &str, arguments: &[&str]) -> Command {
        let mut command = on_trace("plot", trace, self.0.path());
        command.env("COLUMNS", "100").args(arguments);
        command
    }

    fn svg(&self, trace: &str) -> String {
        let file = self.path("some.svg");
        prints(self.plot(trace, &[]).arg("-o").arg(&file));
        fs::read_to_string(file).expect("a picture")
    }
}

/// The state after each operation, the first one before all of them.
fn snapshots(trace: &str) -> Vec<Snapshot> {
    let trace: Trace = trace.parse().expect("a trace");
    let pair = Lockstep::alone::<KernelC>(trace.space, Settings::default());
    let mut pair = pair.expect("a kernel");
    let mut snapshots = vec![pair.snapshot().expect("a state")];
    for operation in &trace.operations {
        pair.step(operation);
        snapshots.push(pair.snapshot().expect("a state"));
    }
    snapshots
}

/// The smallest, the largest and the last value of a line.
fn numbers(output: &str, name: &str) -> [String; 3] {
    let line = output.lines().find(|line| line.starts_with(&format!("{name} ")));
    let line = line.unwrap_or_else(|| panic!("{name}\n{output}")).replace(" %", "%");
    let numbers: Vec<_> = line.split_whitespace().rev().take(3).map(str::to_owned).collect();
    let [end, most, least] = numbers.try_into().expect("three numbers");
    [least, most, end]
}

fn expected(
    of: impl Fn(&Snapshot) -> u64,
    snapshots: &[Snapshot],
    write: fn(u64) -> String,
) -> [String; 3] {
    let values: Vec<_> = snapshots.iter().map(of).collect();
    let [least, most] = [values.iter().min(), values.iter().max()].map(|it| *it.expect("a state"));
    [least, most, values[values.len() - 1]].map(write)
}

/// Eight chunks of 32, every other one.
fn holes() -> String {
    let mut trace = "space size=2M chunk=4K\n".to_owned();
    for index in 0..8 {
        writeln!(trace, "x{index} = alloc 4K range={}K..{}K", 8 * index, 8 * index + 4).unwrap();
    }
    trace + "large = alloc 1M range=1M..2M\nfree large cleared\nfree x3\n"
}

#[test]
fn the_numbers_are_those_of_the_states() {
    let trace = holes();
    let snapshots = snapshots(&trace);
    let output = prints(&mut Place::new().plot(&trace, &[]));
    let size = |bytes| format_size(bytes);
    let run = |snapshot: &Snapshot| {
        let run = snapshot.longest_free_run();
        run.end - run.start
    };
    let order = |order: usize| move |snapshot: &Snapshot| snapshot.statistics()[order].free();
    let allocated = |snapshot: &Snapshot| snapshot.statistics()[0].allocated;
    let count = |count: u64| count.to_string();
    for (name, expected) in [
        ("free", expected(|it| it.avail, &snapshots, size)),
        ("free, clear", expected(|it| it.clear_avail, &snapshots, size)),
        ("largest free block", expected(Snapshot::largest_free_block, &snapshots, size)),
        ("longest free run", expected(run, &snapshots, size)),
        ("free blocks of 4K", expected(order(0), &snapshots, count)),
        ("free blocks of 2M", expected(order(9), &snapshots, count)),
        ("allocated blocks of 4K", expected(allocated, &snapshots, count)),
    ] {
        assert_eq!(numbers(&output, name), expected, "{name}\n{output}");
    }
    // At the end, 2020K are free: 1M in the largest block, 36K in blocks below 64K.
    let free = snapshots[snapshots.len() - 1].avail;
    assert_eq!(free, 2020 << 10);
    assert_eq!(numbers(&output, "free, outside the largest")[2], "49%", "{output}");
    assert_eq!(numbers(&output, "free, in blocks below 64K")[2], "2%", "{output}");
    assert_eq!(numbers(&output, "free, in blocks below 2M"), ["0%", "100%", "100%"], "{output}");
    let [least, most, _] = numbers(&output, "steps of a call (log)");
    assert!(least.parse::<u64>().unwrap() < most.parse::<u64>().unwrap(), "{output}");
    assert!(!output.contains("the tree is read every"), "{output}");
    // No line is longer than the terminal.
    assert!(output.lines().all(|line| line.chars().count() <= 100), "{output}");
    assert!(!output.contains('\x1b'));
}

/// Nothing is free: no request can be met.
#[test]
fn a_full_space_is_fragmented() {
    let trace = "space size=1M chunk=4K\na = alloc 1M\n";
    let output = prints(&mut Place::new().plot(trace, &[]));
    assert_eq!(numbers(&output, "free, outside the largest"), ["0%", "100%", "100%"]);
    assert_eq!(numbers(&output, "free, in blocks below 64K"), ["0%", "100%", "100%"]);
    // No block can have 2M.
    assert!(!output.contains("below 2M"), "{output}");
}

#[test]
fn the_picture_has_all_lines_and_two_themes() {
    let place = Place::new();
    let svg = place.svg(&holes());
    for part in [
        "role=\"img\"",
        "<title id=\"plot-title\">",
        "prefers-color-scheme:dark",
        "some.trace, 11 operations",
        "longest free run",
        "in blocks below 64K",
        "Free blocks by size",
        "Steps of the most expensive call",
        "1536K",
    ] {
        assert!(svg.contains(part), "{part}\n{svg}");
    }
    // Each colour has its counterpart in the other scheme.
    let style =
        svg.split_once("<style>").expect("a style").1.split_once("</style>").expect("its end");
    let dark = style.0.split_once("dark").expect("a theme").1;
    for attribute in ["fill", "stroke"] {
        for colour in style.1.split(&format!("{attribute}=\"#")).skip(1) {
            let rule = format!("[{attribute}='#{}']", &colour[..6]);
            assert!(dark.contains(&rule), "{rule}");
        }
    }
    // Four lines of memory, three of the index, and the steps; besides those of the axes.
    for (colour, lines) in
        [("C97B00", 1), ("009E73", 1), ("8E4EC6", 1), ("40464D", 2), ("D55E00", 1), ("017AA8", 1)]
    {
        // One more is in the legend.
        let drawn = style.1.matches(&format!("stroke=\"#{colour}\"")).count();
        assert_eq!(drawn, 2 * lines, "{colour}\n{svg}");
    }
}

/// 10,000 calls, among thousands of blocks.
#[test]
fn a_long_trace_takes_seconds() {
    let mut trace = "space size=256M chunk=4K\n".to_owned();
    for index in 0..5000 {
        writeln!(trace, "x{index} = alloc 4K range={}K..{}K", 8 * index, 8 * index + 4).unwrap();
    }
    for index in 0..5000 {
        writeln!(trace, "free x{index}").unwrap();
    }
    let place = Place::new();
    let begin = Instant::now();
    let svg = place.svg(&trace);
    // Each state would be 100 million blocks, which is a minute.
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert!((20_000..1_000_000).contains(&svg.len()), "{}", svg.len());
    let output = prints(&mut place.plot(&trace, &[]));
    assert!(output.contains("the tree is read every "), "{output}");
    assert_eq!(
        numbers(&output, "free"),
        ["236.5M", "256M", "256M"]
            .map(|it| { if it == "236.5M" { "236M".to_owned() } else { it.to_owned() } })
    );
    // Sampled, but never without the last state.
    assert_eq!(numbers(&output, "largest free block")[2], "256M", "{output}");
    assert_eq!(numbers(&output, "allocated blocks of 4K")[2], "0", "{output}");
}

#[test]
fn it_stops_before_a_bug() {
    let place = Place::new();
    let reset = "void gpu_buddy_reset_clear(";
    let Some(tree) = with_statement(reset, "BUG_ON(mm->avail);") else { return };
    let trace = "space size=1M chunk=4K\na = alloc 256K\nreset dirty\nb = alloc 512K\n";
    let kernel = ["--kernel", tree.path().to_str().expect("UTF-8")];
    let output = prints(&mut place.plot(trace, &kernel));
    assert!(output.contains("stopped before operation 2 (line 3: reset dirty): "), "{output}");
    assert_eq!(numbers(&output, "free"), ["768K", "1M", "768K"], "{output}");
}

/// The numbers are those before the call that kills the process which runs the trace.
#[rstest]
#[case::crash("*(volatile int *)0 = 0;", "crash: the process is killed by signal 11 (SIGSEGV)")]
#[case::hang("for (;;) ;", "hang: a call of the C does not return")]
fn it_stops_before_a_call_that_is_not_survived(#[case] statement: &str, #[case] says: &str) {
    let place = Place::new();
    let Some(tree) = with_statement("void gpu_buddy_reset_clear(", statement) else { return };
    let trace = "space size=1M chunk=4K\na = alloc 256K\nreset dirty\nb = alloc 512K\n";
    let kernel = ["--kernel", tree.path().to_str().expect("UTF-8"), "--patience", "0.5"];
    let output = prints(&mut place.plot(trace, &kernel));
    let stopped = format!("stopped before operation 2 (line 3: reset dirty): {says}");
    assert!(output.contains(&stopped), "{output}");
    assert_eq!(numbers(&output, "free"), ["768K", "1M", "768K"], "{output}");
}

/// Failing memory is part of an episode, and is drawn like any other.
#[test]
fn an_episode_with_failing_memory_is_drawn() {
    let place = Place::new();
    let episode = ["generate", "--seed", "3", "--ops", "2000", "--faults", "0.05"];
    let trace = prints(&mut command(&episode));
    let faults = trace.lines().filter(|line| line.starts_with("fail-nth ")).count();
    assert!((20..500).contains(&faults), "{faults}");
    assert!(!prints(&mut command(&episode[..5])).contains("fail-nth"));
    let output = prints(&mut place.plot(&trace, &[]));
    assert!(output.starts_with("some.trace, 2000 operations; 64M in chunks of 4K\n"), "{output}");
    let map = prints(&mut on_trace("map", &trace, place.0.path()));
    assert!(map.starts_with("some.trace, after operation "), "{map}");
    for (rate, says) in [("2", "from 0 to 1"), ("x", "from 0 to 1")] {
        assert_wrong_usage(&["generate", "--faults", rate], says);
    }
}

#[test]
fn a_random_trace_goes_through_a_pipe() {
    let generate =
        command(&["generate", "--seed", "6", "--ops", "2000"]).stdout(Stdio::piped()).spawn();
    let mut generate = generate.expect("it runs");
    let mut plot = command(&["plot", "-"]);
    let output = prints(plot.stdin(generate.stdout.take().expect("a pipe")));
    assert!(generate.wait().expect("it ends").success());
    assert!(
        output.starts_with("standard input, 2000 operations; 64M in chunks of 4K\n"),
        "{output}"
    );
    // It ends with a teardown, before which there is a state.
    assert_ne!(numbers(&output, "free")[2], "0", "{output}");
}

#[test]
fn wrong_usage_says_what_to_do() {
    let place = Place::new();
    let file = place.path("some.trace");
    let mut written = fs::File::create(&file).expect("a file");
    written.write_all(b"space size=1M chunk=4K\n").expect("it is written");
    let file = file.to_str().expect("UTF-8");
    for (arguments, says) in [
        (&[file, "-o", "plot.pdf"][..], "-o plot.pdf: only SVG is supported"),
        (&["/nowhere.trace"], "/nowhere.trace: No such file"),
        (&[file, "--kernel", "/nowhere"], "/nowhere"),
    ] {
        assert_wrong_usage(&[&["plot"], arguments].concat(), says);
    }
    // A trace without operations has one state.
    let output = prints(&mut command(&["plot", file]));
    assert_eq!(numbers(&output, "free"), ["1M", "1M", "1M"].map(str::to_owned), "{output}");
}
