//! A test in one line.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::diff::{
    Comparison, Implementation, KernelC, Lockstep, NotCreated, Settings, Space, Trace,
};

use super::episode::Runner;
use super::{Episode, Failure, Options, Pulse, Report};

type Start<S> = fn(Space, Settings) -> Result<Lockstep<S, KernelC>, NotCreated>;

/// Runs an implementation in lockstep with the kernel's C. For tests.
///
/// Half of the operations are compared as [`Settings::comparison`] says, the others in the
/// weaker ways, under which an implementation may be asked for more. Returns what was done.
///
/// ```
/// use gpu_buddy::diff::{KernelC, torture};
///
/// // Any implementation, in place of the C itself.
/// let report = torture::check::<KernelC>(&torture::Options::default());
/// println!("{report}");
/// ```
///
/// # Panics
///
/// If the two differ or a promise is broken, with a short trace; so does a panic of the
/// implementation, and a call that takes longer than [`Options::patience`]. If no allocator
/// could be made.
#[track_caller]
pub fn check<S: Implementation + 'static>(options: &Options) -> Report {
    use Comparison::{Contract, Exact, Observable};
    let parts: &[(Comparison, u64)] = match options.settings.comparison {
        Exact => &[(Exact, 2), (Observable, 1), (Contract, 1)],
        Observable => &[(Observable, 1), (Contract, 1)],
        Contract => &[(Contract, 1)],
    };
    let all: u64 = parts.iter().map(|part| part.1).sum();
    let mut total = Report::default();
    for (seed, &(comparison, part)) in (options.seed..).zip(parts) {
        let settings = Settings { comparison, ..options.settings };
        let operations = (options.operations * part).div_ceil(all);
        let options = Options { seed, operations, settings, ..options.clone() };
        let start: Start<S> = match comparison {
            Contract => Lockstep::<S, KernelC>::alone,
            _ => Lockstep::<S, KernelC>::new,
        };
        let (report, failure) = match run_watched(&options, start) {
            Ok(done) => done,
            Err(hang) => panic!("{hang}"),
        };
        if let Some(failure) = failure {
            panic!("{failure}");
        }
        total.add(&report);
    }
    assert!(
        total.allocators > 0,
        "no allocator could be made: {} spaces were impossible and {} not supported",
        total.refused,
        total.declined
    );
    total
}

/// Runs in a thread of its own, which is left behind if a call in it does not end.
fn run_watched<S: Implementation + 'static>(
    options: &Options,
    start: Start<S>,
) -> Result<(Report, Option<Box<Failure>>), String> {
    let pulse = Arc::new(Pulse::default());
    // The episode that is worked on, the operations begun before it, and whether something
    // is being made short.
    let current = Arc::new(Mutex::new((None::<Episode>, 0u64, false)));
    let (done, receiver) = channel();
    let worker = {
        let (options, pulse, current) = (options.clone(), Arc::clone(&pulse), Arc::clone(&current));
        move || {
            let report = Report::default();
            let runner = Runner { options: &options, start, report, pulse: &pulse };
            let result = runner.run(|report| {
                let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
                if current.0 != report.episode {
                    *current = (report.episode, pulse.count(), false);
                }
                current.2 = report.shrinking;
                true
            });
            // Nobody waits for it any more after a hang.
            let _ = done.send(result);
        }
    };
    thread::Builder::new()
        .name("torture".to_owned())
        .spawn(worker)
        .map_err(|error| format!("no thread could be started: {error}"))?;
    let mut seen = u64::MAX;
    loop {
        match receiver.recv_timeout(options.patience) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Disconnected) => {
                return Err("the run panicked outside of the implementation's calls".to_owned());
            }
            Err(RecvTimeoutError::Timeout) if pulse.count() != seen => seen = pulse.count(),
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    let (episode, before, shrinking) = *current.lock().unwrap_or_else(PoisonError::into_inner);
    let patience = options.patience.as_secs_f64();
    let Some(episode) = episode.filter(|_| !shrinking) else {
        return Err(format!(
            "hang: a call took longer than {patience} s, after something broke and while its \
             trace was made short; the seed is {}",
            options.seed
        ));
    };
    let report = Report::default();
    let runner = Runner { options, start, report, pulse: &Pulse::default() };
    let trace = runner.operations(episode, seen - before);
    Err(hang(patience, &trace))
}

/// Says which call does not end, and how to get there.
fn hang(patience: f64, trace: &Trace) -> String {
    const MOST_LINES: usize = 40;
    let count = trace.operations.len();
    let call = trace.operations.last().map_or_else(|| "create".to_owned(), ToString::to_string);
    let text = trace.to_string();
    let head =
        format!("hang: a call takes longer than {patience} s: {call}\nin {count} operations");
    if count <= MOST_LINES {
        return format!("{head}:\n\n{text}");
    }
    let file = std::env::temp_dir().join(format!("gpu-buddy-{}.trace", std::process::id()));
    match std::fs::write(&file, &text) {
        Ok(()) => format!("{head}; the trace is in {}", file.display()),
        Err(_) => format!("{head}:\n\n{text}"),
    }
}
