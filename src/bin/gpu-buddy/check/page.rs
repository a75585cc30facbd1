//! The HTML page of a check.

use std::ffi::OsString;
use std::path::Path;

use super::build::Built;
use super::jobs;
use super::output::{RELATIONS, mark};
use super::report::{Found, Mark, Part, Relation, Report, Verdict};
use crate::Failure;
use crate::report::page::{Page, Shown, Tone};
use crate::report::{self, Run};

/// The findings, new ones first, each with its trace run call by call. `place` is for temporary
/// files.
pub fn findings(report: &Report, built: &Built, place: &Path) -> Vec<Shown> {
    let kernels = Kernels { report, built };
    let relations = RELATIONS.iter().copied().chain([(Relation::InBoth, "both")]);
    let found = relations.flat_map(|(relation, label)| {
        let found = report.findings.iter().filter(|found| found.relation == relation);
        let mut found: Vec<_> = found.map(|found| (label, found)).collect();
        // The shortest traces first, as on the screen.
        found.sort_by_key(|(_, found)| found.trace.as_ref().map_or(usize::MAX, String::len));
        found
    });
    found.map(|(label, found)| kernels.show(label, found, place)).collect()
}

struct Kernels<'a> {
    report: &'a Report,
    built: &'a Built,
}

impl Kernels<'_> {
    fn show(&self, label: &str, found: &Found, place: &Path) -> Shown {
        let tone = match found.relation {
            Relation::New => Tone::Bad,
            Relation::Different => Tone::Changed,
            Relation::Fixed => Tone::Good,
            Relation::InBoth => Tone::Quiet,
        };
        let mut lines = found.lines.clone();
        if found.count > 1 {
            lines.push(format!("seen {} times", found.count));
        }
        if found.cut_short {
            lines.push("shrinking the trace ran out of time".to_owned());
        }
        // After an interrupt, do not wait for a trace that hangs.
        let runs = if jobs::is_interrupted() { Vec::new() } else { self.runs(found) };
        Shown::new(label, tone, &found.kind, lines, found.trace.as_deref(), &runs, place)
    }

    /// The ways to reproduce a finding, best first.
    fn runs(&self, found: &Found) -> Vec<Run> {
        let (patched, base) = (&self.built.patched, &self.built.base);
        let names = (&self.report.patched.name, &self.report.base.name);
        let option = |kernel: &Path, against: OsString| -> Vec<OsString> {
            vec!["--kernel".into(), kernel.into(), "--against".into(), against]
        };
        let both = |more: &[&str]| Run {
            options: [option(patched, base.into()), more.iter().map(OsString::from).collect()]
                .concat(),
            environment: Vec::new(),
            kernel: names.0.clone(),
            other: Some(names.1.clone()),
        };
        let (kernel, name) =
            if found.relation == Relation::Fixed { (base, names.1) } else { (patched, names.0) };
        let alone = |kernel: &Path, environment: &[(&'static str, OsString)]| Run {
            options: [option(kernel, "contract".into()), vec!["--strict".into()]].concat(),
            environment: environment.to_vec(),
            kernel: name.clone(),
            other: None,
        };
        match (found.part, &self.built.sanitized) {
            (Part::UndefinedBehaviour, Ok(sanitized)) => {
                vec![alone(&sanitized.module, &sanitized.environment)]
            }
            // The lockstep would not show which of the two dies.
            _ if found.dies() => vec![alone(kernel, &[]), both(&[])],
            (Part::Lockstep | Part::Cost, _) => vec![both(&["--differences-only"])],
            _ => vec![both(&[]), alone(kernel, &[])],
        }
    }
}

/// Writes the page.
pub fn write(report: &Report, findings: Vec<Shown>, file: &Path) -> Result<(), Failure> {
    let tone = match report.verdict {
        Verdict::Broken | Verdict::Incomplete => Tone::Bad,
        Verdict::BehaviourChanges => Tone::Changed,
        _ => Tone::Good,
    };
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let parts = report.steps.iter().map(|step| {
        let tone = match step.mark {
            Mark::Passed => Tone::Good,
            Mark::Changed => Tone::Changed,
            Mark::Failed | Mark::NoResult => Tone::Bad,
            Mark::NotRun => Tone::Quiet,
        };
        let (name, word) = (step.part.name().to_owned(), mark(step.mark).0.to_owned());
        (name, tone, word, step.summary.clone())
    });
    let page = Page {
        title: format!("{} against {}", report.patched.name, report.base.name),
        verdict: report.sentence.clone(),
        tone,
        about: vec![
            fact("seed", report.seed.to_string()),
            fact("time", format!("{:.1} s", report.seconds)),
            fact("written by", format!("gpu-buddy {}", env!("CARGO_PKG_VERSION"))),
        ],
        parts: parts.collect(),
        notes: report.notes.clone(),
        findings,
        single: false,
    };
    report::write(&page, file)
}
