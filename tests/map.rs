//! `gpu-buddy map`, as a user runs it, on the kernel's C: what is drawn is what there is.

#[path = "common/command.rs"]
mod command_line;
mod common;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use command_line::{assert_wrong_usage, command, on_trace, prints, text};
use common::{copy_of_kernel, edit_allocator, not_found, project};
use gpu_buddy::diff::{KernelC, Lockstep, Settings, Trace};
use gpu_buddy::{BlockState, Snapshot};
use rstest::rstest;
use tempfile::TempDir;

/// The lowest chunks are at these places in any kernel.
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
    let pair = Lockstep::<KernelC, KernelC>::alone(trace.space, Settings::default());
    let mut pair = pair.expect("a kernel");
    trace.operations.iter().for_each(|operation| _ = pair.step(operation));
    pair.snapshot().expect("a state")
}

/// Bytes that are allocated, free and dirty, free and clear.
fn bytes(snapshot: &Snapshot) -> [u64; 3] {
    let mut bytes = [0; 3];
    for block in snapshot.leaves() {
        let state = match (block.state, block.clear) {
            (BlockState::Allocated, _) => 0,
            (_, false) => 1,
            (_, true) => 2,
        };
        bytes[state] += snapshot.block_size(block);
    }
    bytes
}

/// What the same states have of the map, in square pixels, and how many rectangles.
fn drawn(svg: &str) -> ([u64; 3], usize) {
    let map = svg.split_once("<g class=\"map\"").expect("a map").1;
    let map = map.split_once("Blocks by size").expect("its end").0;
    let mut areas = [0; 3];
    let mut count = 0;
    for (state, area) in ["allocated", "dirty", "clear"].iter().zip(&mut areas) {
        for group in map.split(&format!("<g class=\"{state}\"")).skip(1) {
            let data = group.split_once(" d=\"").expect("a path").1;
            let data = data.split('"').next().unwrap_or_default();
            for rectangle in data.split('z').filter(|rectangle| !rectangle.is_empty()) {
                let number = |after: char| -> u64 {
                    let digits = rectangle.split_once(after).expect(rectangle).1;
                    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
                    digits[..end].parse().expect(rectangle)
                };
                *area += number('h') * number('v');
                count += 1;
            }
        }
    }
    (areas, count)
}

fn random_trace(arguments: &[&str]) -> String {
    prints(&mut command(&[&["generate"], arguments].concat()))
}

/// Each block is a rectangle, and has its share of the map.
#[rstest]
#[case::rows("rows")]
#[case::hilbert("hilbert")]
fn areas_are_bytes(#[case] layout: &str) {
    let place = Place::new();
    let odd = SMALL.replace("size=64K", "size=76K");
    let random = random_trace(&["--size", "4M", "--ops", "301"]);
    for trace in [SMALL, &odd, &random] {
        let snapshot = snapshot(trace);
        let (areas, rectangles) = drawn(&place.svg(trace, &["--layout", layout]));
        assert_eq!(rectangles, snapshot.leaves().count(), "{trace}");
        let pixels: u64 = areas.iter().sum();
        for (area, bytes) in areas.into_iter().zip(bytes(&snapshot)) {
            assert_eq!(area * snapshot.size, bytes * pixels, "{areas:?} {trace}");
        }
    }
}

/// Of 16T, a single 4K is seen, and takes no more than its cell.
#[rstest]
#[case::rows("rows", 32 * 512)]
#[case::hilbert("hilbert", 128 * 128)]
fn small_blocks_of_a_large_space_are_added_up(#[case] layout: &str, #[case] cells: u64) {
    let trace = "\
space size=16T chunk=4K
large = alloc 4T range=0..4T
small = alloc 4K range=8T..8796093026304
free large cleared
again = alloc 1T range=0..1T
tiny = alloc 4K range=12T..13194139537408
";
    let place = Place::new();
    let svg = place.svg(trace, &["--layout", layout]);
    let (areas, _) = drawn(&svg);
    let pixels: u64 = areas.iter().sum();
    let cell = pixels / cells;
    let near = |area: u64, terabytes: u64| {
        let exact = pixels / 16 * terabytes;
        area.abs_diff(exact) <= 4 * cell && area != exact
    };
    assert!(near(areas[0], 1) && near(areas[1], 12), "{areas:?}");
    assert_eq!(areas[2], pixels / 16 * 3);
    for part in ["allocated: 1.00T in 3 blocks", "free, clear: 3T in", "15.0T free", "\n1T\n"] {
        assert!(svg.contains(part), "{part}\n{svg}");
    }

    // Of a random one, no state has more than its bytes and a part of each small cell.
    let trace = random_trace(&["--size", "16T", "--ops", "3001"]);
    let snapshot = snapshot(&trace);
    let (areas, _) = drawn(&place.svg(&trace, &["--layout", layout]));
    let pixels: u64 = areas.iter().sum();
    let small = snapshot.leaves().filter(|block| snapshot.block_size(block) < 1 << 30).count();
    for (area, bytes) in areas.into_iter().zip(bytes(&snapshot)) {
        let share = area as f64 / pixels as f64 - bytes as f64 / snapshot.size as f64;
        assert!(share.abs() <= small as f64 / cells as f64, "{areas:?}");
    }
}

const SMALL_AS_TEXT: &str = "\
some.trace, after operation 4 of 4 (line 5: free ring cleared)
64K in chunks of 4K, from 4G
36K free (56 %); largest free block 16K, longest free run 20K at 4194348K

4G |###############|...|---|-------|#######|###|---|---------------

## allocated: 28K in 3 blocks (44 %)
-- free, dirty: 32K in 4 blocks (50 %)
.. free, clear: 4K in 1 block (6.2 %)
a character is 1K; | begins a block of several
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
    // NO_COLOR is stronger than a terminal, and CLICOLOR_FORCE stands for one.
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
fn it_stops_where_it_is_told() {
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

/// A block has the name of the allocation that it is of now.
#[test]
fn labels_follow_the_blocks() {
    let mut trace = "space size=64K chunk=4K\n".to_owned();
    let all = |line: &dyn Fn(u64, String) -> String| {
        let range = |index: u64| format!("range={}K..{}K", 4 * index, 4 * index + 4);
        (0..14).map(|index| line(index, range(index))).collect::<String>()
    };
    trace += &all(&|index, range| format!("old{index} = alloc 4K {range}\n"));
    trace += &all(&|index, _| format!("free old{index}\n"));
    trace += "new = alloc 4K range=56K..60K\n";
    trace += &all(&|_, range| format!("new += alloc 4K {range}\n"));
    let place = Place::new();
    let svg = place.svg(&trace, &["--labels"]);
    assert_eq!(svg.matches("\nnew 4K\n").count(), 15, "{svg}");
    assert!(!svg.contains("\nold"), "{svg}");

    // Block by block, the list loses all but its last one.
    trace += &"free new[0]\n".repeat(14);
    trace += "other = alloc 8K range=56K..64K\ntrim other 4K\n";
    trace += &all(&|index, range| match index {
        13 => String::new(),
        _ => format!("last{index} = alloc 4K {range}\n"),
    });
    let svg = place.svg(&trace, &["--labels"]);
    for (label, count) in [("new 4K", 1), ("other 4K", 1), ("other 8K", 0), ("last0 4K", 1)] {
        assert_eq!(svg.matches(&format!("\n{label}\n")).count(), count, "{label}\n{svg}");
    }
}

#[test]
fn it_can_be_read_by_those_who_do_not_see_it() {
    let svg = Place::new().svg(SMALL, &[]);
    for part in [
        "role=\"img\"",
        "aria-labelledby=\"map-title map-desc\"",
        "<title id=\"map-title\">",
        "<desc id=\"map-desc\">",
        "prefers-color-scheme:dark",
        "url(#map-hatch)",
        "64K in chunks of 4K, from 4G",
    ] {
        assert!(svg.contains(part), "{part}\n{svg}");
    }
}

/// Names of files are text, not markup.
#[test]
fn the_title_is_escaped() {
    let place = Place::new();
    let (file, picture) = (place.path("a<b>&\"c.trace"), place.path("a.svg"));
    fs::write(&file, SMALL).expect("it is written");
    prints(command(&["map"]).arg(file).arg("-o").arg(&picture));
    let svg = fs::read_to_string(picture).expect("a picture");
    assert_eq!(svg.matches("a&lt;b&gt;&amp;\"c.trace").count(), 2, "{svg}");
}

/// After a BUG and after the end there is no state: the one before is shown.
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

    let tree = copy_of_kernel();
    let (after, from) = ("void gpu_buddy_reset_clear(", "\n{\n");
    if !edit_allocator(tree.path(), after, from, "\n{\n\tBUG_ON(mm->avail);\n") {
        return not_found("a reset that runs into a BUG", from);
    }
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
#[case::crash("*(volatile int *)0 = 0;", "crash: the process dies of signal 11 (SIGSEGV)")]
#[case::hang("for (;;) ;", "hang: a call of the C does not end")]
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

/// A copy of the kernel, with a statement at the beginning of a function.
fn with_statement(function: &str, statement: &str) -> Option<TempDir> {
    let tree = copy_of_kernel();
    let (from, to) = ("\n{\n", format!("\n{{\n\t{statement}\n"));
    edit_allocator(tree.path(), function, from, &to).then_some(tree)
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
    let says = "some.trace: the creation of the allocator: crash: the process dies of signal 11";
    assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
}

impl Place {
    /// It is drawn, and said on the standard output as well.
    fn svg_of_bug(&self, trace: &str, arguments: &[&str]) -> String {
        let file = self.path("bug.svg");
        let said = prints(self.map(trace, arguments).arg("-o").arg(&file));
        assert!(said.contains("stopped before operation 5"), "{said}");
        fs::read_to_string(file).expect("a picture")
    }
}

/// The picture in the documentation is what the command draws.
#[test]
fn the_documentation_has_this_picture() {
    let place = Place::new();
    let pictures = project().join("docs/pictures");
    let drawn = place.path("map.svg");
    let trace = pictures.join("map.trace");
    prints(command(&["map", "--labels", "-o"]).arg(&drawn).arg(&trace));
    let [drawn, kept] = [drawn, pictures.join("map.svg")].map(fs::read_to_string);
    assert!(
        drawn.expect("a picture") == kept.expect("a picture"),
        "draw docs/pictures/map.svg anew"
    );
    let page = fs::read_to_string(project().join("docs/pictures.md")).expect("a page");
    let text = prints(command(&["map"]).arg(&trace).env("COLUMNS", "80"));
    assert!(page.contains(&text), "docs/pictures.md lacks this:\n{text}");
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
        (&[file, "-o", "map.png"], "-o map.png: pictures are written as SVG only"),
        (&[file, "-o", "svg"], "has to end in .svg"),
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
