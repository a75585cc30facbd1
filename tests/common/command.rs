//! The command, as a user runs it.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-buddy"));
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

pub fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the command runs")
}

/// The command on a trace, which is written to a file in `folder`. Kernels that it compiles are
/// kept for all tests.
pub fn on_trace(subcommand: &str, trace: &str, folder: &Path) -> Command {
    let file = folder.join("some.trace");
    std::fs::write(&file, trace).expect("it is written");
    let mut command = command(&[subcommand]);
    command.env("XDG_CACHE_HOME", crate::common::module_cache());
    command.arg(file);
    command
}

/// Returns what the command prints. It must say nothing on the standard error, and exit with 0.
pub fn prints(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    text(&output.stdout)
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A file with the trace of a finding.
pub fn finding_file(name: &str) -> String {
    let file = format!("{}/{name}.trace", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&file, run(&["finding", name, "--trace"]).stdout).expect("it is written");
    file
}

/// Checks that the command exits with 2, prints nothing, and says this on the standard error.
pub fn assert_wrong_usage(arguments: &[&str], says: &str) {
    let output = run(arguments);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(says), "{stderr}");
    assert_eq!(text(&output.stdout), "");
}
