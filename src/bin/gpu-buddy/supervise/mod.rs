//! A patched C may crash or hang, so the work runs in a child process. If the child dies, its last
//! episodes are replayed to find the operation that kills it, and the trace is shrunk in more
//! child processes.

pub mod candidate;
mod episodes;
mod process;

use std::ffi::OsString;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use gpu_buddy::diff::{Trace, torture};

use crate::Failure;
use candidate::{Kind, Seen, try_trace};
use episodes::{episode_left, trace_left};
pub use episodes::{leave_episode, replay_episode};
use process::wait;
pub use process::{Death, HANGS, INTERRUPTED, Status, end_with_parent, run_trace, say};

/// How long the trace of a finding may be shrunk.
pub const SHRINK: Duration = Duration::from_secs(60);

/// How long the trace of each kind may be shrunk in a run of this many seconds that continues
/// after a failure.
pub fn shrink_one(seconds: f64) -> Duration {
    Duration::from_secs_f64((seconds / 4.0).clamp(0.2, 2.0))
}

/// How long it may take to find what killed a process, and to shrink its trace.
const SHRINK_DEATH: Duration = Duration::from_secs(30);

/// How long one operation may take when an episode is replayed.
const SOME_PATIENCE: Duration = Duration::from_secs(1);

/// The same for a short trace: upper and lower bound.
const LITTLE_PATIENCE: Duration = Duration::from_secs(1);
const LEAST_PATIENCE: Duration = Duration::from_millis(200);

/// The user has interrupted the run.
static INTERRUPT: AtomicBool = AtomicBool::new(false);

/// Runs work in child processes.
pub struct Supervisor<'a> {
    /// The arguments of the process, without those for supervision.
    pub arguments: Vec<OsString>,
    /// The arguments with which `gpu-buddy candidate` reproduces a failure.
    pub candidate: Vec<OsString>,
    pub threads: u64,
    /// How many seconds a call may make no progress. It also limits the search for the call that
    /// killed the process.
    pub patience: f64,
    /// Where the child records its episodes.
    pub folder: &'a Path,
}

/// What has killed a child.
pub struct Found {
    pub thread: u64,
    pub finding: String,
    /// Number of operations before shrinking.
    pub operations: u64,
    pub cut_short: bool,
    pub trace: Trace,
}

/// The standard input of the child; closing it tells the child to stop.
static INPUT: Mutex<Option<ChildStdin>> = Mutex::new(None);

impl Supervisor<'_> {
    /// The deadline for finding what killed the process.
    fn deadline(&self) -> Instant {
        Instant::now() + SHRINK_DEATH.min(Duration::from_secs_f64(2.0 * self.patience))
    }

    /// Does the work in a child process.
    pub fn work(&self) -> Result<Status, Failure> {
        let mut child = self.again()?.stdin(Stdio::piped()).spawn()?;
        set_input(child.stdin.take());
        handle_interrupt()?;
        if is_interrupted() {
            set_input(None);
        }
        Ok(Status::of(child.wait()?))
    }

    /// This command again, under supervision.
    fn again(&self) -> Result<Command, Failure> {
        let mut command = Command::new(env::current_exe()?);
        command.args(&self.arguments).arg("--supervised").arg(self.folder);
        Ok(command)
    }

    /// Finds what killed the child.
    pub fn after_death(&self, death: Death) -> Result<Vec<Found>, Failure> {
        eprintln!("{death}; looking for the operation");
        let deadline = self.deadline();
        let mut found = Vec::new();
        for thread in 0..self.threads {
            let Some(episode) = episode_left(self.folder, thread) else { continue };
            let file = trace_left(self.folder, thread);
            let _ = fs::remove_file(&file);
            let mut child = self
                .again()?
                .arg("--replay-episode")
                .arg(thread.to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            // The child may have died while it shrank a trace; then the replay does not die.
            wait(&mut child, SOME_PATIENCE, || file.metadata().map_or(0, |file| file.len()))?;
            let text = fs::read_to_string(&file).unwrap_or_default();
            let Ok(trace) = text.parse::<Trace>() else { continue };
            let interval = episode.full_check_interval;
            found.extend(self.shrink_until(deadline, trace, thread, interval));
        }
        Ok(found)
    }

    /// How a trace kills a process, if it does.
    pub fn death(&self, trace: &Trace) -> Result<Option<Death>, Failure> {
        let arguments = [&self.candidate[..], &["--full-check-interval=0".into()]].concat();
        let patience = Duration::from_secs_f64(self.patience);
        Ok(match try_trace(trace, &arguments, self.folder, patience)? {
            Some(Seen { kind: Kind::Death(death), .. }) => Some(death),
            _ => None,
        })
    }

    /// Shrinks a trace that kills a process. The replay may show another failure instead.
    pub fn shrink(&self, trace: Trace) -> Option<Found> {
        self.shrink_until(self.deadline(), trace, 0, 0)
    }

    fn shrink_until(
        &self,
        deadline: Instant,
        trace: Trace,
        thread: u64,
        full_check_interval: u64,
    ) -> Option<Found> {
        let mut arguments = self.candidate.clone();
        arguments.push(format!("--full-check-interval={full_check_interval}").into());
        let mut patience = SOME_PATIENCE;
        let mut run = |trace: &Trace, kind: Option<&Kind>| {
            if is_interrupted() {
                return None;
            }
            let seen = try_trace(trace, &arguments, self.folder, patience);
            // The interrupt may have ended that process too; then its result is void.
            let seen = seen.ok().flatten().filter(|_| !is_interrupted())?;
            if kind.is_some_and(|kind| *kind != seen.kind) {
                return None;
            }
            // A shorter trace takes no longer.
            patience = (4 * seen.after).clamp(LEAST_PATIENCE, LITTLE_PATIENCE);
            Some(seen)
        };
        let mut last = run(&trace, None)?;
        let operations = trace.operations.len() as u64;
        let within = deadline.saturating_duration_since(Instant::now());
        let (trace, cut_short) = torture::shrink(trace, within, |trace| {
            let kind = last.kind.clone();
            last = run(trace, Some(&kind))?;
            Some(last.operations)
        });
        let cut_short = cut_short || is_interrupted();
        Some(Found { thread, finding: last.finding, operations, cut_short, trace })
    }
}

/// Records an interrupt. Returns whether there was one before.
pub fn interrupt() -> bool {
    INTERRUPT.swap(true, Ordering::Relaxed)
}

/// Makes an interrupt end what this process waits for, so that it reports its results so far.
pub fn handle_interrupt() -> Result<(), Failure> {
    static HANDLED: AtomicBool = AtomicBool::new(false);
    if HANDLED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    // An interrupt also stops the child: its input is closed.
    let ask = || {
        set_input(None);
        if interrupt() {
            std::process::exit(INTERRUPTED.into());
        }
    };
    ctrlc::set_handler(ask).map_err(|error| Failure::Usage(error.to_string()))
}

/// Whether the user has interrupted the run.
pub fn is_interrupted() -> bool {
    INTERRUPT.load(Ordering::Relaxed)
}

fn set_input(input: Option<ChildStdin>) {
    *INPUT.lock().unwrap_or_else(PoisonError::into_inner) = input;
}

/// Exits when the user or the supervisor wants this process to stop.
pub fn exit_on_interrupt() -> Result<(), Failure> {
    let exit = || std::process::exit(INTERRUPTED.into());
    ctrlc::set_handler(exit).map_err(|error| Failure::Usage(error.to_string()))?;
    when_input_ends(exit);
    Ok(())
}

/// Calls `f` when the supervisor ends or closes the standard input.
fn when_input_ends(f: impl FnOnce() + Send + 'static) {
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        f();
    });
}

/// Returns a flag that is set when the user or the supervisor wants this process to stop.
pub fn stop_on_interrupt() -> Result<&'static AtomicBool, Failure> {
    static ASKED: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        INTERRUPT.store(true, Ordering::Relaxed);
        if ASKED.swap(true, Ordering::Relaxed) {
            // The second interrupt: exit at once.
            std::process::exit(INTERRUPTED.into());
        }
    })
    .map_err(|error| Failure::Usage(error.to_string()))?;
    when_input_ends(|| INTERRUPT.store(true, Ordering::Relaxed));
    Ok(&INTERRUPT)
}
