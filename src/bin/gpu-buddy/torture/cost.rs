//! The most expensive calls of a run, with traces.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gpu_buddy::diff::cost::{self, Costly, CostlyTrace};
use gpu_buddy::diff::torture::{Options, Report};
use indicatif::HumanCount;
use serde::{Deserialize, Serialize};

use crate::kernel::Pair;

/// Number of kinds of calls that get a trace: as many as fit on a screen.
const MOST_TRACES: usize = 12;

/// How long each trace may be shrunk.
const SHRINK: Duration = Duration::from_secs(1);

/// The most expensive call of a kind and a size class.
#[derive(Serialize, Deserialize)]
pub struct Cost {
    pub kind: String,
    /// The fewest chunks in its size class; 0 for a call that takes no size.
    pub chunks: u64,
    pub steps: u64,
    /// For the most expensive call of a kind only.
    pub example: Option<Example>,
}

/// A trace that ends with such a call.
#[derive(Serialize, Deserialize)]
pub struct Example {
    /// What the last call costs.
    pub steps: u64,
    pub operations: usize,
    pub cut_short: bool,
    pub trace: String,
    /// The file with the trace.
    pub file: Option<PathBuf>,
}

/// Makes the traces, and writes them to files. They are shrunk only if there is time.
pub fn collect(
    report: &Report,
    options: &Options,
    pair: Pair,
    (out, seed): (&Path, u64),
    has_time: bool,
) -> Vec<Cost> {
    let within = if has_time { SHRINK } else { Duration::ZERO };
    let kinds: Vec<_> = report.costs.kinds().into_iter().take(MOST_TRACES).collect();
    let mut number = 0;
    let mut example = |costly: &Costly| {
        let start = |space, settings| pair.start(space, settings);
        let made = cost::trace(options, start, costly, within);
        number += 1;
        made.map(|made| {
            Example::new(made, &out.join(format!("gpu-buddy-{seed}-cost-{number}.trace")))
        })
    };
    let cost = |costly: &Costly| Cost {
        kind: costly.kind(),
        chunks: costly.chunks(),
        steps: costly.steps,
        example: kinds.contains(&costly).then(|| example(costly)).flatten(),
    };
    report.costs.calls().into_iter().map(cost).collect()
}

impl Example {
    fn new(made: CostlyTrace, file: &Path) -> Self {
        let CostlyTrace { trace, steps, cut_short, .. } = made;
        let text = trace.to_string();
        let written = std::fs::write(file, format!("# the last call costs {steps} steps\n{text}"));
        if let Err(error) = &written {
            eprintln!("error: {}: {error}", file.display());
        }
        Self {
            steps,
            operations: trace.operations.len(),
            cut_short,
            trace: text,
            file: written.ok().map(|()| file.to_owned()),
        }
    }
}

/// Prints the calls that have a trace. `replay` has the arguments for a replay.
pub fn print(costs: &[Cost], out: &mut impl Write, replay: &[OsString]) -> io::Result<()> {
    if costs.is_empty() {
        return Ok(());
    }
    write!(out, "\nmost expensive calls; to see each: gpu-buddy replay --cost")?;
    replay.iter().try_for_each(|argument| write!(out, " {}", argument.display()))?;
    writeln!(out, " FILE\n{:>9} {:>9}  {:38}file (operations)", "steps", "chunks", "call")?;
    for Cost { kind, chunks, steps, example } in costs {
        let Some(Example { operations, file: Some(file), .. }) = example else { continue };
        let (steps, file) = (HumanCount(*steps).to_string(), file.display());
        let chunks =
            if *chunks == 0 { "-".to_owned() } else { format!("{}+", HumanCount(*chunks)) };
        writeln!(out, "{steps:>9} {chunks:>9}  {kind:37} {file} ({operations})")?;
    }
    Ok(())
}
