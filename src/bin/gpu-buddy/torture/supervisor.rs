//! Torture in child processes.

use std::io::{Write, stdout};

use super::report::{Found, Report};
use super::{Arguments, candidate, replay};
use crate::supervise::{Death, Status, Supervisor};
use crate::{Failure, Verdict};

/// The file that the child leaves its report in.
pub const REPORT: &str = "report.json";

/// Has the work done in a child process: the C may crash, or run for ever.
pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => getrandom::u64().map_err(|error| Failure::Usage(error.to_string()))?,
    };
    let folder = tempfile::Builder::new().prefix("gpu-buddy-").tempdir()?;
    let mut again: Vec<_> = std::env::args_os().skip(1).collect();
    if arguments.seed.is_none() {
        again.extend(["--seed".into(), seed.to_string().into()]);
    }
    let supervisor = Supervisor {
        arguments: again,
        candidate: candidate(arguments),
        threads: arguments.threads,
        folder: folder.path(),
    };
    let report = match supervisor.work()? {
        Status::Dead(death) => after_death(arguments, seed, &supervisor, death)?,
        Status::Exited(Some(0 | 1)) => {
            let text = std::fs::read_to_string(folder.path().join(REPORT))?;
            serde_json::from_str::<Report>(&text).map_err(std::io::Error::from)?
        }
        Status::Exited(code) => return Err(Failure::Told(code.unwrap_or(2) as u8)),
    };
    let mut out = stdout().lock();
    if arguments.json {
        serde_json::to_writer(&mut out, &report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        report.print(&mut out, &replay(arguments), arguments.coverage)?;
    }
    Ok(if report.passed { Verdict::Passed } else { Verdict::Failed })
}

/// What killed the child.
fn after_death(
    arguments: &Arguments,
    seed: u64,
    supervisor: &Supervisor<'_>,
    death: Death,
) -> Result<Report, Failure> {
    let failures = supervisor.after_death(death)?.into_iter().map(|found| {
        let operations = found.operations;
        let shown = Found::new(&arguments.out, seed, found.thread, found.finding, &found.trace);
        Found { operations, cut_short: found.cut_short, ..shown }
    });
    Ok(Report { seed, passed: false, done: None, failures: failures.collect() })
}
