//! A patched C may crash, or run for ever. So the work is done in a child process. If that
//! dies, the last episodes are replayed to see which operation kills it, and the trace is
//! made short in more child processes.

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

/// How long the trace of a finding may be made short.
pub const SHRINK: Duration = Duration::from_secs(60);

/// How long the trace of each kind may be shrunk in a run of so many seconds that goes on.
pub fn shrink_one(seconds: f64) -> Duration {
    Duration::from_secs_f64((seconds / 4.0).clamp(0.2, 2.0))
}

/// How long it may take to find out what killed a process, and to make its trace short.
const SHRINK_DEATH: Duration = Duration::from_secs(30);

/// How long one operation may take when an episode is replayed.
const SOME_PATIENCE: Duration = Duration::from_secs(2);

/// The same in a short trace: at most, and at least.
const LITTLE_PATIENCE: Duration = Duration::from_secs(1);
const LEAST_PATIENCE: Duration = Duration::from_millis(200);

/// The user wants an end.
static INTERRUPT: AtomicBool = AtomicBool::new(false);

/// Work that is done in child processes.
pub struct Supervisor<'a> {
    /// What the process is to be called with, besides what it has to know of this.
    pub arguments: Vec<OsString>,
    /// What `gpu-buddy candidate` needs to see what was seen.
    pub candidate: Vec<OsString>,
    pub threads: u64,
    /// In seconds, how long a call may make no progress. What finds out which one killed the
    /// process takes its time accordingly.
    pub patience: f64,
    /// Where the child leaves which allocators it works on.
    pub folder: &'a Path,
}

/// How a child has killed itself.
pub struct Found {
    pub thread: u64,
    pub finding: String,
    /// How many operations it took, before the trace was made short.
    pub operations: u64,
    pub cut_short: bool,
    pub trace: Trace,
}

/// The standard input of the child that works: when it ends, the child is to end.
static INPUT: Mutex<Option<ChildStdin>> = Mutex::new(None);

impl Supervisor<'_> {
    /// Until when it may take to find out what killed the process.
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
            // It may also have died while a trace was made short, and live now.
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

    /// Makes a trace short that kills a process, or that has shown something else by now.
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
            // The same may have ended that process, which says nothing of the trace then.
            let seen = seen.ok().flatten().filter(|_| !is_interrupted())?;
            if kind.is_some_and(|kind| *kind != seen.kind) {
                return None;
            }
            // A shorter trace takes no longer to get there.
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

/// Notes that the user wants an end. Returns whether that was known.
pub fn interrupt() -> bool {
    INTERRUPT.swap(true, Ordering::Relaxed)
}

/// Has an interrupt end what this process waits for, so that it says what it has so far.
pub fn handle_interrupt() -> Result<(), Failure> {
    static HANDLED: AtomicBool = AtomicBool::new(false);
    if HANDLED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    // A child that works is asked to end: its input ends.
    let ask = || {
        set_input(None);
        if interrupt() {
            std::process::exit(INTERRUPTED.into());
        }
    };
    ctrlc::set_handler(ask).map_err(|error| Failure::Usage(error.to_string()))
}

/// Whether the user wants an end.
pub fn is_interrupted() -> bool {
    INTERRUPT.load(Ordering::Relaxed)
}

fn set_input(input: Option<ChildStdin>) {
    *INPUT.lock().unwrap_or_else(PoisonError::into_inner) = input;
}

/// Ends this process when the user, or who supervises it, wants an end.
pub fn exit_on_interrupt() -> Result<(), Failure> {
    let exit = || std::process::exit(INTERRUPTED.into());
    ctrlc::set_handler(exit).map_err(|error| Failure::Usage(error.to_string()))?;
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        exit();
    });
    Ok(())
}

/// Set when the user, or who supervises this process, wants an end.
pub fn stop_on_interrupt() -> Result<&'static AtomicBool, Failure> {
    static ASKED: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        INTERRUPT.store(true, Ordering::Relaxed);
        if ASKED.swap(true, Ordering::Relaxed) {
            // Asked for a second time: at once.
            std::process::exit(INTERRUPTED.into());
        }
    })
    .map_err(|error| Failure::Usage(error.to_string()))?;
    // The standard input ends when the supervisor ends, or says so.
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        INTERRUPT.store(true, Ordering::Relaxed);
    });
    Ok(&INTERRUPT)
}
