//! What `gpu-buddy compare` says.

use std::io::Write;
use std::path::Path;

use gpu_buddy::diff::{Trace, compare};
use gpu_buddy::module::Module;
use indicatif::HumanCount;
use serde_json::{Value, json};

/// The file that a process under supervision leaves its report in.
pub const REPORT: &str = "report.json";

/// What was run, and what came of it.
pub struct Comparison {
    kernel: Module,
    base: Module,
    pub seed: u64,
    traces: usize,
    operations: u64,
    allocators: u64,
    not_asked_for: Vec<String>,
    pub seconds: f64,
    pub interrupted: bool,
    differences: Vec<Shown>,
}

/// One kind of difference, as it is shown.
pub struct Shown {
    kind: String,
    count: u64,
    /// What the two answer; or nothing but what became of the process.
    answers: Result<(String, String), String>,
    /// The promises that only the kernel breaks here, and only the base.
    new: Vec<String>,
    fixed: Vec<String>,
    trace: String,
    cut_short: bool,
}

impl Shown {
    /// A trace that kills a process, and its text.
    pub fn death(what: &str, trace: &Trace, text: String) -> Self {
        Self {
            kind: compare::call(trace.operations.last()),
            count: 1,
            answers: Err(what.to_owned()),
            new: Vec::new(),
            fixed: Vec::new(),
            trace: text,
            cut_short: false,
        }
    }

    /// A process that has died, and no trace shows why.
    pub fn unknown_death(what: &str) -> Self {
        Self {
            kind: "unknown".to_owned(),
            count: 1,
            answers: Err(format!("{what}; no trace shows it")),
            new: Vec::new(),
            fixed: Vec::new(),
            trace: String::new(),
            cut_short: false,
        }
    }

    fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let names = |name: &str| {
            let names = value[name].as_array().into_iter().flatten();
            names.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Some(Self {
            kind: text("kind")?,
            count: value["count"].as_u64()?,
            answers: Ok((text("kernel")?, text("base")?)),
            new: names("new"),
            fixed: names("fixed"),
            trace: text("trace")?,
            cut_short: value["cut_short"].as_bool()?,
        })
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
            other.kind == shown.kind && other.answers.is_ok() == shown.answers.is_ok()
        };
        match self.differences.iter_mut().find(same) {
            Some(same) => same.count += shown.count,
            None => self.differences.push(shown),
        }
    }

    /// Takes in what a process has left in the folder.
    pub fn take_in(&mut self, folder: &Path) {
        let file = folder.join(REPORT);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let _ = std::fs::remove_file(file);
        let Ok(report) = serde_json::from_str::<Value>(&text) else { return };
        self.operations += report["operations"].as_u64().unwrap_or(0);
        self.allocators += report["allocators"].as_u64().unwrap_or(0);
        for name in report["not_asked_for"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap_or_default();
            if !self.not_asked_for.iter().any(|known| known == name) {
                self.not_asked_for.push(name.to_owned());
            }
        }
        let differences = report["differences"].as_array().into_iter().flatten();
        differences.filter_map(Shown::read).for_each(|shown| self.add(shown));
    }

    pub fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        let (name, base) = (self.kernel.name(), self.base.name());
        match self.differences.len() {
            0 => writeln!(out, "{name} and {base} give the same answers")?,
            1 => writeln!(out, "{name} and {base} differ")?,
            kinds => writeln!(out, "{name} and {base} differ in {kinds} ways")?,
        }
        for (number, difference) in (1..).zip(&self.differences) {
            let Shown { kind, count, answers, trace, cut_short, new, fixed } = difference;
            let times = if *count == 1 { String::new() } else { format!(", met {count} times") };
            let cut_short = if *cut_short { "; the trace may become shorter" } else { "" };
            writeln!(out, "\n{number}. {kind}{times}{cut_short}")?;
            let width = name.len().max(base.len()) + 1;
            match answers {
                Ok((kernel, theirs)) => {
                    writeln!(out, "   {:width$} {kernel}", format!("{name}:"))?;
                    writeln!(out, "   {:width$} {theirs}", format!("{base}:"))?;
                }
                Err(what) => writeln!(out, "   {what}")?,
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
        for (one, other) in [(self.kernel, self.base), (self.base, self.kernel)] {
            let only = only(one, other);
            if !only.is_empty() {
                writeln!(out, "only {} has: {}", one.name(), only.join(", "))?;
            }
        }
        if !self.not_asked_for.is_empty() {
            let names = self.not_asked_for.join(", ");
            writeln!(out, "not asked for, since not both offer it: {names}")?;
        }
        if self.traces > 0 {
            return writeln!(out, "traces replayed: {}", self.traces);
        }
        let interrupted = if self.interrupted { ", interrupted" } else { "" };
        writeln!(
            out,
            "seed {}: {} operations on {} allocators in {:.1} s{interrupted}",
            self.seed,
            HumanCount(self.operations),
            HumanCount(self.allocators),
            self.seconds,
        )
    }

    pub fn json(&self) -> Value {
        let difference = |shown: &Shown| {
            let (kernel, base) = match &shown.answers {
                Ok((kernel, base)) => (Some(kernel), Some(base)),
                Err(what) => (Some(what), None),
            };
            json!({
                "kind": shown.kind,
                "count": shown.count,
                "kernel": kernel,
                "base": base,
                "new": shown.new,
                "fixed": shown.fixed,
                "trace": shown.trace,
                "cut_short": shown.cut_short,
            })
        };
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
            "differences": self.differences.iter().map(difference).collect::<Vec<_>>(),
        })
    }
}
