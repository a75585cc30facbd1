//! `gpu-buddy compare`

mod page;
pub mod report;
mod worker;

use std::ffi::OsString;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gpu_buddy::diff::{Trace, TraceFile};
use gpu_buddy::module::Module;

use crate::kernel::open;
use crate::progress::Progress;
use crate::replay::read_trace;
use crate::supervise::{Death, INTERRUPTED, Status, Supervisor, handle_interrupt, is_interrupted};
use crate::watchdog::PATIENCE;
use crate::{Failure, Verdict};
use report::{Comparison, Shown};

/// Show the differences in behaviour between two kernels
///
/// Both kernels run the same random operations, call by call, or the given traces. Each kind of
/// difference is shown once, with the shortest trace found and both answers. A call that crashes
/// or hangs is a difference too.
///
/// The object of --json has: kernel, base, same, seed, operations, allocators, seconds,
/// interrupted, only_kernel and only_base (features), not_asked_for (what only one kernel
/// supports), and differences, each with: kind, count, kernel and base (the answers), new and
/// fixed (promises that only the kernel breaks, and only the base), trace, cut_short.
#[derive(clap::Args)]
#[command(
    about = "Show the differences in behaviour between two kernels",
    after_help = "KERNEL and BASE are a series such as 7.2, the path of a kernel tree, or \
                  REV@PATH for a git revision.\n\n\
                  Exit codes: 0 no difference, 1 differences, 2 wrong usage, 130 interrupted.\n\n\
                  Examples:\n  gpu-buddy compare ~/linux 7.3\n  \
                  gpu-buddy compare ~/linux HEAD^@~/linux --seconds 60\n  \
                  gpu-buddy compare 7.3 7.2 failure.trace\n  \
                  gpu-buddy compare ~/linux 7.3 --html differences.html"
)]
pub struct Arguments {
    /// The kernel to look at
    #[arg(value_name = "KERNEL")]
    kernel: OsString,

    /// The kernel to compare it with
    #[arg(value_name = "BASE")]
    base: OsString,

    /// Traces to replay instead of random operations; - for standard input
    #[arg(value_name = "TRACE")]
    traces: Vec<PathBuf>,

    /// Stop after this many seconds
    #[arg(long, value_name = "S", default_value = "10", value_parser = crate::torture::seconds)]
    seconds: f64,

    /// Seed of all random choices [default: random, printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Print a single JSON object
    #[arg(long)]
    json: bool,

    /// Also write an HTML page that steps through the trace of each difference
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// How long a call may make no progress
    #[arg(long, hide = true, value_name = "S", default_value = PATIENCE, value_parser = crate::torture::seconds)]
    patience: f64,

    /// The folder that a process under supervision leaves its state in
    #[arg(long, hide = true, value_name = "DIR")]
    supervised: Option<PathBuf>,

    /// Redo the last allocator of a process under supervision
    #[arg(long, hide = true, value_name = "THREAD", requires = "supervised")]
    replay_episode: Option<u64>,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let (kernel, base) = (open(&arguments.kernel)?, open(&arguments.base)?);
    match &arguments.supervised {
        Some(folder) => worker::run(arguments, kernel, base, folder),
        None => supervise(arguments, kernel, base),
    }
}

/// Runs the work in child processes, because the C may crash or hang.
fn supervise(arguments: &Arguments, kernel: Module, base: Module) -> Result<Verdict, Failure> {
    // Find errors in the traces before anything runs.
    let traces: Vec<TraceFile> =
        arguments.traces.iter().map(|file| read_trace(file)).collect::<Result<_, _>>()?;
    arguments.html.as_deref().map_or(Ok(()), crate::report::assert_writable)?;
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => getrandom::u64().map_err(|error| Failure::Usage(error.to_string()))?,
    };
    handle_interrupt()?;
    let folder = tempfile::Builder::new().prefix("gpu-buddy-").tempdir()?;
    let mut comparison = Comparison::new(kernel, base, seed, traces.len());
    let progress = Progress::new(format!("comparing {} and {}", kernel.name(), base.name()));
    if traces.is_empty() {
        random(arguments, folder.path(), &mut comparison)?;
    } else {
        for (index, trace) in traces.iter().enumerate() {
            let file = folder.path().join(format!("{index}.trace"));
            std::fs::write(&file, trace.to_string())?;
            let supervisor = supervisor(arguments, folder.path(), vec![file.into()]);
            let text = |shorter: &Trace| trace.with_names(shorter).to_string();
            let death = match supervisor.death(trace.trace())? {
                None if !is_interrupted() => match supervisor.work()? {
                    Status::Dead(death) => Some(death),
                    status => {
                        told(status)?;
                        None
                    }
                },
                death => death,
            };
            if is_interrupted() {
                comparison.interrupted = true;
                break;
            }
            if let Some(death) = death {
                let found = supervisor.shrink(trace.trace().clone());
                let shown = found
                    .map(|found| Shown::death(&found.finding, &found.trace, text(&found.trace)));
                let whole = || Shown::death(&death.to_string(), trace.trace(), trace.to_string());
                comparison.add(shown.unwrap_or_else(whole));
            }
            comparison.take_in(folder.path());
        }
    }

    if let Some(file) = &arguments.html {
        let (kernel, base) = (&arguments.kernel, &arguments.base);
        page::write(&comparison, kernel, base, folder.path(), file, &progress)?;
    }
    drop(progress);
    let mut out = stdout().lock();
    if arguments.json {
        writeln!(out, "{}", comparison.json())?;
    } else {
        comparison.print(&mut out)?;
    }
    match comparison.is_same() {
        _ if is_interrupted() => Err(Failure::Told(INTERRUPTED)),
        true => Ok(Verdict::Passed),
        false => Ok(Verdict::Failed),
    }
}

/// Random operations until the time is over. After a crash, another seed goes on: it does not
/// reach the same crash soon.
fn random(
    arguments: &Arguments,
    folder: &std::path::Path,
    comparison: &mut Comparison,
) -> Result<(), Failure> {
    let started = Instant::now();
    let limit = Duration::from_secs_f64(arguments.seconds);
    for child in 0.. {
        let left = limit.saturating_sub(started.elapsed()).as_secs_f64();
        if child > 0 && left < 0.5 {
            break;
        }
        let seed = comparison.seed.wrapping_add(child);
        let options = ["--seed", &seed.to_string(), "--seconds", &left.to_string()];
        let supervisor = supervisor(arguments, folder, options.map(OsString::from).to_vec());
        let status = supervisor.work()?;
        comparison.take_in(folder);
        comparison.interrupted |= is_interrupted();
        let Status::Dead(death) = status else {
            told(status)?;
            break;
        };
        if !shown_death(comparison, &supervisor, death)? || comparison.interrupted {
            break;
        }
    }
    comparison.seconds = started.elapsed().as_secs_f64();
    Ok(())
}

/// Adds what killed a process. False if no trace reproduces it.
fn shown_death(
    comparison: &mut Comparison,
    supervisor: &Supervisor<'_>,
    death: Death,
) -> Result<bool, Failure> {
    let found = supervisor.after_death(death)?;
    for found in &found {
        comparison.add(Shown::death(&found.finding, &found.trace, found.trace.to_string()));
    }
    if found.is_empty() {
        comparison.add(Shown::unknown_death(&death.to_string()));
    }
    Ok(!found.is_empty())
}

/// Passes on why a child could not do its work.
fn told(status: Status) -> Result<(), Failure> {
    match status {
        Status::Exited(Some(0 | 1)) => Ok(()),
        Status::Exited(_) if is_interrupted() => Ok(()),
        Status::Exited(code) => Err(Failure::Told(code.unwrap_or(2) as u8)),
        Status::Dead(_) | Status::Interrupted => Ok(()),
    }
}

fn supervisor<'a>(
    arguments: &Arguments,
    folder: &'a std::path::Path,
    options: Vec<OsString>,
) -> Supervisor<'a> {
    let (kernel, base) = (arguments.kernel.clone(), arguments.base.clone());
    let mut again = vec!["compare".into(), kernel.clone(), base.clone()];
    again.extend(options);
    again.extend(["--patience".into(), arguments.patience.to_string().into()]);
    let candidate =
        ["--kernel".into(), kernel, "--against".into(), base, "--differences-only".into()];
    let (candidate, patience) = (candidate.to_vec(), arguments.patience);
    Supervisor { arguments: again, candidate, threads: 1, patience, folder }
}
