//! Runs the parts of a check in child processes, several at a time.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::patience::Patience;
pub use crate::supervise::is_interrupted;
use crate::supervise::{INTERRUPTED, interrupt};

/// One part: a call of this command.
pub struct Job {
    pub arguments: Vec<OsString>,
    pub environment: Vec<(&'static str, OsString)>,
    /// It is killed if it takes longer.
    pub patience: Duration,
    /// It starts no processes, so that its limit counts processor time.
    pub alone: bool,
    /// It is skipped if another job has printed this.
    pub unless: Option<&'static str>,
}

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

/// Runs the jobs, several at a time, and calls `told` when one is done.
pub fn run(jobs: &[Job], told: impl Fn(usize) + Sync) -> io::Result<Vec<Done>> {
    // The `unless` texts that finished jobs have printed.
    let said: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    let said = || said.lock().unwrap_or_else(PoisonError::into_inner);
    let done = each(jobs, |_, index, job| {
        let done = match job.unless.filter(|words| said().contains(words)) {
            Some(words) => Done { left_out: Some(words), ..Done::none() },
            None => job.run()?,
        };
        said().extend(job.unless.filter(|words| done.stdout.contains(words)));
        told(index);
        Ok(done)
    });
    done.into_iter().collect()
}

impl Job {
    fn run(&self) -> io::Result<Done> {
        if is_interrupted() {
            return Ok(Done::none());
        }
        let mut child = Command::new(std::env::current_exe()?)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            // Otherwise the terminal would interrupt it too, and a second interrupt kills.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let process = child.id();
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(process);
        let done = wait(&mut child, self.patience, self.alone);
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

fn wait(child: &mut Child, limit: Duration, alone: bool) -> io::Result<Done> {
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let out = scope.spawn(move || read(stdout.as_mut()));
        let err = scope.spawn(move || read(stderr.as_mut()));
        let (started, patience) = (Instant::now(), Patience::new(child.id(), limit));
        let mut late = false;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            let is_over = || if alone { patience.is_over() } else { started.elapsed() >= limit };
            if !late && is_over() {
                late = true;
                // With all of its children.
                if let Some(group) = Pid::from_raw(child.id() as i32) {
                    let _ = rustix::process::kill_process_group(group, Signal::KILL);
                }
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
