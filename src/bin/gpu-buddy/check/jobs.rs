//! Runs the parts of a check in child processes, several at a time.

use std::cell::Cell;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::patience::Patience;
pub use crate::supervise::is_interrupted;
use crate::supervise::{INTERRUPTED, interrupt};

/// One part: a call of this command.
pub struct Job {
    pub arguments: Vec<OsString>,
    pub environment: Vec<(&'static str, OsString)>,
    pub limit: Limit,
    /// It is skipped if another job has printed this.
    pub unless: Option<&'static str>,
}

/// When a job must end.
#[derive(Clone, Copy)]
pub enum Limit {
    /// It is killed if it has used more processor time. It starts no processes of its own.
    Processor(Duration),
    /// It is told how many seconds it has: its share, by weight, of the time that is left. It is
    /// interrupted if it shrinks a trace for too long after that, and reports what it has found.
    /// That is not before `least`.
    Share { weight: f64, least: Duration },
}

/// The shortest share, in seconds: if the time is over, no job is left out.
const LEAST: f64 = 0.5;

/// How many seconds longer a job may take to shrink a trace at its end.
pub const OVERTIME: f64 = 1.5;

/// An interrupted job is killed if it does not end within this time. It waits for a call that
/// hangs.
const GRACE: Duration = Duration::from_secs(3);

/// The result of a job.
pub struct Done {
    /// `None` if it was killed.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// It took too long.
    pub late: bool,
    /// It was skipped for this reason.
    pub left_out: Option<&'static str>,
}

/// The running processes.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Passes an interrupt on to the processes, which then report their results so far.
pub fn handle_interrupt() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        if interrupt() {
            end(Signal::KILL);
            std::process::exit(INTERRUPTED.into());
        }
        end(Signal::INT);
    })
}

fn end(signal: Signal) {
    for &process in RUNNING.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        if let Some(process) = Pid::from_raw(process as i32) {
            let _ = kill_process(process, signal);
        }
    }
}

/// The number of jobs that run at the same time.
pub fn lanes() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(4)
}

/// Does `work` with each of several things, some at a time, and returns the results in order.
/// `work` gets the lane, the index and the thing.
pub fn each<T: Sync, R: Send>(things: &[T], work: impl Fn(usize, usize, &T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for lane in 0..lanes() {
            let (next, results, work) = (&next, &results, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(thing) = things.get(index) else { break };
                    let result = work(lane, index, thing);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Runs the jobs, several at a time, until `end`, and calls `told` when one is done.
pub fn run(jobs: &[Job], end: Instant, told: impl Fn(usize) + Sync) -> io::Result<Vec<Done>> {
    // The `unless` texts that finished jobs have printed.
    let said: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    let said = || said.lock().unwrap_or_else(PoisonError::into_inner);
    // When each running job will probably end.
    let ends = Mutex::new(vec![None; jobs.len()]);
    let ends = || ends.lock().unwrap_or_else(PoisonError::into_inner);
    let done = each(jobs, |_, index, job| {
        let done = match job.unless.filter(|words| said().contains(words)) {
            Some(words) => Done { left_out: Some(words), ..Done::none() },
            None => {
                let share = share(&jobs[index..], end, &ends());
                ends()[index] = Some(Instant::now() + share);
                let done = job.run(share);
                ends()[index] = None;
                done?
            }
        };
        said().extend(job.unless.filter(|words| done.stdout.contains(words)));
        told(index);
        Ok(done)
    });
    done.into_iter().collect()
}

/// The share of the first of the jobs that have not begun.
fn share(jobs: &[Job], end: Instant, running: &[Option<Instant>]) -> Duration {
    let now = Instant::now();
    let left = |end: Instant| end.saturating_duration_since(now).as_secs_f64();
    let running: f64 = running.iter().flatten().map(|&end| left(end)).sum();
    let weights: f64 = jobs.iter().map(Job::weight).sum();
    let ours = jobs.first().map_or(0.0, Job::weight) / weights.max(f64::MIN_POSITIVE);
    let share = (left(end) * lanes() as f64 - running) * ours;
    Duration::from_secs_f64(share.min(left(end)).max(LEAST))
}

impl Job {
    fn weight(&self) -> f64 {
        match self.limit {
            Limit::Share { weight, .. } => weight,
            Limit::Processor(_) => 0.0,
        }
    }

    /// `share` is its share of the time.
    fn run(&self, share: Duration) -> io::Result<Done> {
        if is_interrupted() {
            return Ok(Done::none());
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.args(&self.arguments);
        if let Limit::Share { .. } = self.limit {
            command.arg("--seconds").arg(format!("{:.2}", share.as_secs_f64()));
        }
        let mut child = command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            // Otherwise the terminal would interrupt it too, and a second interrupt kills.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let process = child.id();
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(process);
        let done = wait(&mut child, self.limit, share);
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).retain(|&other| other != process);
        done
    }
}

impl Done {
    fn none() -> Self {
        Self {
            code: None,
            stdout: String::new(),
            stderr: String::new(),
            late: false,
            left_out: None,
        }
    }
}

/// Waits for a child. `share` is its share of the time, if its limit is one.
fn wait(child: &mut Child, limit: Limit, share: Duration) -> io::Result<Done> {
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (process, group) = (child.id(), Pid::from_raw(child.id() as i32));
    thread::scope(|scope| {
        let out = scope.spawn(move || read(stdout.as_mut()));
        let err = scope.spawn(move || read(stderr.as_mut()));
        let is_over: Box<dyn Fn() -> bool> = match limit {
            Limit::Processor(limit) => {
                let patience = Patience::new(process, limit);
                Box::new(move || patience.is_over())
            }
            Limit::Share { least, .. } => {
                let end = Instant::now() + least.max(share + Duration::from_secs_f64(OVERTIME));
                let interrupted = Cell::new(false);
                Box::new(move || {
                    let now = Instant::now();
                    if now >= end && !interrupted.replace(true) {
                        let _ = group.map(|process| kill_process(process, Signal::INT));
                    }
                    now >= end + GRACE
                })
            }
        };
        let mut late = false;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if !late && is_over() {
                late = true;
                // With all of its children.
                let _ = group.map(|group| kill_process_group(group, Signal::KILL));
            }
            thread::sleep(Duration::from_millis(2));
        };
        let text = |thread: thread::ScopedJoinHandle<'_, String>| thread.join().unwrap_or_default();
        Ok(Done { code: status.code(), stdout: text(out), stderr: text(err), late, left_out: None })
    })
}

fn read(pipe: Option<&mut impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // After an error, keep what was read.
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
