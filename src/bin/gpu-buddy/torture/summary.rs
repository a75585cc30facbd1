//! What is said at the end.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use gpu_buddy::diff::Trace;
use gpu_buddy::diff::torture::Report;
use indicatif::HumanCount;
use serde_json::json;

/// What one thread found.
pub struct Found {
    pub thread: u64,
    /// What broke, in a line.
    pub finding: String,
    /// The same for people, with the trace.
    pub text: String,
    /// How many operations it took, before the trace was made short.
    pub operations: u64,
    pub cut_short: bool,
    pub trace: Trace,
    pub file: Option<PathBuf>,
}

impl Found {
    pub fn print(&self, out: &mut impl Write, replay: &[OsString]) -> std::io::Result<()> {
        writeln!(out, "\nthread {}: {}", self.thread, self.text)?;
        match &self.file {
            Some(file) => {
                write!(out, "replay it: gpu-buddy replay")?;
                for argument in replay {
                    write!(out, " {}", argument.display())?;
                }
                writeln!(out, " {}", file.display())
            }
            None => Ok(()),
        }
    }

    pub fn json(&self) -> serde_json::Value {
        json!({
            "thread": self.thread,
            "finding": self.finding,
            "operations": self.operations,
            "shrunk_to": self.trace.operations.len(),
            "cut_short": self.cut_short,
            "trace": self.trace.to_string(),
            "file": self.file,
        })
    }
}

/// What a run has found.
pub struct Summary {
    pub seed: u64,
    pub seconds: f64,
    pub interrupted: bool,
    /// Further arguments that a replay needs.
    pub replay: Vec<OsString>,
    pub faults: bool,
    /// Whether all that was met is listed.
    pub coverage: bool,
    pub report: Report,
    pub found: Vec<Found>,
}

impl Summary {
    pub fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        let report = &self.report;
        if self.coverage {
            self.print_coverage(out)?;
        }
        let passed = self.found.is_empty();
        if passed && !report.known.is_empty() && !self.coverage {
            let (times, kinds) = (report.known.values().sum(), report.known.len());
            writeln!(
                out,
                "known breaches: {} of {kinds} kinds; --coverage lists them, --strict fails on them",
                HumanCount(times)
            )?;
        }
        if passed && report.resynced > 0 {
            writeln!(out, "the reference took over a state: {}", report.resynced)?;
        }
        if passed && !report.not_compared.is_empty() {
            let lacks: Vec<_> = report.not_compared.iter().map(|c| format!("{c:?}")).collect();
            writeln!(out, "not asked for, since it is not offered: {}", lacks.join(", "))?;
        }
        self.found.iter().try_for_each(|found| found.print(out, &self.replay))?;
        let interrupted = if self.interrupted { ", interrupted" } else { "" };
        writeln!(
            out,
            "\nseed {}: {} operations on {} allocators in {:.1} s ({}/s), {} failed{interrupted}",
            self.seed,
            HumanCount(report.operations),
            HumanCount(report.allocators),
            self.seconds,
            HumanCount((report.operations as f64 / self.seconds.max(0.001)) as u64),
            self.found.len()
        )
    }

    /// What was met how often, by kind of call and outcome.
    fn print_coverage(&self, out: &mut impl Write) -> std::io::Result<()> {
        let report = &self.report;
        writeln!(out, "\n{}", report.tally)?;
        let never_met = report.tally.never_met(self.faults);
        if !never_met.is_empty() {
            writeln!(out, "never met:")?;
            for kind in never_met {
                writeln!(out, "  {kind}")?;
            }
        }
        if !report.known.is_empty() {
            writeln!(out, "known:")?;
            for (name, count) in &report.known {
                writeln!(out, "  {name:40}{count:>12}")?;
            }
        }
        writeln!(out)
    }

    pub fn json(&self) -> serde_json::Value {
        let report = &self.report;
        let coverage: serde_json::Map<_, _> =
            report.tally.kinds().into_iter().map(|met| (met.kind, met.count.into())).collect();
        let failures: Vec<_> = self.found.iter().map(Found::json).collect();
        json!({
            "seed": self.seed,
            "passed": self.found.is_empty(),
            "interrupted": self.interrupted,
            "operations": report.operations,
            "allocators": report.allocators,
            "seconds": self.seconds,
            "operations_per_second": report.operations as f64 / self.seconds.max(0.001),
            "known": report.known,
            "resynced": report.resynced,
            "not_compared": report.not_compared.iter().map(|c| format!("{c:?}")).collect::<Vec<_>>(),
            "coverage": coverage,
            "never_met": report.tally.never_met(self.faults),
            "failures": failures,
        })
    }
}
