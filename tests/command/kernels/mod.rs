//! Two kernels in one process, as a user runs them: `compare`, `torture --against` and
//! `replay --against`. The second kernel is a copy of the one that is compiled in, with
//! an edit of its `buddy.c`.

mod differences;
mod lifetimes;
mod printed;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::command_line::{assert_wrong_usage, command, text};
use crate::common::{self, edit_allocator, kernel_tree};
use gpu_buddy::diff::{KernelC, Space};
use gpu_buddy::module::Module;
use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

const ALLOCATOR: &str = "drivers/gpu/buddy.c";

/// Copies of the kernel's tree. All tests share a cache of compiled kernels.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a folder") }
    }

    /// The tree, with the first occurrence of a text in a function of `buddy.c` replaced.
    /// `None` if a later kernel lacks it.
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
        command.env("XDG_CACHE_HOME", crate::common::module_cache());
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

fn json(output: &Output) -> Value {
    let stdout = text(&output.stdout);
    serde_json::from_str(&stdout)
        .unwrap_or_else(|error| panic!("{error}: {stdout}{}", text(&output.stderr)))
}

/// Removes a check from `gpu_buddy_alloc_blocks`: where, the check, and what replaces it.
const CHECK: (&str, &str, &str) =
    ("int gpu_buddy_alloc_blocks", "!is_power_of_2(min_block_size)", "0");

/// Every kernel under vendor/linux prints its state, through printk or a printer of DRM's.
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

/// A generated trace has only what the kernel offers, and both kernels replay it.
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

/// A shrunk trace keeps the names of the file, whether it shows a difference or a crash.
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

#[rstest]
#[case::no_kernel(&["compare"], "required")]
#[case::no_such(&["compare", "no-such-tree", "also-none"], "no-such-tree")]
#[case::no_trace(&["compare", "vendor", "vendor", "missing.trace"], "vendor")]
fn wrong_usage_exits_2_and_says_why(#[case] arguments: &[&str], #[case] says: &str) {
    assert_wrong_usage(arguments, says);
}
