//! The HTML page of `gpu-buddy compare`.

use std::ffi::OsStr;
use std::path::Path;

use super::report::{Comparison, Shown};
use crate::Failure;
use crate::progress::Progress;
use crate::report::page::{self, Page, Tone};
use crate::report::{self, Run};
use crate::supervise::is_interrupted;

/// Runs the trace of each difference again, call by call, and writes the page. `folder` is for
/// temporary files.
pub fn write(
    comparison: &Comparison,
    kernel: &OsStr,
    base: &OsStr,
    folder: &Path,
    file: &Path,
    progress: &Progress,
) -> Result<(), Failure> {
    let options = ["--kernel".as_ref(), kernel, "--against".as_ref(), base];
    let mut options = options.map(OsStr::to_owned).to_vec();
    options.push("--differences-only".into());
    let names = (comparison.kernel.name(), comparison.base.name());
    let run = Run {
        options,
        environment: Vec::new(),
        kernel: names.0.to_owned(),
        other: Some(names.1.to_owned()),
    };
    // Who interrupts it does not want to wait for what hangs.
    let runs = if is_interrupted() { Vec::new() } else { vec![run] };
    let count = comparison.differences.len();
    let findings = (1..).zip(&comparison.differences).map(|(number, shown)| {
        progress.message(format!("replaying difference {number} of {count}, for the page"));
        finding(shown, names, &runs, folder)
    });
    let page = Page {
        title: format!("{} and {}", names.0, names.1),
        verdict: comparison.verdict(),
        tone: if comparison.is_same() { Tone::Good } else { Tone::Changed },
        about: Vec::new(),
        parts: Vec::new(),
        findings: findings.collect(),
        notes: comparison.facts(),
        single: false,
    };
    report::write(&page, file)
}

fn finding(shown: &Shown, names: (&str, &str), runs: &[Run], folder: &Path) -> page::Shown {
    let mut lines = match &shown.base {
        Some(base) => {
            vec![format!("{}: {}", names.0, shown.kernel), format!("{}: {base}", names.1)]
        }
        None => vec![shown.kernel.clone()],
    };
    for (what, promises) in [("new breach", &shown.new), ("fixed breach", &shown.fixed)] {
        if !promises.is_empty() {
            lines.push(format!("{what} of: {}", promises.join(", ")));
        }
    }
    if shown.count > 1 {
        lines.push(format!("seen {} times", shown.count));
    }
    if shown.cut_short {
        lines.push("shrinking the trace ran out of time".to_owned());
    }
    let (label, tone) = match (&shown.base, shown.new.is_empty(), shown.fixed.is_empty()) {
        (None, ..) => ("dies", Tone::Bad),
        (_, false, _) => ("breaks", Tone::Bad),
        (_, true, false) => ("fixes", Tone::Good),
        (_, true, true) => ("different", Tone::Changed),
    };
    let text = Some(&shown.trace).filter(|text| !text.is_empty());
    page::Shown::new(label, tone, &shown.kind, lines, text.map(String::as_str), runs, folder)
}
