//! The runs of a check: their processes, their time, and their results.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::jobs::{self, Done, Job, Limit};
use super::judge::Subject;
use super::kunit::Kunit;
use super::report::{Found, Mark, Part, Relation, Step, count};
use crate::compare::report::Shown;
use crate::torture::report::Report as TortureReport;

/// A run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Run {
    Lockstep,
    Contract,
    Sanitized,
    Faults,
    BaseContract,
    BaseFaults,
    Threads,
    Kunit,
    BaseKunit,
    /// The suite of the base on the patched C.
    OldSuite,
}

impl Run {
    /// Its share of the time. A KUnit run has no fixed share.
    fn weight(self) -> f64 {
        match self {
            Self::Lockstep => 5.0,
            Self::Contract => 3.0,
            Self::Sanitized | Self::Faults | Self::BaseContract => 2.0,
            Self::BaseFaults | Self::Threads => 1.5,
            Self::Kunit | Self::BaseKunit | Self::OldSuite => 0.0,
        }
    }

    /// It is not interrupted before. If the kernel hangs, the first runs find the call, and the
    /// others are skipped.
    fn least(self) -> Duration {
        match self {
            Self::Lockstep | Self::Contract => TO_FIND_A_HANG,
            _ => Duration::ZERO,
        }
    }
}

/// How long it takes to notice that a call hangs, and to find it.
const TO_FIND_A_HANG: Duration = Duration::from_secs(5);

/// The modules to run.
pub struct Modules {
    /// The patched kernel, if possible with gcov counters.
    pub patched: Subject,
    pub base: Subject,
    pub sanitized: Option<Subject>,
    pub old_suite: Option<PathBuf>,
    pub has_suite: [bool; 2],
}

/// A call hangs if it makes no progress for this many seconds.
const PATIENCE: &str = "1.5";

/// The output of a run that hangs. Other runs of that kernel would hang too.
const HANG: &str = "hang: a call";

/// The beginnings of the lines that name the promises of a difference.
pub const BREAKS: &str = "breaks what the base keeps:";
pub const KEEPS: &str = "keeps what the base breaks:";

/// Share of the operations in which memory fails, in the runs with failing memory.
const FAULTS: &str = "0.02";

/// Minimum time limit of a KUnit suite; it takes less than a second.
const KUNIT_PATIENCE: f64 = 4.0;

/// The results of all runs.
pub struct Results {
    done: BTreeMap<Run, Done>,
    pub operations: u64,
}

/// Runs everything in about `seconds`, and shrinks traces for a little longer. `each` is called
/// when a part is done.
pub fn run(
    modules: &Modules,
    seconds: f64,
    seed: u64,
    folder: &Path,
    each: impl Fn(&str) + Sync,
) -> std::io::Result<Results> {
    let mut runs = vec![
        // At once, since it may take its whole limit if the kernel hangs.
        Run::Kunit,
        Run::Lockstep,
        Run::Contract,
        Run::Sanitized,
        Run::Faults,
        Run::BaseContract,
        Run::BaseFaults,
        Run::Threads,
        Run::BaseKunit,
        Run::OldSuite,
    ];
    runs.retain(|run| match run {
        Run::Sanitized => modules.sanitized.is_some(),
        Run::OldSuite => modules.old_suite.is_some(),
        Run::Kunit => modules.has_suite[0],
        Run::BaseKunit => modules.has_suite[1],
        _ => true,
    });
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let jobs: Vec<_> = runs
        .iter()
        .map(|&run| {
            let limit = match run.weight() {
                0.0 => {
                    Limit::Processor(Duration::from_secs_f64((seconds / 2.0).max(KUNIT_PATIENCE)))
                }
                weight => Limit::Share { weight, least: run.least() },
            };
            modules.job(run, limit, seed, folder)
        })
        .collect();
    let done = jobs::run(&jobs, end, |index| each(runs[index].name()))?;
    let done: BTreeMap<_, _> = runs.into_iter().zip(done).collect();
    let mut results = Results { done, operations: 0 };
    let runs: Vec<_> = results.done.keys().copied().collect();
    results.operations = runs.into_iter().map(|run| results.operations(run)).sum();
    Ok(results)
}

impl Run {
    fn name(self) -> &'static str {
        match self {
            Self::Lockstep => "lockstep",
            Self::Contract => "contract",
            Self::Sanitized => "sanitizers",
            Self::Faults => "failing memory",
            Self::BaseContract => "contract of the base",
            Self::BaseFaults => "failing memory of the base",
            Self::Threads => "threads",
            Self::Kunit => "KUnit",
            Self::BaseKunit => "KUnit of the base",
            Self::OldSuite => "the base's KUnit suite",
        }
    }
}

impl Modules {
    fn job(&self, run: Run, limit: Limit, seed: u64, folder: &Path) -> Job {
        let base = self.base.module.clone();
        let torture = |kernel: &Subject, more: &[&str]| {
            let mut arguments: Vec<OsString> = vec!["torture".into(), "--kernel".into()];
            arguments.push(kernel.module.clone().into());
            arguments.extend(["--against", "contract", "--json"].map(OsString::from));
            arguments.extend(more.iter().map(OsString::from));
            arguments.extend(["--out".into(), folder.into()]);
            arguments
        };
        let kunit = |kernel: &Path| {
            vec!["kunit".into(), "--kernel".into(), kernel.into(), "--seed".into(), "1".into()]
        };
        let old_suite = self.old_suite.clone().unwrap_or_default();
        let (subject, mut arguments) = match run {
            Run::Lockstep => {
                let kernels = [self.patched.module.clone().into(), base.into()];
                let mut arguments: Vec<OsString> = vec!["compare".into()];
                arguments.extend(kernels);
                arguments.push("--json".into());
                (&self.patched, arguments)
            }
            Run::Contract => (&self.patched, torture(&self.patched, &["--keep-going"])),
            Run::Sanitized => {
                let subject = self.sanitized.as_ref().unwrap_or(&self.patched);
                (subject, torture(subject, &["--keep-going", "--faults", "0.001"]))
            }
            Run::Faults => {
                (&self.patched, torture(&self.patched, &["--keep-going", "--faults", FAULTS]))
            }
            Run::BaseContract => (&self.base, torture(&self.base, &["--keep-going"])),
            Run::BaseFaults => {
                (&self.base, torture(&self.base, &["--keep-going", "--faults", FAULTS]))
            }
            Run::Threads => {
                (&self.patched, torture(&self.patched, &["--shared", "--threads", "2"]))
            }
            Run::Kunit => (&self.patched, kunit(&self.patched.module)),
            Run::BaseKunit => (&self.base, kunit(&self.base.module)),
            Run::OldSuite => (&self.patched, kunit(&old_suite)),
        };
        if matches!(limit, Limit::Share { .. }) {
            arguments.extend(["--seed".into(), seed.to_string().into()]);
            arguments.extend(["--patience", PATIENCE].map(OsString::from));
        }
        let is_of_base = matches!(run, Run::BaseContract | Run::BaseFaults | Run::BaseKunit);
        let unless = (!is_of_base).then_some(HANG);
        let mut environment = subject.environment.clone();
        // A process that is killed leaves its files behind, but this folder is removed at the end.
        environment.push(("TMPDIR", folder.into()));
        Job { arguments, environment, limit, unless }
    }
}

impl Results {
    fn json(&self, run: Run) -> Option<Value> {
        serde_json::from_str(&self.done.get(&run)?.stdout).ok()
    }

    fn torture(&self, run: Run) -> Option<TortureReport> {
        serde_json::from_str(&self.done.get(&run)?.stdout).ok()
    }

    /// Whether a call of one of the kernels hangs.
    pub fn hang(&self) -> bool {
        self.done.values().any(|done| done.late || done.stdout.contains(HANG))
    }

    /// Whether its process died without a count of its operations.
    pub fn died(&self, run: Run) -> bool {
        self.torture(run).is_some_and(|report| report.done.is_none())
    }

    pub fn operations(&self, run: Run) -> u64 {
        self.json(run).and_then(|value| value["operations"].as_u64()).unwrap_or(0)
    }

    /// Why a part has no result, if it has none.
    pub fn failure(&self, run: Run) -> Option<String> {
        let done = self.done.get(&run)?;
        let has_result = match run {
            Run::Kunit | Run::BaseKunit | Run::OldSuite => done.stdout.contains("# "),
            _ => self.json(run).is_some(),
        };
        if has_result {
            return None;
        }
        if done.left_out.is_some() {
            return Some(format!("{} was not run, because the kernel hangs", run.name()));
        }
        let last = done.stderr.lines().rfind(|line| !line.trim().is_empty());
        Some(match (done.late, done.code, last) {
            (true, ..) => format!("{} took too long", run.name()),
            (_, _, Some(last)) => format!("{}: {}", run.name(), last.trim_start_matches("error: ")),
            (_, Some(code), None) => format!("{} ended with exit code {code}", run.name()),
            (_, None, None) => format!("{} was killed by a signal", run.name()),
        })
    }

    /// The findings of torture on one kernel.
    pub fn torture_findings(&self, run: Run, part: Part) -> Vec<Found> {
        let report = self.torture(run);
        let died =
            report.as_ref().is_some_and(|report| !report.passed && report.failures.is_empty());
        let unknown = died.then(|| Found {
            part,
            relation: Relation::New,
            kind: "unknown".to_owned(),
            lines: vec!["crash or hang: no trace reproduces it".to_owned()],
            count: 1,
            trace: None,
            cut_short: false,
        });
        let failures = report.map(|report| report.failures).unwrap_or_default();
        failures
            .into_iter()
            .map(|found| Found {
                part,
                relation: Relation::New,
                kind: found.kind,
                lines: std::iter::once(found.finding).chain(found.notes).collect(),
                count: found.count,
                trace: (!found.trace.is_empty()).then_some(found.trace),
                cut_short: found.cut_short,
            })
            .chain(unknown)
            .collect()
    }

    /// The differences between the two kernels, and the promises that only one breaks.
    pub fn differences(&self, names: (&str, &str)) -> Vec<Found> {
        let report = self.json(Run::Lockstep).unwrap_or_default();
        let differences = Vec::<Shown>::deserialize(&report["differences"]).unwrap_or_default();
        differences.into_iter().map(|shown| difference(shown, names)).collect()
    }

    /// The result of a KUnit run; `None` if there was none.
    pub fn kunit(&self, run: Run) -> Option<Kunit> {
        let done = self.done.get(&run).filter(|done| done.left_out.is_none())?;
        Some(Kunit::read(&done.stdout, done.late))
    }
}

fn difference(shown: Shown, (patched, base): (&str, &str)) -> Found {
    let dies = shown.base.is_none();
    let mut lines = match shown.base {
        Some(of_base) => {
            let width = patched.len().max(base.len()) + 1;
            vec![
                format!("{:width$} {}", format!("{patched}:"), shown.kernel),
                format!("{:width$} {of_base}", format!("{base}:")),
            ]
        }
        None => vec![shown.kernel],
    };
    let (new, fixed) = (shown.new, shown.fixed);
    if !new.is_empty() {
        lines.push(format!("{BREAKS} {}", new.join(", ")));
    }
    if !fixed.is_empty() {
        lines.push(format!("{KEEPS} {}", fixed.join(", ")));
    }
    // If the base hits a BUG here, any other answer is a fix.
    let was_bug = fixed.iter().any(|promise| promise == "no-bug");
    let relation = match (dies || (!new.is_empty() && !was_bug), fixed.is_empty()) {
        (true, _) => Relation::New,
        (false, false) => Relation::Fixed,
        (false, true) => Relation::Different,
    };
    Found {
        part: if shown.kind.ends_with(": cost") { Part::Cost } else { Part::Lockstep },
        relation,
        kind: shown.kind,
        lines,
        count: shown.count,
        trace: Some(shown.trace).filter(|trace| !trace.is_empty()),
        cut_short: shown.cut_short,
    }
}

/// A part that could not be run.
pub fn not_run(part: Part, why: impl Into<String>) -> Step {
    Step { part, mark: Mark::NotRun, summary: why.into() }
}

/// "3 kinds", "1 kind".
pub fn plural(number: usize, one: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {one}{s}", count(number as u64))
}
