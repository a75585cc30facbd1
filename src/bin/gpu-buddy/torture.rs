//! `gpu-buddy torture`

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::torture::{self, Options, Report};
use gpu_buddy::diff::{C, Settings, Space, parse_size};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde_json::json;

use crate::{Against, Failure, Verdict};

/// Do random operations on allocators and check each
///
/// Each thread has allocators of its own, held against the pure-Rust twin of
/// series 7.3 and the contract. On a failure the sequence of operations is made
/// short and written to a file that `gpu-buddy replay` reads.
///
/// The object of --json has: seed, passed, interrupted, operations, allocators,
/// seconds, operations_per_second, known (breaches that the C is known for, by
/// name), took_over, not_compared, coverage (operations by kind and outcome),
/// never_met, and failures, each with: thread, finding, operations,
/// shrunk_to, cut_short, trace, file.
#[derive(clap::Args)]
#[command(
    about = "Do random operations on allocators and check each",
    after_help = "Examples:\n  gpu-buddy torture --seconds 60\n  \
                  gpu-buddy torture --ops 1000000 --seed 7 --threads 2\n  \
                  gpu-buddy torture --faults 0.01 --against contract"
)]
pub struct Arguments {
    /// End after so many seconds; 10 unless --ops is given
    #[arg(long, value_name = "S", conflicts_with = "ops")]
    seconds: Option<u64>,

    /// End after so many operations, of all threads together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    ops: Option<u64>,

    /// Decides all that is random; the same seed gives the same run
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Threads, each with allocators of its own
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024))]
    threads: u64,

    /// Size of every space, such as 64M; a mixture unless given
    #[arg(long, value_parser = size)]
    size: Option<u64>,

    /// Chunk size of every space; 4K where only --size is given
    #[arg(long, value_parser = size, requires = "size")]
    chunk: Option<u64>,

    /// What the C is held against [default: reference, or contract where the
    /// kernel is not of the twin's series, and with --faults]
    #[arg(long, value_enum)]
    against: Option<Against>,

    /// How often the C's own allocations fail, as a part of all operations,
    /// from 0 to 1
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = rate)]
    faults: f64,

    /// Breaches that the C is known for fail as well
    #[arg(long)]
    strict: bool,

    /// Where the trace of a failure is written
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,

    /// Print one object for machines at the end, instead of text
    #[arg(long)]
    json: bool,
}

pub fn size(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|error| error.to_string())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err("a number from 0 to 1 is expected".into()),
    }
}

/// What one thread found.
struct Found {
    thread: u64,
    failure: Box<torture::Failure>,
    file: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => getrandom::u64().map_err(|error| Failure::Usage(error.to_string()))?,
    };
    let against = match (arguments.against, arguments.faults > 0.0) {
        (Some(Against::Reference), true) => {
            return Err(Failure::Usage(
                "the reference has no memory that fails; use --against contract with --faults"
                    .into(),
            ));
        }
        (Some(against), _) => against,
        (None, true) => Against::Contract,
        (None, false) => Against::usual(),
    };
    let space = space(arguments)?;
    if !arguments.out.is_dir() {
        return Err(Failure::Usage(format!("--out {}: no such folder", arguments.out.display())));
    }
    let started = Instant::now();
    let limit = match (arguments.seconds, arguments.ops) {
        (_, Some(operations)) => Limit::Operations(operations),
        (seconds, None) => Limit::Seconds(seconds.unwrap_or(10)),
    };
    if !arguments.json {
        println!("seed {seed}, {} threads, {limit}", arguments.threads);
    }
    let stop = stop_on_interrupt()?;
    let progress = Progress::new(&limit, arguments.json);

    let worker = |thread: u64| {
        let operations = match limit {
            Limit::Operations(operations) => operations.div_ceil(arguments.threads),
            Limit::Seconds(_) => u64::MAX,
        };
        let options = Options {
            // Threads differ in the high bits, which a user's seed seldom has.
            seed: seed ^ thread.rotate_right(16),
            operations,
            space,
            faults: arguments.faults,
            settings: Settings { strict: arguments.strict, ..Settings::default() },
            shrink: Duration::from_secs(60),
        };
        let mut told = Report::default();
        let watch = |report: &Report| {
            progress.add(report.operations - told.operations, report, &started);
            told.operations = report.operations;
            let over = matches!(limit, Limit::Seconds(s) if started.elapsed().as_secs() >= s);
            !over && !stop.load(Ordering::Relaxed)
        };
        let (report, failure) = match against {
            Against::Reference => torture::run::<C, Reference>(&options, watch),
            Against::Contract => torture::run_alone::<C>(&options, watch),
        };
        if failure.is_some() {
            // The others have done their part.
            stop.store(true, Ordering::Relaxed);
        }
        (thread, report, failure)
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..arguments.threads).map(|thread| scope.spawn(move || worker(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a worker does not panic")).collect()
    });
    progress.finish();

    let mut report = Report::default();
    let mut found = Vec::new();
    for (thread, part, failure) in results {
        report.add(&part);
        if let Some(failure) = failure {
            let file = arguments.out.join(format!("gpu-buddy-{seed}-{thread}.trace"));
            let written =
                std::fs::write(&file, format!("# {}\n{}", failure.finding, failure.trace));
            if let Err(error) = &written {
                eprintln!("error: {}: {error}", file.display());
            }
            found.push(Found { thread, failure, file: written.is_ok().then_some(file) });
        }
    }
    let summary = Summary {
        seed,
        seconds: started.elapsed().as_secs_f64(),
        interrupted: found.is_empty() && stop.load(Ordering::Relaxed),
        faults: arguments.faults > 0.0,
        report,
        found,
    };
    if arguments.json {
        writeln!(stdout(), "{}", summary.json())?;
    } else {
        summary.print(&mut stdout().lock(), against)?;
    }
    Ok(if summary.found.is_empty() { Verdict::Passed } else { Verdict::Failed })
}

fn space(arguments: &Arguments) -> Result<Option<Space>, Failure> {
    let Some(size) = arguments.size else {
        return Ok(None);
    };
    let chunk_size = arguments.chunk.unwrap_or(4096);
    if chunk_size < 4096 || !chunk_size.is_power_of_two() {
        return Err(Failure::Usage("--chunk takes a power of two of 4K or more".into()));
    }
    if size < chunk_size {
        return Err(Failure::Usage("--size is smaller than --chunk".into()));
    }
    Ok(Some(Space { size, chunk_size }))
}

fn stop_on_interrupt() -> Result<&'static AtomicBool, Failure> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            // Asked for a second time: at once.
            std::process::exit(130);
        }
    })
    .map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(&STOP)
}

#[derive(Clone, Copy)]
enum Limit {
    Operations(u64),
    Seconds(u64),
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Operations(operations) => write!(f, "{operations} operations"),
            Self::Seconds(seconds) => write!(f, "{seconds} seconds"),
        }
    }
}

/// A bar on a terminal, a line now and then elsewhere.
struct Progress {
    bar: ProgressBar,
    seconds: Option<u64>,
    operations: AtomicU64,
    next_line: AtomicU64,
    lines: bool,
}

/// Seconds between lines.
const LINE_EVERY: u64 = 10;

impl Progress {
    fn new(limit: &Limit, json: bool) -> Self {
        let (length, seconds) = match *limit {
            Limit::Operations(operations) => (operations, None),
            Limit::Seconds(seconds) => (seconds * 1000, Some(seconds)),
        };
        let terminal = stderr().is_terminal();
        let bar = if terminal { ProgressBar::new(length) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{wide_bar} {msg} {elapsed}");
        bar.set_style(style.expect("the template is valid"));
        Self {
            bar,
            seconds,
            operations: AtomicU64::new(0),
            next_line: AtomicU64::new(LINE_EVERY),
            lines: !terminal && !json,
        }
    }

    fn add(&self, operations: u64, report: &Report, started: &Instant) {
        let operations = self.operations.fetch_add(operations, Ordering::Relaxed) + operations;
        let elapsed = started.elapsed();
        let known: u64 = report.known.values().sum();
        let rate = operations as f64 / elapsed.as_secs_f64().max(0.001);
        let message = || {
            format!(
                "{} operations, {}/s, 0 divergences, {} known",
                HumanCount(operations),
                HumanCount(rate as u64),
                HumanCount(known)
            )
        };
        if !self.bar.is_hidden() {
            self.bar.set_position(match self.seconds {
                Some(_) => elapsed.as_millis() as u64,
                None => operations,
            });
            self.bar.set_message(message());
        }
        let line = self.next_line.load(Ordering::Relaxed);
        if self.lines
            && elapsed.as_secs() >= line
            && self
                .next_line
                .compare_exchange(line, line + LINE_EVERY, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            eprintln!("{} s: {}", elapsed.as_secs(), message());
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

struct Summary {
    seed: u64,
    seconds: f64,
    interrupted: bool,
    faults: bool,
    report: Report,
    found: Vec<Found>,
}

impl Summary {
    fn print(&self, out: &mut impl Write, against: Against) -> std::io::Result<()> {
        let report = &self.report;
        writeln!(out, "\n{}", report.coverage)?;
        let never_met = report.coverage.never_met(self.faults);
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
        if report.took_over > 0 {
            writeln!(out, "the reference took over a state: {}", report.took_over)?;
        }
        if !report.not_compared.is_empty() && against == Against::Reference {
            writeln!(out, "not compared: {:?}", report.not_compared)?;
        }
        for Found { thread, failure, file } in &self.found {
            writeln!(out, "\nthread {thread}: {failure}")?;
            if let Some(file) = file {
                let strict = if self.faults { " --against contract" } else { "" };
                writeln!(out, "replay it: gpu-buddy replay{strict} {}", file.display())?;
            }
        }
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

    fn json(&self) -> serde_json::Value {
        let report = &self.report;
        let coverage: serde_json::Map<_, _> =
            report.coverage.kinds().into_iter().map(|met| (met.kind, met.count.into())).collect();
        let failures: Vec<_> = self
            .found
            .iter()
            .map(|Found { thread, failure, file }| {
                json!({
                    "thread": thread,
                    "finding": failure.finding.to_string(),
                    "operations": failure.operations,
                    "shrunk_to": failure.trace.operations.len(),
                    "cut_short": failure.cut_short,
                    "trace": failure.trace.to_string(),
                    "file": file,
                })
            })
            .collect();
        json!({
            "seed": self.seed,
            "passed": self.found.is_empty(),
            "interrupted": self.interrupted,
            "operations": report.operations,
            "allocators": report.allocators,
            "seconds": self.seconds,
            "operations_per_second": report.operations as f64 / self.seconds.max(0.001),
            "known": report.known,
            "took_over": report.took_over,
            "not_compared": report.not_compared.iter().map(|c| format!("{c:?}")).collect::<Vec<_>>(),
            "coverage": coverage,
            "never_met": report.coverage.never_met(self.faults),
            "failures": failures,
        })
    }
}
