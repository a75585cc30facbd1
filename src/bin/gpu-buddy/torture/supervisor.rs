//! Torture in child processes.

use std::io::{Write, stdout};
use std::path::Path;
use std::time::Instant;

use super::report::{Done, Found, Report};
use super::{Arguments, Limit, candidate, limit, replay};
use crate::supervise::{Death, INTERRUPTED, Status, Supervisor, is_interrupted};
use crate::{Failure, Verdict};

/// The file to which the child writes its report.
pub const REPORT: &str = "report.json";

/// Runs the work in a child process, because the C may crash or hang.
pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => getrandom::u64().map_err(|error| Failure::Usage(error.to_string()))?,
    };
    let folder = tempfile::Builder::new().prefix("gpu-buddy-").tempdir()?;
    let report = if arguments.keep_going {
        go_on(arguments, seed, folder.path())?
    } else {
        run_once(arguments, seed, None, folder.path())?
    };
    let mut out = stdout().lock();
    if arguments.json {
        serde_json::to_writer(&mut out, &report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        report.print(&mut out, &replay(arguments), arguments.coverage)?;
    }
    match report.passed {
        _ if is_interrupted() => Err(Failure::Told(INTERRUPTED)),
        true => Ok(Verdict::Passed),
        false => Ok(Verdict::Failed),
    }
}

/// Starts another process, with another seed, when one has died and there is time left.
fn go_on(arguments: &Arguments, first_seed: u64, folder: &Path) -> Result<Report, Failure> {
    let started = Instant::now();
    let mut whole: Option<Report> = None;
    for child in 0.. {
        let left = match limit(arguments) {
            Limit::Seconds(seconds) => seconds - started.elapsed().as_secs_f64(),
            // After a crash, the number of operations done is unknown.
            Limit::Operations(_) => 0.0,
        };
        if child > 0 && (left < 0.5 || is_interrupted()) {
            break;
        }
        let left = (child > 0).then_some(left);
        let report = run_once(arguments, first_seed.wrapping_add(child), left, folder)?;
        let died = report.done.is_none();
        match &mut whole {
            None => whole = Some(report),
            Some(whole) => whole.add(report),
        }
        if !died {
            break;
        }
    }
    Ok(whole.expect("there was a first one"))
}

/// Runs one process. `left` is its time in seconds, if it differs from the arguments.
fn run_once(
    arguments: &Arguments,
    seed: u64,
    left: Option<f64>,
    folder: &Path,
) -> Result<Report, Failure> {
    let mut again: Vec<_> = std::env::args_os().skip(1).collect();
    if left.is_some() || arguments.seed.is_none() {
        // The last of several options counts.
        again.extend(["--seed".into(), seed.to_string().into()]);
    }
    if let Some(left) = left {
        again.extend(["--seconds".into(), left.to_string().into()]);
    }
    let supervisor = Supervisor {
        arguments: again,
        candidate: candidate(arguments),
        threads: arguments.threads,
        patience: arguments.patience,
        folder,
    };
    let _ = std::fs::remove_file(folder.join(REPORT));
    let read = || -> std::io::Result<Report> {
        let text = std::fs::read_to_string(folder.join(REPORT))?;
        Ok(serde_json::from_str(&text)?)
    };
    match supervisor.work()? {
        Status::Dead(death) => {
            // The failures before the crash.
            let before = read().map_or_else(|_| Vec::new(), |report| report.failures);
            after_death(arguments, seed, &supervisor, death, before)
        }
        Status::Exited(Some(0 | 1)) => Ok(read()?),
        Status::Exited(code) => Err(Failure::Told(code.unwrap_or(2) as u8)),
        Status::Interrupted => Err(Failure::Told(INTERRUPTED)),
    }
}

/// Finds what killed the child.
fn after_death(
    arguments: &Arguments,
    seed: u64,
    supervisor: &Supervisor<'_>,
    death: Death,
    mut failures: Vec<Found>,
) -> Result<Report, Failure> {
    for found in supervisor.after_death(death)? {
        let call = gpu_buddy::diff::compare::call(found.trace.operations.last());
        // Only the part before the colon, without the signal or the details.
        let what = found.finding.split(':').next().unwrap_or_default();
        let kind = format!("{call}: {what}");
        let number = (found.thread, failures.len());
        let shown = Found::new(&arguments.out, seed, number, kind, found.finding, &found.trace);
        let (operations, cut_short) = (found.operations, found.cut_short);
        failures.push(Found { operations, cut_short, ..shown });
    }
    Ok(Report { seed, passed: false, done: None, failures })
}

impl Report {
    /// Adds the report of another process.
    fn add(&mut self, other: Self) {
        self.passed &= other.passed;
        for found in other.failures {
            match self.failures.iter_mut().find(|same| same.kind == found.kind) {
                Some(same) => same.count += found.count,
                None => self.failures.push(found),
            }
        }
        match (&mut self.done, other.done) {
            (Some(done), Some(other)) => done.add(other),
            (done, other) => *done = done.take().or(other),
        }
    }
}

impl Done {
    fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.allocators += other.allocators;
        self.seconds += other.seconds;
    }
}
