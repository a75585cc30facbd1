//! The kernel that is tested: its files, copies of them, and what its own tools say.

use std::path::{Path, PathBuf};

pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The tree of the kernel that is tested: the one that is compiled in. Tests that only give its
/// path to the command run on another one, without being built again, if `GPU_BUDDY_TEST_TREE`
/// names it.
pub fn kernel_tree() -> PathBuf {
    other_tree().unwrap_or_else(|| PathBuf::from(env!("GPU_BUDDY_KERNEL_TREE")))
}

/// The tree that is tested in the place of the one that is compiled in.
pub fn other_tree() -> Option<PathBuf> {
    std::env::var_os("GPU_BUDDY_TEST_TREE").map(PathBuf::from)
}

/// Whether `vendor/manifest.toml` records this very `buddy.c`. If so, it must contain every text
/// that a test looks for.
pub fn is_recorded() -> bool {
    let manifest = std::fs::read_to_string(project().join("vendor/manifest.toml"));
    let allocator = kernel_tree().join("drivers/gpu/buddy.c");
    let sum = std::process::Command::new("sha256sum").arg(allocator).output();
    let sum = String::from_utf8(sum.expect("sha256sum runs").stdout).expect("a sum");
    manifest.expect("a manifest").contains(sum.split_whitespace().next().expect("an allocator"))
}

/// Says once what is not tested, and why. It writes to the standard error itself: the harness
/// would hide what a passing test prints.
pub fn not_tested(what: &str, why: &str) {
    use std::io::Write as _;
    static SAID: parking_lot::Mutex<Vec<String>> = parking_lot::Mutex::new(Vec::new());
    let line = format!("NOT TESTED: {what}, because {why}");
    let mut said = SAID.lock();
    if !said.contains(&line) {
        writeln!(std::io::stderr(), "{line}").expect("it is written");
        said.push(line);
    }
}

/// As [`not_tested`], if a text that a test needs is not in the kernel's files.
///
/// # Panics
///
/// If the kernel is a recorded one.
pub fn not_found(what: &str, missing: &str) {
    assert!(!is_recorded(), "{what}: this buddy.c is a recorded one, but it has no {missing}");
    not_tested(what, &format!("this buddy.c has no {missing}"));
}

/// A line of a file of the kernel that is compiled in.
pub fn kernel_line(file: &str, line: u32) -> String {
    let text = std::fs::read_to_string(kernel_tree().join(file)).expect(file);
    text.lines().nth(line as usize - 1).unwrap_or_default().trim().to_owned()
}

/// A copy of the files of the kernel that is compiled in.
pub fn copy_of_kernel() -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    let status = std::process::Command::new("cp")
        .arg("-RL")
        .arg(kernel_tree().join("."))
        .arg(copy.path())
        .status();
    assert!(status.expect("cp runs").success());
    copy
}

/// Replaces the first occurrence of a text after another one, in the allocator of a tree. Returns
/// false if a later kernel lacks it.
pub fn edit_allocator(tree: &Path, after: &str, from: &str, to: &str) -> bool {
    let file = tree.join("drivers/gpu/buddy.c");
    let source = std::fs::read_to_string(&file).expect("the allocator");
    let at = source.find(after).and_then(|begin| Some(begin + source[begin..].find(from)?));
    let Some(at) = at else {
        not_found("a patched kernel", &format!("{from:?} after {after:?}"));
        return false;
    };
    let (head, tail) = source.split_at(at);
    std::fs::write(&file, format!("{head}{to}{}", &tail[from.len()..])).expect("it is written");
    true
}

/// A copy of the kernel, with a statement at the beginning of a function of the allocator. `None`
/// if a later kernel lacks the function.
pub fn with_statement(function: &str, statement: &str) -> Option<tempfile::TempDir> {
    let tree = copy_of_kernel();
    let (from, to) = ("\n{\n", format!("\n{{\n\t{statement}\n"));
    edit_allocator(tree.path(), function, from, &to).then_some(tree)
}

/// The trace of a finding, from its page.
pub fn finding_trace(name: &str) -> String {
    let page = project().join("docs/findings").join(name).with_extension("md");
    let page = std::fs::read_to_string(page).expect(name);
    let (_, trace) = page.split_once("\n```trace\n").expect("a trace");
    trace.split("```").next().expect("its end").to_owned()
}

/// What the kernel's own `kunit.py parse` makes of `ktap`; `None`, and a line on
/// stderr, if there is no such script or no Python.
pub fn kunit_py_parse(ktap: &str) -> Option<std::process::Output> {
    use std::io::Write;
    use std::process::{Command, Stdio};

    let script = kernel_tree().join("tools/testing/kunit/kunit.py");
    if !script.is_file() {
        not_tested("kunit.py parse", &format!("there is no {}", script.display()));
        return None;
    }
    let child = Command::new("python3")
        .arg("-B")
        .arg(&script)
        .arg("parse")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            not_tested("kunit.py parse", "python3 is not installed");
            return None;
        }
        Err(error) => panic!("python3: {error}"),
    };
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(ktap.as_bytes()).expect("the parser reads to the end");
    drop(stdin);
    Some(child.wait_with_output().expect("the parser runs"))
}
