//! `gpu-buddy kunit`

use std::io::{Write, stdout};

use glob::Pattern;
use gpu_buddy::kunit::{Case, CaseResult, Suite};

use crate::kernel::Kernel;
use crate::{Failure, Verdict};

/// Run the kernel's own KUnit suite and print the results as KTAP
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  gpu-buddy kunit\n  \
                        gpu-buddy kunit --kernel ~/linux\n  \
                        gpu-buddy kunit --filter '*clear*' --seed 7\n  \
                        gpu-buddy kunit | ./tools/testing/kunit/kunit.py parse")]
pub struct Arguments {
    /// List the cases instead of running them
    #[arg(long)]
    list: bool,

    /// Run only the cases whose names match
    #[arg(long, value_name = "GLOB")]
    filter: Option<Pattern>,

    /// Seed of the suite's random numbers, decimal or 0x…; every run prints it
    #[arg(long, value_name = "N", value_parser = seed)]
    seed: Option<u32>,

    #[command(flatten)]
    kernel: Kernel,
}

fn seed(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    match parsed {
        Ok(0) => Err("the seed must not be 0".into()),
        Ok(seed) => Ok(seed),
        Err(error) => Err(error.to_string()),
    }
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let module = arguments.kernel.open()?;
    let Some(suite) = Suite::of(module) else {
        return Err(Failure::Usage(format!("{}: the tree has no KUnit suite", module.name())));
    };
    let cases: Vec<_> = suite
        .cases()
        .into_iter()
        .filter(|case| arguments.filter.as_ref().is_none_or(|filter| filter.matches(case.name())))
        .collect();
    if let Some(filter) = arguments.filter.as_ref().filter(|_| cases.is_empty()) {
        return Err(Failure::Usage(format!(
            "no case matches '{filter}'; gpu-buddy kunit --list shows them"
        )));
    }
    if arguments.list {
        let mut out = stdout().lock();
        for case in cases {
            let slow = if case.is_slow() { " (slow)" } else { "" };
            writeln!(out, "{}.{}{slow}", suite.name(), case.name())?;
        }
        return Ok(Verdict::Passed);
    }
    run_cases(suite.name(), &cases, arguments.seed)
}

/// Runs the cases and prints each result at once, as KTAP version 1.
fn run_cases(suite: &str, cases: &[Case], seed: Option<u32>) -> Result<Verdict, Failure> {
    let mut out = stdout().lock();
    // One seed for all cases, so that the printed seed repeats the run.
    let seed = seed.or_else(|| getrandom::u32().ok().filter(|&seed| seed != 0));
    writeln!(out, "KTAP version 1\n1..1")?;
    writeln!(out, "    KTAP version 1\n    # Subtest: {suite}\n    1..{}", cases.len())?;
    let mut failed = 0;
    for (index, case) in cases.iter().enumerate() {
        let CaseResult { failures, suite_log, log, .. } = case.run(seed);
        if index == 0 {
            for line in suite_log {
                writeln!(out, "    {line}")?;
            }
        }
        for line in log {
            writeln!(out, "    {line}")?;
        }
        for failure in &failures {
            for line in failure.lines() {
                writeln!(out, "    # {}: {line}", case.name())?;
            }
        }
        let verdict = if failures.is_empty() { "ok" } else { "not ok" };
        failed += usize::from(!failures.is_empty());
        writeln!(out, "    {verdict} {} {}", index + 1, case.name())?;
    }
    let passed = cases.len() - failed;
    writeln!(out, "# {suite}: pass:{passed} fail:{failed} skip:0 total:{}", cases.len())?;
    writeln!(out, "{} 1 {suite}", if failed == 0 { "ok" } else { "not ok" })?;
    Ok(if failed == 0 { Verdict::Passed } else { Verdict::Failed })
}
