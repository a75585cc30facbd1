//! The command, as a user runs it.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::process::{Command, Output, Stdio};

pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-buddy"));
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

pub fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the command runs")
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

/// It exits with 2, prints nothing, and says this on the standard error.
pub fn assert_wrong_usage(arguments: &[&str], says: &str) {
    let output = run(arguments);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(says), "{stderr}");
    assert_eq!(text(&output.stdout), "");
}
