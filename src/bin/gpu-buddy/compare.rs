//! `gpu-buddy compare`

use std::ffi::OsString;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gpu_buddy::diff::compare::{self, Difference};
use gpu_buddy::diff::torture::{Options, Report};
use gpu_buddy::diff::{NotCreated, Trace};
use gpu_buddy::module::Module;
use indicatif::HumanCount;
use serde_json::json;

use crate::kernel::{open, start_both};
use crate::replay::read_trace;
use crate::{Failure, Verdict};

/// Show in what two kernels answer differently
///
/// Both do the same random operations, call by call, or those of the traces. Each kind
/// of difference is shown once, with the shortest trace found and the answers of both.
#[derive(clap::Args)]
#[command(
    about = "Show in what two kernels answer differently",
    after_help = "KERNEL is a series such as 7.2, the path of a kernel tree, or REV@PATH.\n\n\
                  Exit codes: 0 the same answers, 1 different ones, 2 wrong usage.\n\n\
                  Examples:\n  gpu-buddy compare 7.3 ~/linux\n  \
                  gpu-buddy compare HEAD^@~/linux ~/linux --seconds 60\n  \
                  gpu-buddy compare 7.2 7.3 failure.trace"
)]
pub struct Arguments {
    /// The kernel that is looked at
    #[arg(value_name = "KERNEL")]
    kernel: OsString,

    /// The kernel that it is held against
    #[arg(value_name = "BASE")]
    base: OsString,

    /// Traces to replay, instead of random operations; - for standard input
    #[arg(value_name = "TRACE")]
    traces: Vec<PathBuf>,

    /// End after so many seconds
    #[arg(long, value_name = "S", default_value_t = 10)]
    seconds: u64,

    /// Decides all that is random; drawn and printed unless given
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was run, and what came of it.
struct Comparison {
    seed: u64,
    report: Report,
    seconds: f64,
    interrupted: bool,
    differences: Vec<Difference>,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let traces: Vec<Trace> =
        arguments.traces.iter().map(|file| read_trace(file)).collect::<Result<_, _>>()?;
    let (kernel, base) = (open(&arguments.kernel)?, open(&arguments.base)?);
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => getrandom::u64().map_err(|error| Failure::Usage(error.to_string()))?,
    };
    let started = Instant::now();
    let mut comparison = Comparison {
        seed,
        report: Report::default(),
        seconds: 0.0,
        interrupted: false,
        differences: Vec::new(),
    };
    if traces.is_empty() {
        random(arguments, kernel, base, &mut comparison)?;
    } else {
        let start = start_both(kernel, base);
        for (file, trace) in arguments.traces.iter().zip(&traces) {
            let refused =
                |error: NotCreated| Failure::Usage(format!("{}: {error}", file.display()));
            let difference = compare::trace(trace, start).map_err(refused)?;
            comparison.differences.extend(difference);
        }
    }
    comparison.seconds = started.elapsed().as_secs_f64();

    let mut out = stdout().lock();
    if arguments.json {
        writeln!(out, "{}", comparison.json(kernel, base))?;
    } else {
        comparison.print(&mut out, kernel, base, traces.len())?;
    }
    let same = comparison.differences.is_empty();
    Ok(if same { Verdict::Passed } else { Verdict::Failed })
}

/// Random operations on both.
fn random(
    arguments: &Arguments,
    kernel: Module,
    base: Module,
    comparison: &mut Comparison,
) -> Result<(), Failure> {
    static INTERRUPTED: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|error| Failure::Usage(error.to_string()))?;
    let options = Options { seed: comparison.seed, operations: u64::MAX, ..Options::default() };
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let watch = |_: &Report| Instant::now() < end && !INTERRUPTED.load(Ordering::Relaxed);
    let start = start_both(kernel, base);
    (comparison.report, comparison.differences) = compare::run(&options, start, watch);
    comparison.interrupted = INTERRUPTED.load(Ordering::Relaxed);
    Ok(())
}

/// What only one of two kernels can do.
fn only(one: Module, other: Module) -> Vec<&'static str> {
    let features = one.features().iter();
    features.map(|feature| feature.name).filter(|name| !other.has(name)).collect()
}

impl Comparison {
    fn print(
        &self,
        out: &mut impl Write,
        kernel: Module,
        base: Module,
        traces: usize,
    ) -> std::io::Result<()> {
        let (name, base_name) = (kernel.name(), base.name());
        match self.differences.len() {
            0 => writeln!(out, "{name} and {base_name} give the same answers")?,
            1 => writeln!(out, "{name} and {base_name} differ")?,
            kinds => writeln!(out, "{name} and {base_name} differ in {kinds} ways")?,
        }
        for (number, difference) in (1..).zip(&self.differences) {
            let Difference { kind, count, divergence, trace, cut_short, .. } = difference;
            let times = if *count == 1 { String::new() } else { format!(", met {count} times") };
            let cut_short = if *cut_short { "; it may become shorter" } else { "" };
            writeln!(out, "\n{number}. {kind}{times}{cut_short}")?;
            let width = name.len().max(base_name.len()) + 1;
            writeln!(out, "   {:width$} {}", format!("{name}:"), divergence.subject)?;
            writeln!(out, "   {:width$} {}", format!("{base_name}:"), divergence.reference)?;
            for line in trace.to_string().lines() {
                writeln!(out, "       {line}")?;
            }
        }
        writeln!(out)?;
        for (one, other) in [(kernel, base), (base, kernel)] {
            let only = only(one, other);
            if !only.is_empty() {
                let (name, only) = (one.name(), only.join(", "));
                writeln!(out, "not asked for, since only {name} has it: {only}")?;
            }
        }
        if traces > 0 {
            return writeln!(out, "traces replayed: {traces}");
        }
        let interrupted = if self.interrupted { ", interrupted" } else { "" };
        writeln!(
            out,
            "seed {}: {} operations on {} allocators in {:.1} s{interrupted}",
            self.seed,
            HumanCount(self.report.operations),
            HumanCount(self.report.allocators),
            self.seconds,
        )
    }

    fn json(&self, kernel: Module, base: Module) -> serde_json::Value {
        let differences: Vec<_> = self
            .differences
            .iter()
            .map(|difference| {
                json!({
                    "kind": difference.kind,
                    "count": difference.count,
                    "kernel": difference.divergence.subject,
                    "base": difference.divergence.reference,
                    "trace": difference.trace.to_string(),
                    "cut_short": difference.cut_short,
                })
            })
            .collect();
        json!({
            "kernel": kernel.name(),
            "base": base.name(),
            "same": self.differences.is_empty(),
            "seed": self.seed,
            "operations": self.report.operations,
            "allocators": self.report.allocators,
            "seconds": self.seconds,
            "interrupted": self.interrupted,
            "only_kernel": only(kernel, base),
            "only_base": only(base, kernel),
            "differences": differences,
        })
    }
}
