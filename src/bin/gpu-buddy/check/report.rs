//! The report of a check, as data.

use std::collections::BTreeMap;

use serde::Serialize;

/// The seven parts of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Build,
    Kunit,
    Lockstep,
    Contract,
    UndefinedBehaviour,
    Coverage,
    Cost,
}

impl Part {
    pub const ALL: [Self; 7] = [
        Self::Build,
        Self::Kunit,
        Self::Lockstep,
        Self::Contract,
        Self::UndefinedBehaviour,
        Self::Coverage,
        Self::Cost,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Kunit => "KUnit",
            Self::Lockstep => "lockstep",
            Self::Contract => "contract",
            Self::UndefinedBehaviour => "undefined behaviour",
            Self::Coverage => "coverage",
            Self::Cost => "cost",
        }
    }
}

/// The result of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    NotRun,
    /// It could not be run.
    NoResult,
    Passed,
    /// There are differences, but no failure.
    Changed,
    Failed,
}

/// A part and its result, in a line.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub part: Part,
    pub mark: Mark,
    pub summary: String,
}

/// How a finding relates to the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The base does not show it: something is broken.
    New,
    /// The answers differ, and no promise is broken.
    Different,
    /// Only the base shows it.
    Fixed,
    /// Both show it.
    InBoth,
}

/// A finding.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    pub part: Part,
    pub relation: Relation,
    /// The kind of call, and what differs or is wrong.
    pub kind: String,
    /// What is wrong, or the two answers, one per line.
    pub lines: Vec<String>,
    pub count: u64,
    pub trace: Option<String>,
    pub cut_short: bool,
}

impl Found {
    /// Whether it is a crash or a hang.
    pub fn dies(&self) -> bool {
        self.lines.iter().any(|line| line.starts_with("crash") || line.starts_with("hang"))
    }
}

/// One of the two kernels.
#[derive(Clone, Debug, Serialize)]
pub struct Kernel {
    pub name: String,
    pub revision: String,
    /// The SHA-256 of each file, by its path in the tree.
    pub sha256: BTreeMap<String, String>,
}

/// The whole report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub verdict: Verdict,
    /// The verdict in words.
    pub sentence: String,
    pub patched: Kernel,
    pub base: Kernel,
    pub seed: u64,
    pub seconds: f64,
    pub operations: u64,
    pub interrupted: bool,
    pub notes: Vec<String>,
    pub steps: Vec<Step>,
    pub findings: Vec<Found>,
}

/// The verdict of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The code is the same.
    SameBehaviour,
    /// No difference was found.
    NoDifference,
    /// Answers differ, and no promise is broken.
    BehaviourChanges,
    /// Something is broken.
    Broken,
    /// A part could not be run, and the others found nothing wrong.
    Incomplete,
}

impl Report {
    /// Sets the verdict and its sentence from the findings.
    pub fn decide(&mut self, same_code: Option<&str>) {
        let of = |relation| self.findings.iter().filter(move |found| found.relation == relation);
        let failed: Vec<_> = self
            .steps
            .iter()
            .filter(|step| step.mark == Mark::Failed)
            .map(|step| step.part)
            .collect();
        let run = format!("in {} operations, seed {}", count(self.operations), self.seed);
        let fixes = of(Relation::Fixed).count();
        let fixed = match fixes {
            0 => String::new(),
            1 => ", and fixes one thing".to_owned(),
            fixes => format!(", and fixes {fixes} things"),
        };
        (self.verdict, self.sentence) = if !failed.is_empty() {
            (Verdict::Broken, format!("{}{fixed}", broken(&failed, &self.findings)))
        } else if let Some(step) = self.steps.iter().find(|step| step.mark == Mark::NoResult) {
            let why = format!("not checked: {}: {}", step.part.name(), step.summary);
            (Verdict::Incomplete, why)
        } else if let Some(why) = same_code {
            (Verdict::SameBehaviour, format!("same behaviour: {why}"))
        } else if of(Relation::Different).next().is_some() || fixes > 0 {
            let changes = of(Relation::Different).count();
            let what = if changes > 0 {
                format!("behaviour changes, no promise broken {run}{fixed}")
            } else {
                format!("same answers, no promise broken {run}{fixed}")
            };
            (Verdict::BehaviourChanges, what)
        } else {
            (Verdict::NoDifference, format!("no difference found {run}"))
        };
        if self.interrupted {
            self.sentence.push_str(" (interrupted: this is what was found so far)");
        }
    }

    pub fn passed(&self) -> bool {
        !matches!(self.verdict, Verdict::Broken | Verdict::Incomplete)
    }
}

/// What is broken, in words.
fn broken(failed: &[Part], findings: &[Found]) -> String {
    let mut words = Vec::new();
    for &part in failed {
        match part {
            Part::Build => words.push("does not start"),
            Part::Kunit | Part::Lockstep | Part::Contract => {
                let is_new = |found: &&Found| found.part == part && found.relation == Relation::New;
                let new: Vec<_> = findings.iter().filter(is_new).collect();
                let dies = |word: &str| {
                    new.iter().any(|found| found.lines.iter().any(|line| line.starts_with(word)))
                };
                words.extend(dies("crash").then_some("crashes"));
                words.extend(dies("hang").then_some("hangs"));
                let what = match part {
                    Part::Kunit => "fails its KUnit suite",
                    _ => "breaks a promise",
                };
                let breaks = part == Part::Kunit || new.iter().any(|found| !found.dies());
                words.extend(breaks.then_some(what));
            }
            Part::UndefinedBehaviour => words.push("has undefined behaviour"),
            Part::Coverage => {}
            Part::Cost => words.push("makes a call more than twice as expensive"),
        }
    }
    let mut told = Vec::new();
    for word in words {
        if !told.contains(&word) {
            told.push(word);
        }
    }
    told.join(", ")
}

/// A number with thousands separators.
pub fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}
