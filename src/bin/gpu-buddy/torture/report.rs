//! The report at the end of a run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use gpu_buddy::diff::Trace;
use gpu_buddy::diff::torture;
use indicatif::HumanCount;
use serde::{Deserialize, Serialize};

use super::cost::{self, Cost};
use crate::kernel::names;

/// A failure that one thread found.
#[derive(Clone, Serialize, Deserialize)]
pub struct Found {
    pub thread: u64,
    /// The kind of call, and what is wrong with it.
    pub kind: String,
    /// How often it occurred.
    pub count: u64,
    /// What is wrong, in one line.
    pub finding: String,
    /// What was promised, and where the failure shows if not at the last operation.
    pub notes: Vec<String>,
    /// Number of operations before shrinking.
    pub operations: u64,
    pub shrunk_to: usize,
    pub cut_short: bool,
    pub trace: String,
    /// The file with the trace.
    pub file: Option<PathBuf>,
}

/// A trace with more lines is not printed, only written to its file.
const MOST_LINES: usize = 40;

impl Found {
    /// Writes the trace to a file, and prints an error if that fails. The failures of each
    /// thread are numbered.
    pub fn new(
        out: &Path,
        seed: u64,
        (thread, number): (u64, usize),
        kind: String,
        finding: String,
        trace: &Trace,
    ) -> Self {
        let number = if number == 0 { String::new() } else { format!("-{number}") };
        let file = out.join(format!("gpu-buddy-{seed}-{thread}{number}.trace"));
        let text = trace.to_string();
        let file = match std::fs::write(&file, format!("# {finding}\n{text}")) {
            Ok(()) => Some(file),
            Err(error) => {
                eprintln!("error: {}: {error}", file.display());
                None
            }
        };
        let operations = trace.operations.len();
        Self {
            thread,
            kind,
            count: 1,
            finding,
            notes: Vec::new(),
            operations: operations as u64,
            shrunk_to: operations,
            cut_short: false,
            trace: text,
            file,
        }
    }

    fn print(&self, out: &mut impl Write, replay: &[OsString]) -> io::Result<()> {
        let count = match self.count {
            1 => String::new(),
            count => format!(" (seen {} times)", HumanCount(count)),
        };
        writeln!(out, "\nFAILED: {}{count}", self.finding)?;
        self.notes.iter().try_for_each(|note| writeln!(out, "{note}"))?;
        let cut_short = if self.cut_short { ", shrinking ran out of time" } else { "" };
        let (before, after) = (HumanCount(self.operations), self.shrunk_to);
        writeln!(
            out,
            "thread {}, after {before} operations, shrunk to {after}{cut_short}:\n",
            self.thread
        )?;
        if after <= MOST_LINES || self.file.is_none() {
            out.write_all(self.trace.as_bytes())?;
        } else {
            writeln!(out, "(the trace is long: see the file)")?;
        }
        if let Some(file) = &self.file {
            write!(out, "\nreplay it: gpu-buddy replay")?;
            for argument in replay {
                write!(out, " {}", argument.display())?;
            }
            writeln!(out, " {}", file.display())?;
        }
        Ok(())
    }
}

/// The report of a run.
#[derive(Serialize, Deserialize)]
pub struct Report {
    pub seed: u64,
    pub passed: bool,
    /// What was done. `None` if the process has died.
    #[serde(flatten)]
    pub done: Option<Done>,
    pub failures: Vec<Found>,
}

/// What a run has done.
#[derive(Serialize, Deserialize)]
pub struct Done {
    pub interrupted: bool,
    pub operations: u64,
    pub allocators: u64,
    pub seconds: f64,
    pub operations_per_second: f64,
    /// How often each known breach occurred.
    pub known: BTreeMap<String, u64>,
    /// How often both kernels broke a promise in the same call, and the base alone.
    pub in_base: BTreeMap<String, u64>,
    pub fixed: BTreeMap<String, u64>,
    pub not_compared: Vec<String>,
    /// How often each kind of call and outcome occurred.
    pub coverage: serde_json::Map<String, serde_json::Value>,
    pub never_met: Vec<String>,
    /// The most expensive calls, with `--cost`.
    pub costs: Vec<Cost>,
}

impl Done {
    pub fn new(report: &torture::Report, seconds: f64, interrupted: bool, faults: bool) -> Self {
        let kinds = report.tally.kinds().into_iter();
        let named = |counts: &BTreeMap<&str, u64>| {
            counts.iter().map(|(&name, &count)| (name.to_owned(), count)).collect()
        };
        Self {
            interrupted,
            operations: report.operations,
            allocators: report.allocators,
            seconds,
            operations_per_second: report.operations as f64 / seconds.max(0.001),
            known: named(&report.known),
            in_base: named(&report.in_base),
            fixed: named(&report.fixed),
            not_compared: names(report.not_compared),
            coverage: kinds.map(|met| (met.kind, met.count.into())).collect(),
            never_met: report.tally.never_met(faults),
            costs: Vec::new(),
        }
    }

    /// How often each kind of call and outcome occurred.
    fn print_coverage(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out)?;
        for (kind, count) in &self.coverage {
            let count = HumanCount(count.as_u64().unwrap_or_default()).to_string();
            writeln!(out, "{kind:60}{count:>14}")?;
        }
        if !self.never_met.is_empty() {
            writeln!(out, "never seen:")?;
            self.never_met.iter().try_for_each(|kind| writeln!(out, "  {kind}"))?;
        }
        if !self.known.is_empty() {
            writeln!(out, "known:")?;
            for (name, count) in &self.known {
                writeln!(out, "  {name:40}{count:>12}")?;
            }
        }
        writeln!(out)
    }

    /// The limits of a run that has passed.
    fn print_limits(&self, out: &mut impl Write, coverage: bool) -> io::Result<()> {
        if !self.known.is_empty() && !coverage {
            let (times, kinds) = (self.known.values().sum(), self.known.len());
            writeln!(
                out,
                "known breaches: {} of {kinds} kinds; --coverage lists them, --strict fails on them",
                HumanCount(times)
            )?;
        }
        for (counts, what) in [(&self.in_base, "present in the base"), (&self.fixed, "fixed")] {
            if !counts.is_empty() {
                let list: Vec<_> =
                    counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
                writeln!(out, "{what}: {}", list.join(", "))?;
            }
        }
        if !self.not_compared.is_empty() {
            let lacks = self.not_compared.join(", ");
            writeln!(out, "not tested, because it is not supported: {lacks}")?;
        }
        Ok(())
    }
}

impl Report {
    /// The failures so far.
    pub fn before_the_end(seed: u64, failures: &[Found]) -> Self {
        Self { seed, passed: failures.is_empty(), done: None, failures: failures.to_vec() }
    }

    /// Writes it for the supervisor.
    pub fn leave(&self, folder: &Path) -> io::Result<()> {
        let new = folder.join("report.new");
        std::fs::write(&new, serde_json::to_string(self)?)?;
        std::fs::rename(new, folder.join(super::supervisor::REPORT))
    }

    /// Prints the verdict. `replay` has the arguments for a replay.
    pub fn print(
        &self,
        out: &mut impl Write,
        replay: &[OsString],
        coverage: bool,
    ) -> io::Result<()> {
        if let Some(done) = &self.done {
            if coverage {
                done.print_coverage(out)?;
            }
            if self.passed {
                done.print_limits(out, coverage)?;
            }
        }
        self.failures.iter().try_for_each(|found| found.print(out, replay))?;
        write!(out, "\nseed {}: ", self.seed)?;
        match &self.done {
            Some(done) => writeln!(
                out,
                "{} operations on {} allocators in {:.1} s ({}/s), {} failed{}",
                HumanCount(done.operations),
                HumanCount(done.allocators),
                done.seconds,
                HumanCount(done.operations_per_second as u64),
                self.failures.len(),
                if done.interrupted { ", interrupted" } else { "" }
            ),
            None if self.failures.is_empty() => writeln!(out, "failed, and no trace reproduces it"),
            None => writeln!(out, "failed"),
        }?;
        cost::print(self.done.as_ref().map_or(&[], |done| &done.costs), out, replay)
    }
}
