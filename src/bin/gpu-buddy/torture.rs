//! `gpu-buddy torture`

mod cost;
mod options;
mod progress;
pub mod report;
mod supervisor;

use std::ffi::OsString;
use std::io::{Write, stdout};
use std::num::NonZeroU32;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use gpu_buddy::diff::torture::{self, Collected, Options, Report};
use gpu_buddy::diff::{Finding, KernelC, Load, parse_size, shared};

use crate::kernel::{Kernel, Pair};
use crate::supervise;
use crate::watchdog::{PATIENCE, Watchdog};
use crate::{Failure, Verdict};
use options::{Limit, candidate, limit, options, pair, replay};
use progress::Progress;
use report::{Done, Found};

/// Run random operations and check each of them
///
/// Each thread has its own allocators, unless --shared is given. Each call is compared with a
/// reference model in safe Rust or another kernel, and checked against the contract: what the
/// documentation promises. A failing sequence of operations is shrunk and written to a file for
/// `gpu-buddy replay` (docs/traces.md describes the format). With --shared it is not shrunk.
///
/// The object of --json has: seed, passed, interrupted, operations, allocators,
/// seconds, operations_per_second, known (known breaches, by name), in_base and fixed
/// (breaches of both kernels, and of the base alone, by promise), not_compared, coverage
/// (operations by kind and outcome), never_met (kinds that did not occur), costs (with
/// --cost: the most expensive call of each kind and size class, with kind, chunks, steps,
/// and an example of the most expensive kinds), and failures, each with: thread, kind, count,
/// finding, notes, operations, shrunk_to, cut_short, trace, file. If the process that runs
/// the C died, it has only seed, passed and failures.
#[derive(clap::Args)]
#[command(
    args_override_self = true,
    about = "Run random operations and check each of them",
    after_help = "Examples:\n  gpu-buddy torture --seconds 60\n  \
                  gpu-buddy torture --ops 1000000 --seed 7 --threads 2\n  \
                  gpu-buddy torture --faults 0.01\n  \
                  gpu-buddy torture --load amdgpu\n  \
                  gpu-buddy torture --kernel ~/linux --against 7.3\n  \
                  gpu-buddy torture --threads 8 --shared"
)]
pub struct Arguments {
    /// Stop after this many seconds [default: 10, unless --ops is given]
    #[arg(long, value_name = "S", conflicts_with = "ops", value_parser = seconds)]
    seconds: Option<f64>,

    /// Stop after this many operations of all threads together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    ops: Option<u64>,

    /// Seed; the same seed gives the same run [default: random, printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Number of threads, each with its own allocators
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024))]
    threads: u64,

    /// Let all threads share one allocator at a time; afterwards one thread repeats
    /// their calls in the same order, and the results are compared
    #[arg(long, conflicts_with_all = ["faults"])]
    shared: bool,

    /// Run the requests of a driver: xe, amdgpu or nova (docs/loads.md) [default: a
    /// mixture]
    #[arg(long, value_name = "DRIVER")]
    load: Option<Load>,

    /// Size of every space, such as 64M [default: random]
    #[arg(long, value_parser = size)]
    size: Option<u64>,

    /// Chunk size of every space [default: random; 4K with --size]
    #[arg(long, value_parser = size, requires = "size")]
    chunk: Option<u64>,

    #[command(flatten)]
    kernel: Kernel,

    /// Compare the kernel with: reference (the same algorithm in safe Rust), contract
    /// (only the documented behaviour), or another KERNEL [default: reference; contract
    /// if the kernel places blocks differently, and with --faults]
    #[arg(long, value_name = "WHAT")]
    against: Option<OsString>,

    /// Share of the operations in which a memory allocation of the C fails, from 0
    /// to 1
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = rate)]
    faults: f64,

    /// Continue after a failure, and show each kind of failure once
    #[arg(long, conflicts_with = "shared")]
    keep_going: bool,

    /// Treat known breaches as failures
    #[arg(long)]
    strict: bool,

    /// List how often each kind of call and outcome occurred; --json always does
    #[arg(long)]
    coverage: bool,

    /// Show the most expensive calls, and write a trace of each; the cost is the number
    /// of tree and list steps and slab calls
    #[arg(long, conflicts_with = "shared")]
    cost: bool,

    /// Folder for the traces of failures
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,

    /// Print a single JSON object at the end, instead of text
    #[arg(long)]
    json: bool,

    /// How long a call may make no progress
    #[arg(long, hide = true, value_name = "S", default_value = PATIENCE, value_parser = seconds)]
    patience: f64,

    /// The folder to which a supervised process writes its state
    #[arg(long, hide = true, value_name = "DIR")]
    supervised: Option<PathBuf>,

    /// The thread whose last allocator a supervised process replays
    #[arg(long = "replay-episode", hide = true, value_name = "THREAD", requires = "supervised")]
    replay_episode: Option<u64>,
}

pub fn size(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|error| error.to_string())
}

pub fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..1e9).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number of seconds".into()),
    }
}

pub fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err("expected a number from 0 to 1".into()),
    }
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    match (&arguments.supervised, arguments.replay_episode) {
        (None, _) => supervisor::run(arguments),
        (Some(folder), None) => work(arguments, folder),
        (Some(folder), Some(thread)) => {
            supervise::replay_episode(
                &options(arguments, thread)?,
                pair(arguments)?,
                folder,
                thread,
            )?;
            Ok(Verdict::Passed)
        }
    }
}

/// The work, in a supervised process.
fn work(arguments: &Arguments, folder: &Path) -> Result<Verdict, Failure> {
    let supervisor = parent_id();
    let pair = pair(arguments)?;
    if arguments.shared && arguments.threads < 2 {
        return Err(Failure::Usage("--shared needs --threads 2 or more".into()));
    }
    // Threads that share an allocator are one worker.
    let workers = if arguments.shared { 1 } else { arguments.threads };
    let options: Vec<_> =
        (0..workers).map(|thread| options(arguments, thread)).collect::<Result<_, _>>()?;
    if !arguments.out.is_dir() {
        return Err(Failure::Usage(format!("--out {}: no such folder", arguments.out.display())));
    }
    let seed = arguments.seed.unwrap_or_default();
    let limit = limit(arguments);
    let started = Instant::now();
    if !arguments.json {
        let plural = if arguments.threads == 1 { "" } else { "s" };
        // Who does not read this does not read what is found either, and that is said.
        let _ = writeln!(stdout(), "seed {seed}, {} thread{plural}, {limit}", arguments.threads);
    }
    let interrupted = supervise::stop_on_interrupt()?;
    // Set when a thread has found something: the others then stop.
    let broken = AtomicBool::new(false);
    let progress = Progress::new(&limit, arguments.json);
    let watchdog = Watchdog::new(workers, arguments.patience);
    let so_far = Mutex::new(Vec::new());

    let worker = |thread: u64, options: &Options| {
        let (mut operations, mut episode) = (0, None);
        let watch = |report: &Report| {
            watchdog.beat(thread);
            if report.episode != episode {
                supervise::leave_episode(folder, thread, report.episode);
            }
            progress.add(report.operations - operations, report, &started);
            (operations, episode) = (report.operations, report.episode);
            let over = matches!(limit, Limit::Seconds(s) if started.elapsed().as_secs_f64() >= s);
            let goes_on = report.shrinking || !(over || broken.load(Ordering::Relaxed));
            goes_on && !interrupted.load(Ordering::Relaxed)
        };
        let threads = NonZeroU32::new(arguments.threads as u32).unwrap_or(NonZeroU32::MIN);
        let mode = match (arguments.shared, arguments.keep_going) {
            (true, _) => Mode::Shared(threads),
            (_, true) => Mode::KeepGoing(Box::new(|collected: &Collected| {
                let mut so_far = so_far.lock().unwrap_or_else(PoisonError::into_inner);
                let number = so_far.len();
                so_far.push(found(arguments, seed, thread, number, collected));
                let report = report::Report::before_the_end(seed, &so_far);
                // If this fails, a crash loses the findings before it.
                let _ = report.leave(folder);
            })),
            _ => Mode::First,
        };
        let (report, failures) = torment(options, mode, pair, watch);
        broken.fetch_or(!failures.is_empty() && !arguments.keep_going, Ordering::Relaxed);
        watchdog.finish(thread);
        (thread, report, failures)
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(&options)
            .map(|(thread, options)| scope.spawn(move || worker(thread, options)))
            .collect();
        scope.spawn(|| watchdog.watch());
        threads.into_iter().map(|thread| thread.join().expect("a worker does not panic")).collect()
    });
    progress.finish();

    let mut report = Report::default();
    let mut failures = Vec::new();
    for (thread, part, found_here) in results {
        report.add(&part);
        for collected in found_here {
            failures.push(found(arguments, seed, thread, failures.len(), &collected));
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let interrupted = interrupted.load(Ordering::Relaxed);
    let mut done = Done::new(&report, seconds, interrupted, arguments.faults > 0.0);
    if arguments.cost {
        let place = (arguments.out.as_path(), seed);
        let _progress = crate::progress::Progress::new("making traces of the most expensive calls");
        done.costs = cost::collect(&report, &options[0], pair, place, !interrupted);
    }
    let passed = failures.is_empty();
    let report = report::Report { seed, passed, done: Some(done), failures };
    report.leave(folder)?;
    if parent_id() != supervisor {
        // The supervisor is gone, so print the report here.
        report.print(&mut stdout().lock(), &replay(arguments), arguments.coverage)?;
    }
    Ok(if passed { Verdict::Passed } else { Verdict::Failed })
}

fn found(
    arguments: &Arguments,
    seed: u64,
    thread: u64,
    number: usize,
    collected: &Collected,
) -> Found {
    let Collected { kind, count, failure, .. } = collected;
    let finding = failure.finding.to_string();
    let mut notes = Vec::new();
    if let Finding::Breach(breach) = &failure.finding {
        notes.push(format!("promised: {}", breach.promise.explanation()));
    }
    notes.extend(failure.at_end_note());
    let shown =
        Found::new(&arguments.out, seed, (thread, number), kind.clone(), finding, &failure.trace);
    let (operations, cut_short) = (failure.operations, failure.cut_short);
    Found { notes, count: *count, operations, cut_short, ..shown }
}

/// When a run stops.
enum Mode<'a> {
    /// At the first failure.
    First,
    /// At the end; each kind of failure is reported once.
    KeepGoing(Box<dyn FnMut(&Collected) + 'a>),
    /// At the first failure, with this many threads on one allocator.
    Shared(NonZeroU32),
}

/// Runs `gpu-buddy torture` on the allocators of a pair.
fn torment(
    options: &Options,
    mode: Mode<'_>,
    pair: Pair,
    watch: impl FnMut(&Report) -> bool,
) -> (Report, Vec<Collected>) {
    let start = |space, settings| pair.start(space, settings);
    let (report, failure) = match mode {
        Mode::Shared(threads) => {
            let create = |space| KernelC::new(pair.module, space);
            shared::run(options, threads, create, start, watch)
        }
        Mode::KeepGoing(found) => {
            return torture::collect(options, start, found, watch);
        }
        Mode::First => torture::run_with(options, start, watch),
    };
    (report, failure.map(|failure| Collected::from(*failure)).into_iter().collect())
}
