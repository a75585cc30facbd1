//! The examples: short, and each does what it says. `cargo test` builds them before it runs
//! this.

use std::collections::BTreeSet;
use std::process::Command;

use crate::common::{not_tested, project};

/// Its name, an argument, what it prints at the end, and how many lines it may have.
const EXAMPLES: &[(&str, &str, &str, usize)] = &[
    ("my_allocator", "", "no difference", 80),
    ("my_wrapper", "", "freed-once: ", 60),
    ("public_crates", "3000", "offset-allocator keeps the contract", 120),
    ("public_heaps", "3000", "talc keeps the contract", 120),
];

#[test]
fn each_is_short_and_runs() {
    let folder = project().join("examples");
    let there: BTreeSet<_> = folder
        .read_dir()
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    let listed = EXAMPLES.iter().map(|example| format!("{}.rs", example.0)).collect();
    assert_eq!(there, listed);
    let test = std::env::current_exe().expect("this test");
    let built = test.ancestors().nth(2).expect("a folder of cargo's").join("examples");
    for &(name, argument, prints, most) in EXAMPLES {
        let text = std::fs::read_to_string(folder.join(name).with_extension("rs"));
        let lines = text.expect("it is text").lines().count();
        assert!(lines <= most, "examples/{name}.rs has {lines} lines");
        let program = built.join(name);
        if !program.exists() {
            not_tested("an example", "only cargo test without --test builds the examples");
            continue;
        }
        let output =
            Command::new(program).args(Some(argument).filter(|it| !it.is_empty())).output();
        let output = output.expect("it runs");
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stdout.contains(prints), "{name}: {stdout}{stderr}");
    }
}
