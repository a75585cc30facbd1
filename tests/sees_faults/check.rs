//! Faults planted in the allocator, as patches: `check` calls each of them broken, in its
//! default time, and says how.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use crate::common::{kernel_tree, not_tested};
use crate::faults::FAULTS;
use crate::plant::{Edit, Fault, place};
use crate::{ALLOCATOR, processors};
use gpu_buddy::diff::reference::Reference;
use gpu_buddy::module::Module;
use serde_json::Value;

/// One of each kind.
const SAMPLE: &[&str] = &[
    "buddies are never merged",
    "a merged buddy stays in its tree",
    "used blocks are not counted",
];

/// The fault as a patch; nothing if the source has no place for it.
fn patch(fault: &Fault, folder: &Path) -> Option<()> {
    let source = fs::read_to_string(kernel_tree().join(ALLOCATOR)).expect(ALLOCATOR);
    let place = place(&source, fault)?;
    let new = match fault.edit {
        Edit::Skip(_) => "{ }",
        Edit::Put(_, other) => &format!("({other})"),
    };
    let patched = format!("{}{new}{}", &source[..place.start], &source[place.end..]);
    for (name, text) in [("a", &source), ("b", &patched)] {
        let file = folder.join(name).join(ALLOCATOR);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, text).expect("a file");
    }
    let diff = Command::new("git")
        .current_dir(folder)
        .args(["diff", "--no-index", "--no-prefix", "a", "b"])
        .output()
        .expect("git");
    fs::write(folder.join("fault.patch"), diff.stdout).expect("a file");
    Some(())
}

/// Checks the fault: the exit code, and the report.
fn check(fault: &Fault, seconds: &str) -> Option<(Option<i32>, Value)> {
    let folder = tempfile::tempdir().expect("a folder");
    patch(fault, folder.path())?;
    let output = Command::new(env!("CARGO_BIN_EXE_gpu-buddy"))
        .current_dir(folder.path())
        .args(["check", "fault.patch", "--json", "--seed", "1", "--seconds", seconds, "--base"])
        .arg(kernel_tree())
        .env("XDG_CACHE_HOME", crate::common::module_cache())
        .output()
        .expect("it runs");
    let report = serde_json::from_slice(&output.stdout);
    let report =
        report.unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&output.stderr).into()));
    Some((output.status.code(), report))
}

/// Checks faults, and returns those that `check` does not call broken.
fn check_all<'a>(faults: impl Iterator<Item = &'a Fault>, seconds: &str) -> Vec<String> {
    let mut missed = Vec::new();
    for fault in faults {
        let Some((code, report)) = check(fault, seconds) else { continue };
        let new = report["findings"].as_array().into_iter().flatten();
        let new: Vec<_> = new
            .filter(|found| found["relation"] == "new")
            .map(|found| found["kind"].as_str().unwrap_or_default().to_owned())
            .collect();
        let line = format!(
            "{:52} {code:?} {:>5.1} s  {} | {}",
            fault.name,
            report["seconds"].as_f64().unwrap_or(0.0),
            report["sentence"].as_str().unwrap_or_else(|| report.as_str().unwrap_or_default()),
            new.join(", ")
        );
        // Not through `println!`, which the test harness keeps to itself.
        writeln!(io::stdout(), "{line}").expect("it is written");
        if code != Some(1) || new.is_empty() {
            missed.push(line);
        }
    }
    missed
}

fn is_tested() -> bool {
    let tested = Reference::models(Module::compiled_in().features());
    if !tested {
        not_tested("planted faults", "they are those of another kernel");
    }
    tested
}

#[test]
fn a_fault_of_each_kind_is_called_broken() {
    if !is_tested() {
        return;
    }
    let _processors = processors();
    let sample = FAULTS.iter().filter(|fault| SAMPLE.contains(&fault.name));
    let missed = check_all(sample, "5");
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// All of them: a quarter of an hour.
#[test]
#[ignore = "a quarter of an hour"]
fn each_fault_is_called_broken() {
    if !is_tested() {
        return;
    }
    let _processors = processors();
    let missed = check_all(FAULTS.iter(), "15");
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}
