//! Finds out whether a trace shows the same on the other kernel.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gpu_buddy::diff::{Trace, TraceFile};

use super::corpus;
use super::jobs;
use super::report::Relation;
use crate::supervise::candidate::{Kind, Seen, try_trace_with};

/// How long one operation may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// A kernel, as a module.
#[derive(Clone)]
pub struct Subject {
    pub module: PathBuf,
    /// The environment that a process needs to load it.
    pub environment: Vec<(&'static str, OsString)>,
}

impl Subject {
    /// What a trace shows under the contract alone.
    pub fn show(&self, trace: &Trace, strict: bool, folder: &Path) -> Option<Seen> {
        let interval = if trace.operations.len() > 1000 { 64 } else { 1 };
        let mut arguments: Vec<OsString> = vec![
            "--kernel".into(),
            self.module.clone().into(),
            "--against".into(),
            "contract".into(),
            format!("--full-check-interval={interval}").into(),
            "--all-or-nothing".into(),
        ];
        arguments.extend(strict.then(|| "--strict".into()));
        try_trace_with(trace, &arguments, &self.environment, folder, PATIENCE).ok().flatten()
    }
}

/// A folder for temporary files, and a deadline.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub folder: &'a Path,
    pub deadline: Instant,
}

/// Minimum time for replaying the findings, even if no time is left.
const LEAST: Duration = Duration::from_secs(3);

impl Place<'_> {
    /// With at least some time, to tell new from old findings.
    fn at_least(self) -> Self {
        Self { deadline: self.deadline.max(Instant::now() + LEAST), ..self }
    }
}

/// Does `work` with each of several things, some at a time, each with its own folder. Returns
/// `None` for those that are left at the deadline.
fn each<T: Sync, R: Send>(
    things: &[T],
    place: Place<'_>,
    work: impl Fn(&T, &Path) -> R + Sync,
) -> Vec<Option<R>> {
    jobs::each(things, |lane, _, thing| {
        if Instant::now() >= place.deadline || jobs::is_interrupted() {
            return None;
        }
        let folder = place.folder.join(lane.to_string());
        // If this fails, the replay shows nothing, as on a full disk.
        let _ = std::fs::create_dir_all(&folder);
        // What was ended by an interrupt has shown nothing of itself.
        Some(work(thing, &folder)).filter(|_| !jobs::is_interrupted())
    })
}

/// One of the known traces, and what it shows.
pub struct Known {
    pub name: &'static str,
    pub trace: &'static str,
    pub relation: Relation,
    /// What the kernels show.
    pub lines: Vec<String>,
}

/// Whether a trace breaks the promise that it is about.
fn is_about(trace: &corpus::Trace, seen: &Seen) -> bool {
    match &seen.kind {
        Kind::Finding(kind) => trace.breaks == kind,
        Kind::Death(_) | Kind::NotOffered => false,
    }
}

/// Runs the known traces on both kernels, each on one kernel after the other. Those that neither
/// shows are left out, and those for which there is no time.
pub fn corpus(patched: &Subject, base: &Subject, place: Place<'_>) -> Vec<Known> {
    let traces = corpus::traces();
    let seen = each(&traces, place, |trace, folder| {
        let file: TraceFile = trace.text.parse().ok()?;
        Some([patched, base].map(|subject| subject.show(file.trace(), true, folder)))
    });
    let folder = place.folder;
    // Whether it shows more than the known breaches of such a kernel.
    let is_unknown = |trace: &corpus::Trace| {
        let file = trace.text.parse::<TraceFile>();
        file.is_ok_and(|file| patched.show(file.trace(), false, folder).is_some())
    };
    let known = traces.iter().zip(seen).filter_map(|(trace, seen)| {
        let [patched, base] = seen.flatten()?;
        let not_offered =
            |seen: &Option<Seen>| seen.as_ref().is_some_and(|seen| seen.kind == Kind::NotOffered);
        if not_offered(&patched) || not_offered(&base) {
            return None;
        }
        let (relation, lines) = match (patched, base) {
            (Some(patched), Some(base)) if patched.kind == base.kind => {
                (Relation::InBoth, vec![patched.finding])
            }
            (Some(patched), Some(base)) if is_unknown(trace) => {
                (Relation::New, vec![patched.finding, format!("the base: {}", base.finding)])
            }
            (Some(patched), Some(base)) => {
                let relation = if is_about(trace, &base) && !is_about(trace, &patched) {
                    Relation::Fixed
                } else {
                    Relation::Different
                };
                (relation, vec![format!("the base: {}", base.finding), patched.finding])
            }
            (Some(patched), None) => (Relation::New, vec![patched.finding]),
            (None, Some(base)) => (Relation::Fixed, vec![format!("the base: {}", base.finding)]),
            (None, None) => return None,
        };
        Some(Known { name: trace.name, trace: trace.text, relation, lines })
    });
    known.collect()
}

/// What a trace that one kernel fails shows on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    TheSame,
    SomethingElse,
    Nothing,
    /// There was no time to replay it.
    NotKnown,
}

/// Whether a trace makes a kernel crash or hang.
pub fn dies(trace: &str, subject: &Subject, place: Place<'_>) -> bool {
    let seen = each(&[trace], place.at_least(), |text, folder| {
        subject.show(&text.parse().ok()?, false, folder)
    });
    let is_death = |seen: Seen| matches!(seen.kind, Kind::Death(_));
    seen.into_iter().flatten().flatten().any(is_death)
}

/// What each trace, found on `own`, shows on `other`.
pub fn elsewhere(
    traces: &[String],
    own: &Subject,
    other: &Subject,
    place: Place<'_>,
) -> Vec<Elsewhere> {
    let results = each(traces, place.at_least(), |text, folder| {
        let Ok(trace) = text.parse::<Trace>() else { return Elsewhere::SomethingElse };
        let kind =
            |subject: &Subject, strict| subject.show(&trace, strict, folder).map(|seen| seen.kind);
        // The other kernel may show a known breach first, so try with and without those.
        let found = kind(own, false);
        match kind(other, true) {
            None => Elsewhere::Nothing,
            first if first == found || kind(other, false) == found => Elsewhere::TheSame,
            _ => Elsewhere::SomethingElse,
        }
    });
    results.into_iter().map(|result| result.unwrap_or(Elsewhere::NotKnown)).collect()
}
