//! The kernel's own KUnit suite: each case is a test of its name.

mod common;

use gpu_buddy::kunit;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = vec![Trial::test("every_case_of_the_source_is_listed", every_case_is_listed)];
    trials
        .extend(kunit::cases().into_iter().map(|case| Trial::test(case.name(), move || run(case))));
    libtest_mimic::run(&arguments, trials).exit();
}

fn run(case: kunit::Case) -> Result<(), Failed> {
    let result = case.run(None);
    if result.passed() {
        return Ok(());
    }
    let lines = result.suite_log.iter().chain(&result.log).map(ToString::to_string);
    let lines: Vec<_> = result.failures.iter().cloned().chain(lines).collect();
    Err(lines.join("\n").into())
}

fn every_case_is_listed() -> Result<(), Failed> {
    let source = common::kernel_tree().join("drivers/gpu/tests/gpu_buddy_test.c");
    let source = std::fs::read_to_string(source)?;
    let names: Vec<_> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("KUNIT_CASE"))
        .filter_map(|rest| rest.split_once('(')?.1.split_once(')'))
        .map(|(name, _)| name)
        .collect();
    let listed: Vec<_> = kunit::cases().iter().map(kunit::Case::name).collect();
    if names.is_empty() || listed != names {
        return Err(format!("the source has {names:?}, the suite lists {listed:?}").into());
    }
    Ok(())
}
