//! `gpu-buddy check`, as a user runs it.

mod readers;
mod sources;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::command_line::{command, text};
use crate::common::{self, copy_of_kernel, edit_allocator, kernel_tree};
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const ALLOCATOR: &str = "drivers/gpu/buddy.c";

/// A tree that a test changes, and a folder for temporary files, which must be empty at the end.
struct Place {
    tree: TempDir,
    temporary: TempDir,
}

impl Place {
    fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a folder");
        Self { tree: copy_of_kernel(), temporary }
    }

    /// A tree with a text of the allocator replaced, if it is there.
    fn with(after: &str, from: &str, to: &str) -> Option<Self> {
        let place = Self::new();
        place.edit(after, from, to).then_some(place)
    }

    fn path(&self) -> &Path {
        self.tree.path()
    }

    fn file(&self) -> PathBuf {
        self.path().join(ALLOCATOR)
    }

    /// Replaces the first occurrence of a text after another.
    fn edit(&self, after: &str, from: &str, to: &str) -> bool {
        edit_allocator(self.path(), after, from, to)
    }

    fn git(&self, arguments: &[&str]) {
        let status = Command::new("git")
            .current_dir(self.path())
            .args(["-c", "user.name=A", "-c", "user.email=a@b"])
            .args(arguments)
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("git").success(), "git {arguments:?}");
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "."]);
        self.git(&["commit", "-qm", message]);
    }

    fn command(&self, arguments: &[&dyn AsRef<OsStr>]) -> Command {
        let mut command = command(&["check"]);
        command.env("XDG_CACHE_HOME", crate::common::module_cache());
        command.env("TMPDIR", self.temporary.path());
        arguments.iter().for_each(|argument| _ = command.arg(argument));
        command
    }

    /// Runs the check. It must leave nothing behind, whatever the verdict.
    fn check(&self, arguments: &[&dyn AsRef<OsStr>]) -> Output {
        let output = self.command(arguments).output().expect("it runs");
        self.assert_clean();
        output
    }

    fn assert_clean(&self) {
        let left: Vec<_> = self.temporary.path().read_dir().expect("a folder").collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// Checks the tree against the original.
    fn report(&self) -> (Option<i32>, Value) {
        let (tree, base) = (self.path(), kernel_tree());
        let output = self.check(&[&tree, &"--base", &base, &"--quick", &"--seed", &"1", &"--json"]);
        let stderr = text(&output.stderr);
        let report = serde_json::from_slice(&output.stdout);
        (output.status.code(), report.unwrap_or_else(|error| panic!("{error}: {stderr}")))
    }
}

/// The blocks of an allocation come in another order, which nothing promises.
fn with_another_order() -> Option<Place> {
    let text = "list_add_tail(&block->link, &allocated)";
    Place::with("gpu_buddy_alloc_blocks(struct", text, &text.replace("_tail", ""))
}

fn mark<'a>(report: &'a Value, part: &str) -> &'a str {
    let steps = report["steps"].as_array().expect("a list");
    let step = steps.iter().find(|step| step["part"] == part);
    step.and_then(|step| step["mark"].as_str()).unwrap_or_else(|| panic!("{part}: {report:#}"))
}

fn findings<'a>(report: &'a Value, relation: &str) -> Vec<&'a Value> {
    let findings = report["findings"].as_array().expect("a list");
    findings.iter().filter(|found| found["relation"] == relation).collect()
}

#[test]
fn the_same_files_behave_the_same() {
    let place = Place::new();
    let output = place.check(&[&place.path(), &"--base", &kernel_tree()]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    assert!(stdout.contains("same behaviour: the files of the allocator are the same"), "{stdout}");
}

/// Although it shifts all lines after it, whose numbers are in BUGs and WARNs.
#[test]
fn a_comment_is_no_change() {
    let place = Place::new();
    assert!(place.edit("", "#include", "/* A comment,\n * of two lines. */\n#include"));
    let (code, report) = place.report();
    assert_eq!((code, &report["verdict"]), (Some(0), &"same_behaviour".into()), "{report:#}");
    assert_eq!(report["sentence"], "same behaviour: the object code is the same");
}

#[test]
fn another_answer_is_a_change_and_breaks_nothing() {
    let Some(place) = with_another_order() else { return };
    let (code, report) = place.report();
    let verdict = (code, &report["verdict"]);
    assert_eq!(verdict, (Some(0), &"behaviour_changes".into()), "{report:#}");
    assert_eq!(mark(&report, "lockstep"), "changed");
    let different = findings(&report, "different");
    let found = different.first().expect("a difference");
    assert!(found["trace"].as_str().expect("a trace").contains("alloc"), "{found:#}");
    assert_eq!(found["lines"].as_array().map(Vec::len), Some(2), "{found:#}");
    assert_eq!(mark(&report, "coverage"), "passed", "{report:#}");
}

/// Also lines of a function that an optimising compiler inlines.
#[test]
fn each_changed_line_is_counted() {
    let text = "needs_clear != gpu_buddy_block_is_clear(block)";
    let Some(place) = Place::with("block_incompatible(", text, &text.replace("!=", "==")) else {
        return;
    };
    let (_, report) = place.report();
    let steps = report["steps"].as_array().expect("a list");
    let step = steps.iter().find(|step| step["part"] == "coverage").expect("a step");
    let summary = step["summary"].as_str().expect("a sentence");
    assert!(summary.starts_with("1 of 1 changed lines executed"), "{report:#}");
}

#[test]
fn a_lost_promise_is_new_with_its_trace() {
    let Some(place) = Place::with("__gpu_buddy_free(", "!gpu_buddy_block_is_free(buddy)", "1")
    else {
        return;
    };
    let (tree, base) = (place.path(), kernel_tree());
    let output = place.check(&[&tree, &"--base", &base, &"--quick", &"--seed", &"1"]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    let begin = stdout.find("1. NEW: ").unwrap_or_else(|| panic!("{stdout}"));
    assert!(stdout[begin..].contains("space size="), "it has a trace: {stdout}");
    assert!(stdout.contains("breaks a promise"), "{stdout}");
    assert!(stdout.contains("--seed 1 repeats it"), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "a pipe has no colours: {stdout}");
}

/// Undefined behaviour that changes no answer.
#[rstest]
#[case::use_after_free("\tif (READ_HEADER(buddy) == 1) return 0;\n", "heap-use-after-free")]
#[case::shift(
    "\tif (((u64)1 << (*(volatile u32 *)&mm->n_roots * 0 + 64)) == 3) return 0;\n",
    "a shift by too many"
)]
fn undefined_behaviour_is_found(#[case] statement: &str, #[case] says: &str) {
    let statement = statement.replace("READ_HEADER(buddy)", "*(volatile u64 *)&buddy->header");
    let after = "gpu_block_free(mm, buddy);\n";
    let Some(place) = Place::with("__gpu_buddy_free(", after, &format!("{after}{statement}"))
    else {
        return;
    };
    let (code, report) = place.report();
    if mark(&report, "undefined_behaviour") == "not_run" {
        common::not_tested("undefined behaviour", "the compiler has no sanitizers");
        return;
    }
    assert_eq!(code, Some(1), "{report:#}");
    assert_eq!(mark(&report, "undefined_behaviour"), "failed", "{report:#}");
    let new = findings(&report, "new");
    let found = new.iter().find(|found| found["part"] == "undefined_behaviour");
    let line = found.and_then(|found| found["lines"][0].as_str()).unwrap_or_default();
    assert!(line.contains(says) && line.contains("buddy.c:"), "{report:#}");
}

#[test]
fn what_crashes_and_what_hangs_is_broken() {
    for (statement, says) in [("*(volatile int *)0 = 0;", "crashes"), ("for (;;) ;", "hangs")] {
        let after = "{\n";
        let Some(place) =
            Place::with("gpu_buddy_block_trim(struct", after, &format!("{after}{statement}\n"))
        else {
            return;
        };
        let (code, report) = place.report();
        let sentence = report["sentence"].as_str().expect("text");
        assert_eq!(code, Some(1), "{report:#}");
        assert!(sentence.contains(says), "{report:#}");
        // It ends, also on a busy machine.
        assert!(report["seconds"].as_f64() < Some(180.0), "{report:#}");
    }
}
