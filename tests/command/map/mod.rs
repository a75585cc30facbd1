//! `gpu-buddy map`, as a user runs it: it draws the true state of the kernel's C.

mod picture;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::command_line::{assert_wrong_usage, command, on_trace, prints, text};
use crate::common::{project, with_statement};
use gpu_buddy::diff::{KernelC, Lockstep, Settings, Trace};
use gpu_buddy::{BlockState, Snapshot};
use rstest::rstest;
use tempfile::TempDir;

/// Every kernel places these allocations alike.
const SMALL: &str = "\
space size=64K chunk=4K base=4G
scanout = alloc 16K range=0..16K
ring = alloc 4K range=16K..20K
fb = alloc 12K range=32K..44K
free ring cleared
";

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn map(&self, trace: &str, arguments: &[&str]) -> Command {
        let mut command = on_trace("map", trace, self.0.path());
        for variable in ["NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "COLUMNS"] {
            command.env_remove(variable);
        }
        command.args(arguments);
        command
    }

    fn svg(&self, trace: &str, arguments: &[&str]) -> String {
        let file = self.path("some.svg");
        let mut command = self.map(trace, arguments);
        prints(command.arg("-o").arg(&file));
        fs::read_to_string(file).expect("a picture")
    }
}

/// The state after a trace, without the command.
fn snapshot(trace: &str) -> Snapshot {
    let trace: Trace = trace.parse().expect("a trace");
    let pair = Lockstep::alone::<KernelC>(trace.space, Settings::default());
    let mut pair = pair.expect("a kernel");
    trace.operations.iter().for_each(|operation| _ = pair.step(operation));
    pair.snapshot().expect("a state")
}

fn random_trace(arguments: &[&str]) -> String {
    prints(&mut command(&[&["generate"], arguments].concat()))
}

const SMALL_AS_TEXT: &str = "\
some.trace, after operation 4 of 4 (line 5: free ring cleared)
64K in chunks of 4K, from 4G
36K free (56 %); largest free block 16K, longest free run 20K at 4194348K

4G |###############|...|---|-------|#######|###|---|---------------

## allocated: 28K in 3 blocks (44 %)
-- free, dirty: 32K in 4 blocks (50 %)
.. free, clear: 4K in 1 block (6.2 %)
a character is 1K; | begins a block of several characters
";

#[test]
fn a_pipe_gets_characters() {
    let place = Place::new();
    let expected = SMALL_AS_TEXT.replace("longest free run 20K at 4194348K", "LONGEST");
    let actual = prints(&mut place.map(SMALL, &[]));
    let run = snapshot(SMALL).longest_free_run();
    let run = format!(
        "longest free run {}K at {}K",
        (run.end - run.start) >> 10,
        (4 << 20) + (run.start >> 10)
    );
    assert_eq!(actual.replace(&run, "LONGEST"), expected);
    // CLICOLOR_FORCE stands for a terminal; NO_COLOR overrides it.
    let colours = prints(place.map(SMALL, &[]).env("CLICOLOR_FORCE", "1"));
    assert!(colours.contains("\x1b[") && colours.contains('╱') && !colours.contains('#'));
    let plain = prints(place.map(SMALL, &[]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1"));
    assert_eq!(plain, actual);
}

/// No line is longer than the terminal, and the map is more than half as wide.
#[rstest]
#[case::rows("rows")]
#[case::hilbert("hilbert")]
fn it_is_as_wide_as_the_terminal(#[case] layout: &str) {
    let place = Place::new();
    let trace = random_trace(&["--size", "64M", "--ops", "301"]);
    for columns in [30, 64, 80, 200] {
        let mut command = place.map(&trace, &["--layout", layout]);
        let output = prints(command.env("COLUMNS", columns.to_string()));
        let map = output.split("\n\n").nth(1).expect("a map");
        let widest = map.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        // A square is no higher than a screen.
        let most = if layout == "hilbert" { columns.min(128) } else { columns };
        assert!((most / 2..=columns).contains(&widest), "{columns}: {widest}\n{output}");
    }
}

#[test]
fn at_chooses_the_operation() {
    let place = Place::new();
    let at = |at: &str| prints(&mut place.map(SMALL, &["--at", at]));
    assert!(at("0").starts_with("some.trace, before the first operation\n"), "{}", at("0"));
    assert!(at("0").contains("allocated: none"));
    assert!(at("2").contains("after operation 2 of 4 (line 3: ring = alloc"), "{}", at("2"));
    assert!(at("2").contains("allocated: 20K in 2 blocks"));
    let svg = place.svg(SMALL, &["--at", "3", "--labels"]);
    for label in ["\nscanout 16K\n", "\nring 4K\n", "\nfb 8K\n", "\nfb 4K\n", "\n4G\n"] {
        assert!(svg.contains(label), "{label}\n{svg}");
    }
    assert!(!place.svg(SMALL, &["--at", "3"]).contains("scanout"));
}

/// After a BUG and after the teardown there is no state: the map shows the one before.
#[test]
fn it_says_why_it_stops() {
    let place = Place::new();
    let trace = format!("{SMALL}fini\nlast = alloc 4K\n");
    let output = prints(&mut place.map(&trace, &[]));
    assert!(output.contains("after operation 4 of 6"), "{output}");
    assert!(
        output.contains("stopped before operation 5 (line 6: fini): nothing is left after it"),
        "{output}"
    );

    let reset = "void gpu_buddy_reset_clear(";
    let Some(tree) = with_statement(reset, "BUG_ON(mm->avail);") else { return };
    let trace = format!("{SMALL}reset dirty\nlast = alloc 4K\n");
    let kernel = ["--kernel", tree.path().to_str().expect("UTF-8")];
    let output = prints(&mut place.map(&trace, &kernel));
    assert!(output.contains("after operation 4 of 6"), "{output}");
    assert!(output.contains("stopped before operation 5 (line 6: reset dirty): "), "{output}");
    assert!(output.contains("allocated: 28K in 3 blocks"), "{output}");
    assert!(output.contains("BUG"), "{output}");
    let svg = place.svg_of_bug(&trace, &kernel);
    assert!(svg.contains("stopped before operation 5"), "{svg}");
}

/// What kills the process that runs the trace is named, and the state before it is drawn.
#[rstest]
#[case::crash("*(volatile int *)0 = 0;", "crash: the process is killed by signal 11 (SIGSEGV)")]
#[case::hang("for (;;) ;", "hang: a call of the C does not return")]
fn a_call_that_is_not_survived_is_named(#[case] statement: &str, #[case] says: &str) {
    let place = Place::new();
    let Some(tree) = with_statement("void gpu_buddy_reset_clear(", statement) else { return };
    let trace = format!("{SMALL}reset dirty\nlast = alloc 4K\n");
    let kernel = ["--kernel", tree.path().to_str().expect("UTF-8"), "--patience", "0.5"];
    let output = prints(&mut place.map(&trace, &kernel));
    assert!(output.contains("after operation 4 of 6"), "{output}");
    let stopped = format!("stopped before operation 5 (line 6: reset dirty): {says}");
    assert!(output.contains(&stopped), "{output}");
    assert!(output.contains("allocated: 28K in 3 blocks"), "{output}");
    let svg = place.svg_of_bug(&trace, &kernel);
    assert!(svg.contains("stopped before operation 5"), "{svg}");
    // Before that call, nothing is wrong.
    let output = prints(&mut place.map(&trace, &[&kernel[..], &["--at", "4"]].concat()));
    assert!(!output.contains("stopped"), "{output}");
}

/// The teardown is no part of the picture. Without an allocator there is none.
#[test]
fn the_beginning_and_the_end_may_crash() {
    let place = Place::new();
    let crash = "*(volatile int *)0 = 0;";
    let Some(tree) = with_statement("void gpu_buddy_fini(", crash) else { return };
    let kernel = ["--kernel", tree.path().to_str().expect("UTF-8")];
    let output = prints(&mut place.map(SMALL, &kernel));
    assert!(output.contains("after operation 4 of 4") && !output.contains("crash"), "{output}");
    let Some(tree) = with_statement("int gpu_buddy_init(", crash) else { return };
    let output = place.map(SMALL, &["--kernel", tree.path().to_str().expect("UTF-8")]).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let says =
        "some.trace: the creation of the allocator: crash: the process is killed by signal 11";
    assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
}

impl Place {
    /// The picture; the standard output must say where it stopped, too.
    fn svg_of_bug(&self, trace: &str, arguments: &[&str]) -> String {
        let file = self.path("bug.svg");
        let said = prints(self.map(trace, arguments).arg("-o").arg(&file));
        assert!(said.contains("stopped before operation 5"), "{said}");
        fs::read_to_string(file).expect("a picture")
    }
}

#[test]
fn the_standard_input_is_a_trace() {
    let mut map = command(&["map", "-"]);
    let mut map = map
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    map.stdin.take().expect("a pipe").write_all(SMALL.as_bytes()).expect("it reads");
    let Output { status, stdout, .. } = map.wait_with_output().expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert!(text(&stdout).starts_with("standard input, after operation 4 of 4"));
}

#[test]
fn wrong_usage_says_what_to_do() {
    let place = Place::new();
    let file = place.path("some.trace");
    fs::write(&file, SMALL).expect("it is written");
    let file = file.to_str().expect("UTF-8");
    let nowhere = place.path("no/folder.svg");
    let nowhere = nowhere.to_str().expect("UTF-8");
    for (arguments, says) in [
        (&[file, "--at", "5"][..], "--at 5: the trace has only 4 operations"),
        (&[file, "--at", "x"], "--at"),
        (&[file, "-o", "map.png"], "-o map.png: only SVG is supported"),
        (&[file, "-o", "svg"], "must end in .svg"),
        (&[file, "-o", nowhere], "folder.svg: No such file"),
        (&[file, "--labels"], "--output"),
        (&[file, "--layout", "circle"], "hilbert"),
        (&["/nowhere.trace"], "/nowhere.trace: No such file"),
        (&[file, "--kernel", "/nowhere"], "/nowhere"),
    ] {
        assert_wrong_usage(&[&["map"], arguments].concat(), says);
    }
    let wrong = place.path("wrong.trace");
    fs::write(&wrong, "space size=1K chunk=4K\n").expect("it is written");
    assert_wrong_usage(&["map", wrong.to_str().expect("UTF-8")], "wrong.trace: ");
}
