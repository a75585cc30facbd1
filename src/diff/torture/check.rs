//! A torture run as a test in one line.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::diff::{
    Comparison, Implementation, KernelC, Lockstep, NotCreated, Settings, Space, Trace,
};

use super::episode::Runner;
use super::{Episode, Failure, Options, Pulse, Report};

type Start = fn(Space, Settings) -> Result<Lockstep, NotCreated>;

/// Runs an implementation in lockstep with the kernel's C. For tests.
///
/// Half of the operations are compared as [`Settings::comparison`] says, the others in the weaker
/// ways, which allow more kinds of requests. Returns a report.
///
/// ```
/// use gpu_buddy::diff::{KernelC, torture};
///
/// // Put your implementation in the place of the C.
/// let report = torture::check::<KernelC>(&torture::Options::default());
/// println!("{report}");
/// ```
///
/// # Panics
///
/// With a short trace, if the two differ, a promise is broken, the implementation panics, or a call
/// takes longer than [`Options::patience`]. Also if no allocator could be created.
#[track_caller]
pub fn check<S: Implementation>(options: &Options) -> Report {
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
        let start: Start = match comparison {
            Contract => Lockstep::alone::<S>,
            _ => Lockstep::new::<S, KernelC>,
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
        "no allocator could be made: {} spaces were refused and {} not supported",
        total.refused,
        total.declined
    );
    total
}

/// Runs in its own thread, which is abandoned if a call in it does not return.
fn run_watched(options: &Options, start: Start) -> Result<(Report, Option<Box<Failure>>), String> {
    let pulse = Arc::new(Pulse::default());
    // The current episode, the operations begun before it, and whether a trace is being shrunk.
    let current = Arc::new(Mutex::new((None::<Episode>, 0u64, false)));
    let (done, receiver) = channel();
    let worker = {
        let (options, pulse, current) = (options.clone(), Arc::clone(&pulse), Arc::clone(&current));
        move || {
            let result = Runner::new(&options, &start, &pulse).run(&mut |report| {
                let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
                if current.0 != report.episode {
                    *current = (report.episode, pulse.count(), false);
                }
                current.2 = report.shrinking;
                true
            });
            // After a hang, nobody receives it.
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
            "hang: a call took longer than {patience} s while the trace of a finding was shrunk; \
             the seed is {}",
            options.seed
        ));
    };
    let pulse = &Pulse::default();
    let trace = Runner::new(options, &start, pulse).operations(episode, seen - before);
    Err(hang(patience, &trace))
}

/// Formats which call does not return, and the trace that leads to it.
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
