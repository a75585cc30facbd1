//! Two kernels in one process, as a user runs them: `compare`, `torture --against` and
//! `replay --against`. The second kernel is a copy of the one that is compiled in, with
//! an edit of its `buddy.c`.

#[path = "common/command.rs"]
mod command_line;
mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use command_line::{assert_wrong_usage, command, text};
use common::{edit_allocator, kernel_tree};
use gpu_buddy::diff::{KernelC, Space};
use gpu_buddy::module::Module;
use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

const ALLOCATOR: &str = "drivers/gpu/buddy.c";

/// Copies of the kernel's tree, and a place for what is compiled, which all tests share.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a folder") }
    }

    /// The tree, with a text of `buddy.c` replaced where it comes first in a function. A
    /// later kernel may not have it any more.
    fn tree(&self, name: &str, function: &str, text: &str, by: &str) -> Option<PathBuf> {
        let tree = self.folder.path().join(name);
        copy(&kernel_tree(), &tree);
        edit_allocator(&tree, function, text, by).then_some(tree)
    }

    /// The tree with another text, but the same code.
    fn same(&self) -> PathBuf {
        let tree = self.tree("same", "#include", "#include", "/* A comment. */\n#include");
        tree.expect("it includes something")
    }

    fn run(&self, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
        self.command(arguments).output().expect("it runs")
    }

    fn command(&self, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Command {
        let mut command = command(&[]);
        command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("modules"));
        command.current_dir(self.folder.path());
        arguments.iter().for_each(|argument| _ = command.arg(argument));
        command
    }
}

/// Copies the C of a tree.
fn copy(from: &Path, to: &Path) {
    for folder in ["drivers/gpu", "drivers/gpu/tests", "include/linux", "lib"] {
        fs::create_dir_all(to.join(folder)).expect("a folder");
        for entry in from.join(folder).read_dir().expect("a folder") {
            let path = entry.expect("an entry").path();
            let wanted = path.extension().is_some_and(|ending| ending == "c" || ending == "h");
            let name = path.file_name().expect("a name");
            // A whole kernel tree may have been compiled in.
            let is_ours = ["buddy", "rbtree", "random"]
                .iter()
                .any(|part| name.to_string_lossy().contains(part));
            if wanted && is_ours {
                fs::copy(&path, to.join(folder).join(name)).expect("it is copied");
            }
        }
    }
}

fn text_of(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

fn json(output: &Output) -> Value {
    let stdout = text(&output.stdout);
    serde_json::from_str(&stdout)
        .unwrap_or_else(|error| panic!("{error}: {stdout}{}", text(&output.stderr)))
}

/// A check that `gpu_buddy_alloc_blocks` makes, and that is lost.
const CHECK: (&str, &str, &str) =
    ("int gpu_buddy_alloc_blocks", "!is_power_of_2(min_block_size)", "0");

#[test]
fn the_same_code_gives_the_same_answers() {
    let place = Place::new();
    let output = place.run(&[
        &"compare",
        &place.same(),
        &kernel_tree(),
        &"--seconds",
        &"2",
        &"--seed",
        &"1",
    ]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}{}", text(&output.stderr));
    assert!(stdout.contains("give the same answers"), "{stdout}");
    assert!(stdout.contains("seed 1: "), "{stdout}");
}

/// What a base breaks as well is no failure, and takes no list; what it does not is new, and
/// the other way round it is fixed.
#[test]
fn a_base_tells_what_is_new_and_what_is_fixed() {
    let place = Place::new();
    let base = kernel_tree();
    let torture = |kernel: &Path, against: &Path| {
        place.run(&[
            &"torture",
            &"--kernel",
            &kernel,
            &"--against",
            &against,
            &"--json",
            &"--ops",
            &"100000",
            &"--seed",
            &"1",
        ])
    };
    let same = json(&torture(&place.same(), &base));
    assert_eq!(same["passed"], true, "{same}");
    assert!(same["in_base"]["aligned"].as_u64() > Some(0), "{same}");
    assert_eq!(same["fixed"], serde_json::json!({}), "{same}");
    assert_eq!(same["known"], serde_json::json!({}), "{same}");

    let Some(lost) = place.tree("lost", CHECK.0, CHECK.1, CHECK.2) else { return };
    let differences = |kernel: &Path, base: &Path| {
        let output = place.run(&[&"compare", &kernel, &base, &"--json", &"--seconds", &"5"]);
        json(&output)["differences"].as_array().expect("an array").clone()
    };
    let has = |differences: &[Value], which: &str| {
        let promises = differences.iter().flat_map(|found| found[which].as_array().expect("one"));
        promises.clone().any(|promise| promise == "refuses-invalid")
    };
    let (worse, better) = (differences(&lost, &base), differences(&base, &lost));
    assert!(has(&worse, "new") && !has(&worse, "fixed"), "{worse:?}");
    assert!(has(&better, "fixed") && !has(&better, "new"), "{better:?}");
}

/// What the safe API refuses before the C does is under test as well.
#[test]
fn a_lost_check_is_a_difference() {
    let place = Place::new();
    let Some(tree) = place.tree("lost", CHECK.0, CHECK.1, CHECK.2) else { return };
    let output = place.run(&[&"compare", &tree, &kernel_tree(), &"--json", &"--seconds", &"5"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let object = json(&output);
    let differences = object["differences"].as_array().expect("an array");
    let of_check = differences
        .iter()
        .find(|difference| difference["base"] == "EINVAL")
        .unwrap_or_else(|| panic!("{object}"));
    let trace = of_check["trace"].as_str().expect("a text");
    assert!(trace.lines().count() <= 4, "{trace}");

    // Its trace shows it again, in all three ways.
    let file = place.folder.path().join("short.trace");
    fs::write(&file, trace).expect("it is written");
    let again = place.run(&[&"compare", &tree, &kernel_tree(), &file]);
    assert_eq!(again.status.code(), Some(1), "{}", text(&again.stdout));
    assert!(text(&again.stdout).contains("EINVAL"), "{}", text(&again.stdout));
    let replay = place.run(&[&"replay", &"--kernel", &tree, &"--against", &kernel_tree(), &file]);
    assert_eq!(replay.status.code(), Some(1));
    assert!(text(&replay.stdout).contains("the reference: EINVAL"), "{}", text(&replay.stdout));
    let contract = place.run(&[&"replay", &"--kernel", &tree, &"--against", &"contract", &file]);
    assert_eq!(contract.status.code(), Some(1));
    assert!(text(&contract.stdout).contains("refuses-invalid"), "{}", text(&contract.stdout));
}

/// A crash, or a call that does not end, is a difference with a trace like any other, and
/// what was found beside it is not lost.
#[rstest]
#[case::crash("*(volatile int *)8 = 0;", "crash")]
#[case::hang("for (;;) ;", "hang")]
fn what_kills_the_process_is_a_difference(#[case] by: &str, #[case] says: &str) {
    let place = Place::new();
    let function = "int gpu_buddy_block_trim";
    let tree = place.tree(
        "deadly",
        function,
        "if (new_size > gpu_buddy_block_size(mm, block))",
        &format!("if (new_size == 3 * mm->chunk_size) {by} if (new_size > gpu_buddy_block_size(mm, block))"),
    );
    let Some(tree) = tree else { return };
    let output = place.run(&[
        &"compare",
        &tree,
        &kernel_tree(),
        &"--json",
        &"--seconds",
        &"3",
        &"--seed",
        &"5",
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let object = json(&output);
    let differences = object["differences"].as_array().expect("an array");
    let death = differences.iter().find(|difference| difference["base"].is_null());
    let death = death.unwrap_or_else(|| panic!("{object}"));
    assert!(death["kernel"].as_str().expect("a text").starts_with(says), "{death}");
    let trace = death["trace"].as_str().expect("a text");
    assert!(trace.lines().count() <= 5, "{trace}");
}

/// A BUG has file, line and condition wherever it is told.
#[test]
fn a_bug_is_told_with_its_place() {
    let place = Place::new();
    let function = "int gpu_buddy_block_trim";
    let text_of_c = "if (new_size > gpu_buddy_block_size(mm, block))";
    let by = format!("BUG_ON(new_size == 3 * mm->chunk_size); {text_of_c}");
    let Some(tree) = place.tree("bug", function, text_of_c, &by) else { return };
    let bug = "kernel BUG at drivers/gpu/buddy.c:";
    let condition = "new_size == 3 * mm->chunk_size";
    let file = place.folder.path().join("bug.trace");
    fs::write(&file, "space size=64K chunk=4K\na = alloc 16K\ntrim a 12K\n")
        .expect("it is written");
    for options in [&["--against", "contract"][..], &["--plain"], &["--against", "reference"]] {
        let mut command = place.command(&[&"replay", &"--kernel", &tree, &file]);
        let output = command.args(options).output().expect("it runs");
        let stdout = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{options:?}: {stdout}");
        assert!(stdout.contains(bug) && stdout.contains(condition), "{options:?}: {stdout}");
    }
    let compared = place.run(&[&"compare", &tree, &kernel_tree(), &file]);
    assert!(text(&compared.stdout).contains(bug), "{}", text(&compared.stdout));
    let out = place.folder.path();
    let output = place.run(&[
        &"torture",
        &"--kernel",
        &tree,
        &"--seconds",
        &"10",
        &"--json",
        &"--out",
        &out,
    ]);
    let finding = &json(&output)["failures"][0]["finding"];
    let finding = finding.as_str().expect("a text");
    assert!(finding.contains(bug) && finding.contains(condition), "{finding}");
}

/// A module whose init function does not succeed is told of, once and for all.
#[test]
fn a_module_that_does_not_start_is_a_finding() {
    let place = Place::new();
    let text_of_c = "slab_blocks = KMEM_CACHE";
    let by = "BUG_ON(!slab_blocks); slab_blocks = KMEM_CACHE";
    let Some(tree) = place.tree("no-start", "gpu_buddy_module_init", text_of_c, by) else { return };
    let kunit = place.run(&[&"kunit", &"--kernel", &tree]);
    assert_eq!(kunit.status.code(), Some(1), "{}", text(&kunit.stderr));
    assert!(text(&kunit.stdout).contains("kernel BUG at drivers/gpu/buddy.c:"));
    let out = place.folder.path();
    let torture = place.run(&[&"torture", &"--kernel", &tree, &"--ops", &"1000", &"--out", &out]);
    assert_eq!(torture.status.code(), Some(1), "{}", text(&torture.stdout));
}

/// Every kernel there is prints its state, through printk or a printer of DRM's.
#[test]
fn every_kernel_prints_its_state() {
    let mut printed = 0;
    for entry in common::project().join("vendor/linux").read_dir().expect("a folder") {
        let tree = entry.expect("an entry").path();
        let module = Module::open(&tree).unwrap_or_else(|error| panic!("{error}"));
        let allocator = KernelC::new(module, Space::new(64 << 10, 4 << 10));
        let lines = allocator.expect("a space").print();
        let text: Vec<_> = lines.iter().map(ToString::to_string).collect();
        // A line for the space, and one for each of the orders 0 to 4.
        assert_eq!(text.len(), 6, "{}: {text:?}", tree.display());
        assert!(text[0].starts_with("chunk_size: 4KiB"), "{}: {text:?}", tree.display());
        printed += 1;
    }
    assert!(printed > 0 || !kernel_tree().starts_with(common::project()));
}

/// Torture has the C print its state now and then, and holds the figures against that.
#[rstest]
#[case::blocks("gpu_buddy_print(", "mm->free_scoreboard[order]", "mm->used_scoreboard[order]")]
#[case::bytes("gpu_buddy_print(", "free >> 10", "free >> 9")]
#[case::totals("gpu_buddy_print(", "mm->avail >> 20", "(mm->avail >> 20) + 1")]
#[case::block("gpu_buddy_block_print(", "start + size", "start + 2 * size")]
#[case::bug("gpu_buddy_print(", "int order;", "int order; BUG_ON(mm->avail != mm->size);")]
fn what_is_printed_wrongly_is_found(#[case] function: &str, #[case] text: &str, #[case] by: &str) {
    let place = Place::new();
    let Some(tree) = place.tree("prints", function, text, by) else { return };
    let output = place.run(&[
        &"torture",
        &"--kernel",
        &tree,
        &"--ops",
        &"20000",
        &"--seed",
        &"1",
        &"--json",
    ]);
    let object = json(&output);
    let found = &object["failures"][0];
    let finding = found["finding"].as_str().unwrap_or_else(|| panic!("{object}"));
    let promise = if by.contains("BUG") { "no-bug: " } else { "printed: " };
    assert!(finding.starts_with(promise), "{object}");
    assert!(found["shrunk_to"].as_u64() < Some(4), "{object}");
    // The same is shown by a replay, at the call after which it is printed.
    fs::write(place.folder.path().join("a.trace"), found["trace"].as_str().expect("a trace"))
        .expect("it is written");
    let replay = place.run(&[&"replay", &"--kernel", &tree, &"a.trace"]);
    assert_eq!(replay.status.code(), Some(1), "{}", text_of(&replay));
    assert!(text_of(&replay).contains(&format!("** {promise}")), "{}", text_of(&replay));
}

/// Nothing promises the words.
#[test]
fn another_text_is_no_finding() {
    let place = Place::new();
    let (text, by) = ("\"chunk_size: %lluKiB, total: %lluMiB,", "\"chunks of %llu, %llu in all:");
    let Some(tree) = place.tree("words", "gpu_buddy_print(", text, by) else { return };
    let output = place.run(&[&"torture", &"--kernel", &tree, &"--ops", &"20000", &"--seed", &"1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
}

/// A space that only one of the two takes.
#[test]
fn a_difference_in_creation_is_a_finding() {
    let place = Place::new();
    let tree = place.tree(
        "choosy",
        "int gpu_buddy_init",
        "if (size < chunk_size)",
        "if (size < chunk_size || size == 12 * chunk_size)",
    );
    let Some(tree) = tree else { return };
    let (size, chunk) = ("48K", "4K");
    let (base, out) = (kernel_tree(), place.folder.path());
    let output = place.run(&[
        &"torture",
        &"--kernel",
        &tree,
        &"--against",
        &base,
        &"--size",
        &size,
        &"--chunk",
        &chunk,
        &"--ops",
        &"1000",
        &"--seed",
        &"1",
        &"--out",
        &out,
    ]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}{}", text(&output.stderr));
    assert!(stdout.contains("divergence in creation: EINVAL"), "{stdout}");
    let file = out.join("gpu-buddy-1-0.trace");
    let trace = fs::read_to_string(&file).expect("a trace");
    assert!(trace.ends_with("space size=48K chunk=4K\n"), "{trace}");
    let replay = place.run(&[&"replay", &"--kernel", &tree, &"--against", &base, &file]);
    assert_eq!(replay.status.code(), Some(1));
    // Alone it is a valid space that is refused.
    let alone = place.run(&[&"replay", &"--kernel", &tree, &"--against", &"contract", &file]);
    assert_eq!(alone.status.code(), Some(1), "{}", text(&alone.stderr));
    assert!(text(&alone.stdout).contains("valid-arguments"), "{}", text(&alone.stdout));
}

/// The teardown is judged in the state that an allocator happens to be in.
#[rstest]
#[case::leak("kfree(mm->roots);", ";", "nothing-leaked: the teardown left 1 objects behind")]
#[case::no_merge(
    "__force_merge(mm, start, start + size, order);",
    ";",
    "no-warning: WARNING at drivers"
)]
#[case::wrong_root(
    "start = gpu_buddy_block_offset(mm->roots[i]);",
    "start = 0;",
    "no-warning: WARNING at drivers"
)]
fn a_teardown_that_goes_wrong_is_a_finding(
    #[case] text_of_c: &str,
    #[case] by: &str,
    #[case] says: &str,
) {
    let place = Place::new();
    let Some(tree) = place.tree("teardown", "void gpu_buddy_fini", text_of_c, by) else { return };
    let out = place.folder.path();
    let output = place.run(&[
        &"torture",
        &"--kernel",
        &tree,
        &"--seconds",
        &"20",
        &"--out",
        &out,
        &"--seed",
        &"3",
    ]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}{}", text(&output.stderr));
    assert!(stdout.contains(says), "{stdout}");
    let trace = fs::read_to_string(out.join("gpu-buddy-3-0.trace")).expect("a trace");
    // The comment and the space come before the operations.
    assert!(trace.lines().count() <= 2 + 10, "{trace}");
}

/// Tearing down what is in use warns and leaks, as in the kernel, and is no finding. One
/// that is silent is.
#[test]
fn a_teardown_of_what_is_in_use_has_to_warn() {
    let place = Place::new();
    let file = place.folder.path().join("in-use.trace");
    fs::write(&file, "space size=16K chunk=4K\na = alloc 4K\nfini\nfree a\n")
        .expect("it is written");
    let usual = place.run(&[&"replay", &"--kernel", &kernel_tree(), &file]);
    assert_eq!(usual.status.code(), Some(0), "{}", text(&usual.stdout));
    assert!(text(&usual.stdout).contains("free a  -> nothing to do"));

    let silent = "if (0) gpu_buddy_assert(";
    let Some(tree) = place.tree("silent", "void gpu_buddy_fini", "gpu_buddy_assert(", silent)
    else {
        return;
    };
    let file_of_c = tree.join(ALLOCATOR);
    let source = fs::read_to_string(&file_of_c).expect("the allocator");
    let (head, fini) = source.split_at(source.find("void gpu_buddy_fini").expect("it is there"));
    let (fini, tail) = fini.split_at(fini.find("EXPORT_SYMBOL").expect("it ends"));
    let fini = fini.replace(silent, "gpu_buddy_assert(").replace("gpu_buddy_assert(", silent);
    fs::write(&file_of_c, format!("{head}{fini}{tail}")).expect("it is written");
    let replay = place.run(&[&"replay", &"--kernel", &tree, &file]);
    assert_eq!(replay.status.code(), Some(1), "{}", text(&replay.stdout));
    assert!(text(&replay.stdout).contains("teardown-warns"), "{}", text(&replay.stdout));
}

#[rstest]
#[case::threads(&["--threads", "2"])]
#[case::shared(&["--threads", "3", "--shared"])]
#[case::faults(&["--faults", "0.02"])]
fn kernels_go_in_lockstep(#[case] options: &[&str]) {
    let place = Place::new();
    let (tree, base) = (place.same(), kernel_tree());
    let mut command = place.command(&[
        &"torture",
        &"--kernel",
        &tree,
        &"--against",
        &base,
        &"--ops",
        &"60000",
        &"--json",
    ]);
    let output = command.args(options).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(json(&output)["operations"].as_u64() >= Some(50_000));
}

/// The trace is one of what the kernel offers, and both take it.
#[test]
fn a_trace_is_generated_for_a_kernel() {
    let place = Place::new();
    let tree = place.same();
    let output = place.run(&[&"generate", &"--kernel", &tree, &"--ops", &"200"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let file = place.folder.path().join("random.trace");
    fs::write(&file, &output.stdout).expect("it is written");
    let compared = place.run(&[&"compare", &tree, &kernel_tree(), &file]);
    assert_eq!(compared.status.code(), Some(0), "{}", text(&compared.stdout));
    assert!(text(&compared.stdout).contains("traces replayed: 1"));
}

/// A shorter trace has the names of the file, whether it shows a difference or a crash.
#[test]
fn a_shorter_trace_keeps_the_names() {
    let place = Place::new();
    let file = place.folder.path().join("named.trace");
    let trace = "# By hand.\nspace size=64K chunk=4K\nfirst = alloc 8K\nring = alloc 4K\n\
                 scanout = alloc 8K align=12K # no power of two\nfree ring\n";
    fs::write(&file, trace).expect("it is written");
    let crash = "!is_power_of_2(min_block_size) && (*(volatile int *)8 = 1)";
    for (name, by) in [("lost", CHECK.2), ("crash", crash)] {
        let Some(tree) = place.tree(name, CHECK.0, CHECK.1, by) else { return };
        let output = place.run(&[&"compare", &tree, &kernel_tree(), &file]);
        let stdout = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{stdout}{}", text(&output.stderr));
        assert!(stdout.contains("    scanout = alloc "), "{stdout}");
        assert!(!stdout.contains("ring") && !stdout.contains("first"), "{stdout}");
    }
}

#[test]
fn a_signal_ends_a_comparison_with_what_was_found() {
    let place = Place::new();
    let Some(tree) = place.tree("lost", CHECK.0, CHECK.1, CHECK.2) else { return };
    let mut child = place
        .command(&[&"compare", &tree, &kernel_tree(), &"--seconds", &"600"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    std::thread::sleep(Duration::from_secs(4));
    let killed = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    let stdout = child.stdout.take().expect("a pipe");
    let last = BufReader::new(stdout).lines().map(|line| line.expect("UTF-8")).last();
    assert!(last.as_ref().is_some_and(|last| last.ends_with("interrupted")), "{last:?}");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
}

#[rstest]
#[case::no_kernel(&["compare"], "required")]
#[case::no_such(&["compare", "no-such-tree", "also-none"], "no-such-tree")]
#[case::no_trace(&["compare", "vendor", "vendor", "missing.trace"], "vendor")]
fn wrong_usage_exits_2_and_says_why(#[case] arguments: &[&str], #[case] says: &str) {
    assert_wrong_usage(arguments, says);
}
