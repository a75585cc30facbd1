//! The report of `gpu-buddy compare`.

use std::io::Write;
use std::path::Path;

use gpu_buddy::diff::compare::{self, Difference};
use gpu_buddy::diff::{Promise, Trace};
use gpu_buddy::module::Module;
use indicatif::HumanCount;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The file to which a supervised process writes its report.
pub const REPORT: &str = "report.json";

/// What was run, and the result.
pub struct Comparison {
    pub kernel: Module,
    pub base: Module,
    pub seed: u64,
    traces: usize,
    operations: u64,
    allocators: u64,
    not_asked_for: Vec<String>,
    pub seconds: f64,
    pub interrupted: bool,
    pub differences: Vec<Shown>,
}

/// One kind of difference.
#[derive(Clone, Serialize, Deserialize)]
pub struct Shown {
    pub kind: String,
    pub count: u64,
    /// What the kernel answers; or, if the base has no answer, how the process ended.
    pub kernel: String,
    pub base: Option<String>,
    /// The promises that only the kernel breaks, and only the base.
    pub new: Vec<String>,
    pub fixed: Vec<String>,
    pub trace: String,
    pub cut_short: bool,
}

impl Shown {
    /// A difference, and the text of its trace.
    pub fn difference(difference: &Difference, trace: String) -> Self {
        let names = |promises: &[Promise]| {
            promises.iter().map(|promise| promise.name().to_owned()).collect()
        };
        let Difference { kind, count, divergence, cut_short, .. } = difference;
        Self {
            kind: kind.clone(),
            count: *count,
            kernel: divergence.subject.clone(),
            base: Some(divergence.reference.clone()),
            new: names(&divergence.new),
            fixed: names(&divergence.fixed),
            trace,
            cut_short: *cut_short,
        }
    }

    /// A trace that kills a process, and its text.
    pub fn death(what: &str, trace: &Trace, text: String) -> Self {
        Self::of_process(compare::call(trace.operations.last()), what.to_owned(), text)
    }

    /// A process that has died, and no trace reproduces it.
    pub fn unknown_death(what: &str) -> Self {
        let what = format!("{what}; no trace reproduces it");
        Self::of_process("unknown".to_owned(), what, String::new())
    }

    fn of_process(kind: String, what: String, trace: String) -> Self {
        let (new, fixed) = (Vec::new(), Vec::new());
        Self { kind, count: 1, kernel: what, base: None, new, fixed, trace, cut_short: false }
    }
}

/// What a supervised process writes for its supervisor.
#[derive(Default, Serialize, Deserialize)]
pub struct Left {
    pub operations: u64,
    pub allocators: u64,
    pub not_asked_for: Vec<String>,
    pub differences: Vec<Shown>,
}

impl Left {
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let new = folder.join("report.new");
        std::fs::write(&new, serde_json::to_string(self)?)?;
        std::fs::rename(new, folder.join(REPORT))
    }
}

/// What only one of two kernels can do.
fn only(one: Module, other: Module) -> Vec<&'static str> {
    let features = one.features().iter();
    features.map(|feature| feature.name).filter(|name| !other.has(name)).collect()
}

impl Comparison {
    pub fn new(kernel: Module, base: Module, seed: u64, traces: usize) -> Self {
        Self {
            kernel,
            base,
            seed,
            traces,
            operations: 0,
            allocators: 0,
            not_asked_for: Vec::new(),
            seconds: 0.0,
            interrupted: false,
            differences: Vec::new(),
        }
    }

    pub fn is_same(&self) -> bool {
        self.differences.is_empty()
    }

    /// Adds a difference, or counts it if there is one of its kind.
    pub fn add(&mut self, shown: Shown) {
        let same = |other: &&mut Shown| {
            other.kind == shown.kind && other.base.is_some() == shown.base.is_some()
        };
        match self.differences.iter_mut().find(same) {
            Some(same) => same.count += shown.count,
            None => self.differences.push(shown),
        }
    }

    /// Adds the report that a process has written to the folder.
    pub fn take_in(&mut self, folder: &Path) {
        let file = folder.join(REPORT);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let _ = std::fs::remove_file(file);
        let Ok(left) = serde_json::from_str::<Left>(&text) else { return };
        self.operations += left.operations;
        self.allocators += left.allocators;
        for name in left.not_asked_for {
            if !self.not_asked_for.contains(&name) {
                self.not_asked_for.push(name);
            }
        }
        left.differences.into_iter().for_each(|shown| self.add(shown));
    }

    pub fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        let (name, base) = (self.kernel.name(), self.base.name());
        writeln!(out, "{}", self.verdict())?;
        for (number, difference) in (1..).zip(&self.differences) {
            let Shown { kind, count, kernel, base: theirs, trace, cut_short, new, fixed } =
                difference;
            let times = if *count == 1 { String::new() } else { format!(", seen {count} times") };
            let cut_short = if *cut_short { "; shrinking the trace ran out of time" } else { "" };
            writeln!(out, "\n{number}. {kind}{times}{cut_short}")?;
            let width = name.len().max(base.len()) + 1;
            match theirs {
                Some(theirs) => {
                    writeln!(out, "   {:width$} {kernel}", format!("{name}:"))?;
                    writeln!(out, "   {:width$} {theirs}", format!("{base}:"))?;
                }
                None => writeln!(out, "   {kernel}")?,
            }
            for (what, promises) in [("new breach", new), ("fixed breach", fixed)] {
                if !promises.is_empty() {
                    writeln!(out, "   {what} of: {}", promises.join(", "))?;
                }
            }
            for line in trace.lines() {
                writeln!(out, "       {line}")?;
            }
        }
        writeln!(out)?;
        self.facts().iter().try_for_each(|fact| writeln!(out, "{fact}"))
    }

    /// In a sentence.
    pub fn verdict(&self) -> String {
        let (name, base) = (self.kernel.name(), self.base.name());
        match self.differences.len() {
            0 => format!("{name} and {base} give the same answers"),
            1 => format!("{name} and {base} differ"),
            kinds => format!("{name} and {base} differ in {kinds} ways"),
        }
    }

    /// Facts about the run.
    pub fn facts(&self) -> Vec<String> {
        let mut facts = Vec::new();
        for (one, other) in [(self.kernel, self.base), (self.base, self.kernel)] {
            let only = only(one, other);
            if !only.is_empty() {
                facts.push(format!("only {} has: {}", one.name(), only.join(", ")));
            }
        }
        if !self.not_asked_for.is_empty() {
            let names = self.not_asked_for.join(", ");
            facts.push(format!("not tested, only one kernel supports it: {names}"));
        }
        let interrupted = if self.interrupted { ", interrupted" } else { "" };
        if self.traces > 0 {
            facts.push(format!("traces replayed: {}{interrupted}", self.traces));
            return facts;
        }
        facts.push(format!(
            "seed {}: {} operations on {} allocators in {:.1} s{interrupted}",
            self.seed,
            HumanCount(self.operations),
            HumanCount(self.allocators),
            self.seconds,
        ));
        facts
    }

    pub fn json(&self) -> Value {
        json!({
            "kernel": self.kernel.name(),
            "base": self.base.name(),
            "same": self.is_same(),
            "seed": self.seed,
            "operations": self.operations,
            "allocators": self.allocators,
            "seconds": self.seconds,
            "interrupted": self.interrupted,
            "only_kernel": only(self.kernel, self.base),
            "only_base": only(self.base, self.kernel),
            "not_asked_for": self.not_asked_for,
            "differences": self.differences,
        })
    }
}
