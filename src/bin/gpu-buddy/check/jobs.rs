//! The parts of a check, each in a process of its own, several at a time.

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

/// One part: this command, called again.
pub struct Job {
    pub arguments: Vec<OsString>,
    pub environment: Vec<(&'static str, OsString)>,
    /// It is ended if it takes longer.
    pub patience: Duration,
    /// It does all by itself, so that what counts is the time that it uses of a processor.
    pub alone: bool,
    /// It is left out if another has said this, which takes time each time.
    pub unless: Option<&'static str>,
}

/// What came of it.
pub struct Done {
    /// `None` if it was killed.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// It took longer than it may.
    pub late: bool,
    /// It was left out for this reason.
    pub left_out: Option<&'static str>,
}

/// What is running.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Passes an interrupt on to the processes, which then say what they have so far.
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

/// How many jobs run at a time.
pub fn lanes() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(4)
}

/// Does the same with each of several things, some of them at a time, and returns what came
/// of each in their order. `work` gets the lane, the index and the thing.
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

/// Runs the jobs, in their order as far as there is room, and calls `told` when one is done.
pub fn run(jobs: &[Job], told: impl Fn(usize) + Sync) -> io::Result<Vec<Done>> {
    // What jobs that are done have said of what others ask for.
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
            // A terminal would interrupt it as well, and twice means at once.
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
                // With all that it has started.
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
        // What was read until an error is what there is.
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
