//! contrib/record.bt itself: bpftrace runs it, and it records the calls of this crate's C.

use std::fs;
use std::process::{Command, Stdio};

use gpu_buddy::diff::Trace;

use super::{import, operations};
use crate::common::{not_tested, project};

const WHAT: &str = "contrib/record.bt with bpftrace";

/// The script with uprobes on the command's own C in place of kprobes.
fn with_uprobes(script: &str) -> String {
    let mut probes = 0;
    let lines = script.lines().map(|line| {
        let Some((probe, rest)) = line.split_once(":gpu_buddy_") else { return line.to_owned() };
        let ("kprobe" | "kretprobe", Some((function, _))) = (probe, rest.split_once('*')) else {
            return line.to_owned();
        };
        probes += 1;
        let probe = probe.replace('k', "u");
        let command = env!("CARGO_BIN_EXE_gpu-buddy");
        format!("{probe}:{command}:gpu_buddy_kernel_gpu_buddy_{function}")
    });
    let lines: Vec<_> = lines.collect();
    assert_eq!(probes, 11);
    lines.join("\n")
}

/// This needs bpftrace, a kernel that lets this process use it, and x86-64.
#[test]
fn the_script_records_the_calls_of_the_c() {
    let folder = tempfile::tempdir().unwrap();
    let [script, recording] = ["record.bt", "recording"].map(|name| folder.path().join(name));
    let text = fs::read_to_string(project().join("contrib/record.bt")).unwrap();
    fs::write(&script, with_uprobes(&text)).unwrap();
    let bpftrace = |arguments: &[&str]| {
        let mut command = Command::new("bpftrace");
        command.args(arguments).stdin(Stdio::null()).output()
    };
    if !cfg!(target_arch = "x86_64") {
        return not_tested(WHAT, "this is not x86-64");
    }
    let trace = include_str!("../../recordings/calls.trace");
    let file = project().join("tests/recordings/calls.trace");
    let replay = format!("{} replay --plain {}", env!("CARGO_BIN_EXE_gpu-buddy"), file.display());
    let paths = [&script, &recording].map(|path| path.to_str().expect("UTF-8"));
    // One probe on the same file shows whether probes are possible.
    let probe = format!(
        "uprobe:{}:gpu_buddy_kernel_gpu_buddy_fini {{ printf(\"called\\n\"); }}",
        env!("CARGO_BIN_EXE_gpu-buddy"),
    );
    let probed = bpftrace(&["-c", &replay, "-e", &probe]);
    if !probed.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("called")) {
        return not_tested(WHAT, "there is no bpftrace that may use uprobes");
    }
    let output = bpftrace(&["-o", paths[1], "-c", &replay, paths[0]]).expect("it has run before");
    let recorded = fs::read_to_string(&recording).unwrap_or_default();
    let errors = String::from_utf8_lossy(&output.stderr);
    let trace: Trace = trace.parse().unwrap();
    let imported = import(&recorded);
    assert_eq!(operations(&imported.trace), operations(&trace), "{errors}");
}
