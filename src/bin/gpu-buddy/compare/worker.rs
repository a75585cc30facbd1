//! The work of `gpu-buddy compare`, in a supervised process.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use gpu_buddy::diff::compare::{self, Difference};
use gpu_buddy::diff::torture::{Options, Report};
use gpu_buddy::diff::{NotCreated, Trace};
use gpu_buddy::module::Module;

use super::Arguments;
use super::report::{Left, Shown};
use crate::kernel::{Against, Pair, names};
use crate::replay::read_trace;
use crate::watchdog::Watchdog;
use crate::{Failure, Verdict, supervise};

pub fn run(
    arguments: &Arguments,
    kernel: Module,
    base: Module,
    folder: &Path,
) -> Result<Verdict, Failure> {
    let options = Options {
        seed: arguments.seed.unwrap_or_default(),
        operations: u64::MAX,
        shrink: supervise::shrink_one(arguments.seconds),
        ..Options::default()
    };
    let pair = Pair { module: kernel, against: Against::Kernel(base) };
    if let Some(thread) = arguments.replay_episode {
        supervise::replay_episode(&compare::options(&options), pair, folder, thread)?;
        return Ok(Verdict::Passed);
    }
    let start = |space, settings| pair.start(space, settings);
    if let Some(file) = arguments.traces.first() {
        supervise::exit_on_interrupt()?;
        let refused = |error: NotCreated| Failure::Usage(format!("{}: {error}", file.display()));
        let file = read_trace(file)?;
        let difference = compare::trace(file.trace(), start).map_err(refused)?;
        let text = |trace: &Trace| file.with_names(trace).to_string();
        leave(folder, &Report::default(), difference.as_slice(), text)?;
        return Ok(Verdict::Passed);
    }

    let interrupted = supervise::stop_on_interrupt()?;
    let end = Instant::now() + Duration::from_secs_f64(arguments.seconds);
    let watchdog = Watchdog::new(1, arguments.patience);
    thread::scope(|scope| {
        scope.spawn(|| watchdog.watch());
        let mut so_far: Vec<Difference> = Vec::new();
        let mut episode = None;
        let found = |difference: &Difference| {
            so_far.push(difference.clone());
            // If this fails, a crash loses the findings before it.
            let _ = leave(folder, &Report::default(), &so_far, Trace::to_string);
        };
        let watch = |report: &Report| {
            watchdog.beat(0);
            if report.episode != episode {
                supervise::leave_episode(folder, 0, report.episode);
                episode = report.episode;
            }
            Instant::now() < end && !interrupted.load(Ordering::Relaxed)
        };
        let (report, differences) = compare::run(&options, start, found, watch);
        watchdog.finish(0);
        leave(folder, &report, &differences, Trace::to_string)
    })?;
    Ok(Verdict::Passed)
}

/// Writes the findings for the supervisor.
fn leave(
    folder: &Path,
    report: &Report,
    differences: &[Difference],
    text: impl Fn(&Trace) -> String,
) -> std::io::Result<()> {
    let shown = |found| Shown::difference(found, text(&found.trace));
    let left = Left {
        operations: report.operations,
        allocators: report.allocators,
        not_asked_for: names(report.not_compared),
        differences: differences.iter().map(shown).collect(),
    };
    left.write(folder)
}
