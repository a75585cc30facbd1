//! `gpu-buddy info` and `kunit`, and what all subcommands have in common.

use crate::common;
use std::fs::File;
use std::io::pipe;
use std::process::Command;

use crate::command_line::{assert_wrong_usage, command, run, text};
use gpu_buddy::{KERNEL, kunit};
use rstest::rstest;

/// Returns what a command prints. It must pass, and print nothing on stderr.
fn passes(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    text(&output.stdout)
}

#[test]
fn info_names_the_kernel() {
    let info = passes(&["info"]);
    assert!(info.contains(env!("CARGO_PKG_VERSION")));
    for line in KERNEL.revision.lines() {
        assert!(info.contains(line), "{line}");
    }
    for capability in KERNEL.capabilities {
        assert!(info.contains(capability.name) && info.contains(capability.meaning));
    }
}

#[test]
fn info_has_the_hash_of_each_file() {
    let info = passes(&["info"]);
    let paths: Vec<_> = KERNEL.files.iter().map(|file| file.path).collect();
    assert!(paths.contains(&"drivers/gpu/buddy.c") && paths.contains(&"lib/rbtree.c"));
    let output = Command::new("sha256sum")
        .args(&paths)
        .current_dir(common::kernel_tree())
        .output()
        .expect("sha256sum runs");
    let sums = text(&output.stdout);
    assert_eq!(sums.lines().count(), paths.len());
    for line in sums.lines() {
        assert!(info.contains(line), "{line} is not in:\n{info}");
    }
}

#[test]
fn list_has_each_case_and_runs_none() {
    let listed = passes(&["kunit", "--list"]);
    let expected: String = kunit::cases()
        .iter()
        .map(|case| {
            let slow = if case.is_slow() { " (slow)" } else { "" };
            format!("{}.{}{slow}\n", kunit::suite_name(), case.name())
        })
        .collect();
    assert_eq!(listed, expected);
}

#[test]
fn filter_takes_what_matches() {
    let cases = kunit::cases();
    let matching: Vec<_> =
        cases.iter().map(kunit::Case::name).filter(|name| name.ends_with("mistic")).collect();
    assert!(!matching.is_empty() && matching.len() < cases.len());
    let listed = passes(&["kunit", "--list", "--filter", "*mistic"]);
    assert_eq!(listed.lines().count(), matching.len());

    let ran = passes(&["kunit", "--filter", "*mistic"]);
    let results: Vec<_> =
        ran.lines().filter_map(|line| line.strip_prefix("    ok ")?.split(' ').nth(1)).collect();
    assert_eq!(results, matching);
}

#[rstest]
#[case::decimal("7", "random_seed=0x7\n")]
#[case::hexadecimal("0xbeef", "random_seed=0xbeef\n")]
#[case::largest("4294967295", "random_seed=0xffffffff\n")]
fn a_seed_repeats_a_run(#[case] seed: &str, #[case] printed: &str) {
    let arguments = ["kunit", "--filter", "*range_bias*", "--seed", seed];
    let first = passes(&arguments);
    assert!(first.contains(printed), "{first}");
    assert_eq!(first, passes(&arguments));
}

#[test]
fn another_seed_is_another_run() {
    let run = |seed: &str| passes(&["kunit", "--filter", "*range_bias*", "--seed", seed]);
    let runs: std::collections::BTreeSet<_> = ["1", "2", "3", "4"]
        .into_iter()
        .map(|seed| run(seed).replace(&format!("random_seed=0x{seed}"), ""))
        .collect();
    assert!(runs.len() > 1, "four seeds, one run: {runs:?}");
}

#[test]
fn without_a_seed_the_seed_that_is_printed_repeats_the_run() {
    let filter = ["kunit", "--filter", "*range_bias*"];
    let first = passes(&filter);
    let seed = first.split_once("random_seed=").expect("a seed").1.lines().next().expect("a line");
    assert_eq!(first, passes(&[&filter[..], &["--seed", seed]].concat()));
}

/// The subcommands, from the help.
fn subcommands() -> Vec<String> {
    let help = passes(&["--help"]);
    let (_, commands) = help.split_once("Commands:\n").expect(&help);
    let names = commands.lines().take_while(|line| !line.is_empty());
    let names = names.filter_map(|line| line.split_whitespace().next().map(str::to_owned));
    names.filter(|name| name != "help").collect()
}

#[test]
fn help_has_an_example_everywhere() {
    let help = passes(&["--help"]);
    let (_, examples) = help.split_once("Example").expect(&help);
    assert!(examples.contains("gpu-buddy kunit"), "{examples}");
    let subcommands = subcommands();
    assert!(["info", "kunit"].iter().all(|name| subcommands.contains(&(*name).to_owned())));
    for name in subcommands {
        let help = passes(&[&name, "--help"]);
        let examples = help.split_once("Example").unwrap_or_else(|| panic!("none: {help}")).1;
        assert!(examples.contains(&name), "{help}");
    }
}

#[rstest]
#[case::nothing(&[], "Usage")]
#[case::unknown_subcommand(&["frobnicate"], "frobnicate")]
#[case::unknown_flag(&["info", "--frobnicate"], "--frobnicate")]
#[case::argument_too_many(&["info", "extra"], "extra")]
#[case::seed_of_no_number(&["kunit", "--seed", "x"], "--seed")]
#[case::seed_of_0(&["kunit", "--seed", "0"], "the seed must not be 0")]
#[case::seed_too_large(&["kunit", "--seed", "4294967296"], "--seed")]
#[case::seed_with_a_lone_prefix(&["kunit", "--seed", "0x"], "--seed")]
#[case::broken_glob(&["kunit", "--filter", "["], "--filter")]
#[case::filter_without_a_match(&["kunit", "--filter", "nothing"], "gpu-buddy kunit --list")]
#[case::list_without_a_match(&["kunit", "--list", "--filter", "nothing"], "no case matches")]
fn wrong_usage_exits_2_and_says_why(#[case] arguments: &[&str], #[case] says: &str) {
    assert_wrong_usage(arguments, says);
}

#[rstest]
#[case::info(&["info"])]
#[case::list(&["kunit", "--list"])]
#[case::kunit(&["kunit", "--filter", "*_limit"])]
fn a_reader_that_leaves_is_no_error(#[case] arguments: &[&str]) {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let output = command(arguments).stdout(writer).output().expect("the command runs");
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    let output = command(&["info"]).stdout(full).output().expect("the command runs");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.starts_with("error: writing the output"), "{stderr}");
}

#[test]
fn the_kernels_own_parser_takes_the_output() {
    let cases = kunit::cases().len();
    let ktap = passes(&["kunit"]);
    let Some(parsed) = common::kunit_py_parse(&ktap) else { return };
    let stdout = text(&parsed.stdout);
    assert!(parsed.status.success(), "{stdout}{}", text(&parsed.stderr));
    assert!(stdout.contains(&format!("Ran {cases} tests: passed: {cases}")), "{stdout}");
    assert!(!stdout.contains("[ERROR]"), "{stdout}");
}
