//! `gpu-buddy check`, as a user runs it.

#[path = "common/command.rs"]
mod command_line;
mod common;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use command_line::{command, text};
use common::{copy_of_kernel, edit_allocator, kernel_tree};
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const ALLOCATOR: &str = "drivers/gpu/buddy.c";

/// A tree that a test changes, and a folder for temporary files that has to be empty at the
/// end.
struct Place {
    tree: TempDir,
    temporary: TempDir,
}

impl Place {
    fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a folder");
        Self { tree: copy_of_kernel(), temporary }
    }

    /// The same with a text of the allocator replaced, if it is there.
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

    /// Replaces a text where it comes first after another.
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
        command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("modules"));
        command.env("TMPDIR", self.temporary.path());
        arguments.iter().for_each(|argument| _ = command.arg(argument));
        command
    }

    /// Nothing is left behind, whatever it says.
    fn check(&self, arguments: &[&dyn AsRef<OsStr>]) -> Output {
        let output = self.command(arguments).output().expect("it runs");
        self.assert_clean();
        output
    }

    fn assert_clean(&self) {
        let left: Vec<_> = self.temporary.path().read_dir().expect("a folder").collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// Checks the tree against the kernel that it is a copy of.
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

/// The numbers of all lines behind it are others, and BUGs and WARNs carry them.
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

/// Also those of a function that an optimising compiler puts into its callers.
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
        assert!(report["seconds"].as_f64() < Some(60.0), "{report:#}");
    }
}

#[test]
fn a_tree_that_does_not_compile_has_no_verdict() {
    let place = Place::new();
    assert!(place.edit("", "#include", "no such thing;\n#include"));
    let (tree, base) = (place.path(), kernel_tree());
    let output = place.check(&[&tree, &"--base", &base]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("does not compile") && stderr.contains("buddy.c:"), "{stderr}");
    let bisect = place.check(&[&tree, &"--base", &base, &"--bisect"]);
    assert_eq!(bisect.status.code(), Some(125));
}

#[rstest]
#[case::nothing(&["/no/such/tree", "--base", "/"], "/no/such/tree")]
#[case::no_tree(&["/", "--base", "/"], "it is not a kernel tree")]
#[case::no_base(&["Cargo.toml"], "a patch needs a kernel")]
#[case::no_patch(&["Cargo.toml", "--base", "KERNEL"], "has no diff")]
#[case::no_git(&["KERNEL"], "Name a kernel to compare with: --base")]
#[case::no_revision(&["KERNEL", "--base", "v0.0"], "v0.0")]
#[case::two_trees(&["KERNEL", "KERNEL"], "several arguments must be patches")]
#[case::seconds(&["KERNEL", "--base", "KERNEL", "--seconds", "none"], "number of seconds")]
fn wrong_usage_says_what_to_do(#[case] arguments: &[&str], #[case] says: &str) {
    let place = Place::new();
    let arguments: Vec<_> = arguments
        .iter()
        .map(|argument| match *argument {
            "KERNEL" => place.path().as_os_str(),
            argument => OsStr::new(argument),
        })
        .collect();
    let arguments: Vec<&dyn AsRef<OsStr>> =
        arguments.iter().map(|argument| argument as &dyn AsRef<OsStr>).collect();
    let output = place.check(&arguments);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(says), "{stderr}");
    assert_eq!(text(&output.stdout), "");
    let mut bisect = arguments;
    bisect.push(&"--bisect");
    if !says.contains("seconds") {
        assert_eq!(place.check(&bisect).status.code(), Some(128));
    }
}

#[test]
fn a_working_tree_is_held_against_its_commits() {
    let place = Place::new();
    place.git(&["init", "-q"]);
    place.commit("first");
    assert!(place.edit("", "#include", "/* One. */\n#include"));
    // Against the commit: the comment is what is checked.
    let output = place.check(&[&place.path()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(stdout.contains("against HEAD@"), "{stdout}");
    assert!(stdout.contains("the object code is the same"), "{stdout}");
    place.commit("second");
    let stdout = text(&place.check(&[&place.path()]).stdout);
    assert!(stdout.contains("against HEAD^@"), "{stdout}");
    assert!(stdout.contains("nothing is uncommitted"), "{stdout}");
    let stdout = text(&place.check(&[&place.path(), &"--base", &"HEAD"]).stdout);
    assert!(stdout.contains("the files of the allocator are the same"), "{stdout}");
    let status = Command::new("git")
        .current_dir(place.path())
        .args(["status", "--porcelain", "--ignored"])
        .output()
        .expect("git");
    assert_eq!(text(&status.stdout), "");
}

/// A patch, the same as a mail that is encoded, and a mailbox of two.
#[test]
fn patches_are_put_on_a_base() {
    let place = Place::new();
    place.git(&["init", "-q"]);
    place.commit("first");
    assert!(place.edit("", "#include", "/* One: ü. */\n#include"));
    fs::write(place.path().join("README"), "Elsewhere.\n").expect("a file");
    place.commit("[1/2] one");
    assert!(place.edit("", "#include", "/* Two. */\n#include"));
    place.commit("[2/2] two");
    let out = place.path().join("out");
    fs::create_dir(&out).expect("a folder");
    let (one, both) = (out.join("one.patch"), out.join("both.mbox"));
    for (range, file) in [("HEAD^^..HEAD^", &one), ("HEAD^^..HEAD", &both)] {
        let git = Command::new("git")
            .current_dir(place.path())
            .args(["format-patch", "--stdout", range])
            .output()
            .expect("git");
        fs::write(file, git.stdout).expect("a file");
    }
    for patches in [vec![&one], vec![&both]] {
        let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![&"--base"];
        let base = kernel_tree();
        arguments.push(&base);
        patches.iter().for_each(|patch| arguments.push(patch));
        let output = place.check(&arguments);
        let stdout = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{stdout}{}", text(&output.stderr));
        assert!(stdout.contains("the object code is the same"), "{stdout}");
        assert!(stdout.contains("README"), "what is elsewhere is named: {stdout}");
    }
    // The second alone does not fit.
    let second = fs::read_to_string(&both).expect("it was written");
    let at = second.rfind("\nFrom ").expect("two mails") + 1;
    let alone = out.join("two.patch");
    fs::write(&alone, &second[at..]).expect("a file");
    let output = place.check(&[&alone, &"--base", &kernel_tree()]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("does not apply") && stderr.contains("hunk 1 of"), "{stderr}");
}

#[test]
fn the_kunit_tools_read_the_report() {
    let Some(place) = with_another_order() else { return };
    let (tree, base) = (place.path(), kernel_tree());
    let output = place.check(&[&tree, &"--base", &base, &"--quick", &"--seed", &"1", &"--ktap"]);
    let ktap = text(&output.stdout);
    assert!(ktap.starts_with("KTAP version 1\n"), "{ktap}");
    if let Some(parsed) = common::kunit_py_parse(&ktap) {
        assert_eq!(parsed.status.code(), Some(0), "{}", text(&parsed.stdout));
        assert!(text(&parsed.stdout).contains("passed: 7"), "{}", text(&parsed.stdout));
    }
}

#[test]
fn an_interrupt_ends_it_with_what_was_found() {
    let Some(place) = Place::with("__gpu_buddy_free(", "!gpu_buddy_block_is_free(buddy)", "1")
    else {
        return;
    };
    let (tree, base) = (place.path(), kernel_tree());
    let mut child = place
        .command(&[&tree, &"--base", &base, &"--seconds", &"600"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    thread::sleep(Duration::from_secs(6));
    let started = Instant::now();
    let process = Pid::from_raw(child.id() as i32).expect("a process");
    kill_process(process, Signal::INT).expect("it runs");
    let code = child.wait().expect("it ends").code();
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    assert_eq!(code, Some(130));
    let mut stdout = String::new();
    let mut pipe = child.stdout.take().expect("a pipe");
    std::io::Read::read_to_string(&mut pipe, &mut stdout).expect("text");
    assert!(stdout.contains("interrupted"), "{stdout}");
    place.assert_clean();
}

/// A mail that changes the allocator gets a reply, and another does not.
#[test]
fn the_mail_bot_replies() {
    let Some(place) = with_another_order() else { return };
    place.git(&["init", "-q"]);
    place.commit("patched");
    fs::copy(kernel_tree().join(ALLOCATOR), place.file()).expect("a file");
    place.commit("drm: as it was");
    let mail = |range: &str| {
        let git = Command::new("git")
            .current_dir(place.path())
            .args(["format-patch", "--stdout", "--thread", "-R", range])
            .output();
        git.expect("git").stdout
    };
    let bot = |mail: &[u8]| {
        let file = place.temporary.path().join("mail");
        fs::write(&file, mail).expect("a file");
        let output = Command::new(common::project().join("docs/ci/mail-bot"))
            .arg(kernel_tree())
            .arg("--quick")
            .stdin(fs::File::open(&file).expect("a file"))
            .env("GPU_BUDDY", env!("CARGO_BIN_EXE_gpu-buddy"))
            .env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("modules"))
            .env("TMPDIR", place.temporary.path())
            .output()
            .expect("it runs");
        fs::remove_file(&file).expect("a file");
        place.assert_clean();
        (output.status.code(), text(&output.stdout))
    };
    // In reverse, so that it applies to the kernel.
    let (code, reply) = bot(&mail("HEAD^..HEAD"));
    assert_eq!(code, Some(0), "{reply}");
    for line in [
        "Subject: Re: [PATCH] drm: as it was",
        "In-Reply-To: <",
        "**behaviour changes",
        "| lockstep | changed |",
        "  drivers/gpu/buddy.c\n",
    ] {
        assert!(reply.contains(line), "{line}: {reply}");
    }
    fs::write(place.path().join("README"), "Elsewhere.\n").expect("a file");
    place.commit("elsewhere");
    assert_eq!(bot(&mail("HEAD^..HEAD")), (Some(0), String::new()));
}
