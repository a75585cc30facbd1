//! Runs child processes and finds out how they end.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, set_parent_process_death_signal};
use serde::Serialize;

use super::is_interrupted;
use crate::patience::Patience;

/// The exit code of a process that was interrupted.
pub const INTERRUPTED: u8 = 130;

/// The exit code of a process in which a call of the C hangs.
pub const HANGS: i32 = 124;

/// How a process ended.
#[derive(Clone, Copy)]
pub enum Status {
    Exited(Option<i32>),
    Dead(Death),
    /// It was ended, since the user wants an end.
    Interrupted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    Signal(i32),
    Hang,
}

impl Status {
    pub fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(HANGS), _) => Self::Dead(Death::Hang),
            (_, Some(signal)) => Self::Dead(Death::Signal(signal)),
            (code, None) => Self::Exited(code),
        }
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => {
                let name = match signal {
                    4 => " (SIGILL)",
                    6 => " (SIGABRT)",
                    7 => " (SIGBUS)",
                    8 => " (SIGFPE)",
                    9 => " (SIGKILL)",
                    11 => " (SIGSEGV)",
                    _ => "",
                };
                write!(f, "crash: the process is killed by signal {signal}{name}")
            }
            Self::Hang => write!(f, "hang: a call of the C does not return"),
        }
    }
}

/// Sends an event to the parent process, as a line of JSON, and flushes it: the next call of the C
/// may kill this process.
pub fn say(out: &mut impl Write, event: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, event)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Makes this process end with its parent: it may run into a call that hangs.
pub fn end_with_parent() {
    // Without that, it ends when its work does.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// Runs a trace with a subcommand of this command, in a child process that reports its progress.
/// Returns how it ended, when it made its last progress, and its output; the last line may be
/// incomplete.
pub fn run_trace(
    subcommand: &str,
    trace: &str,
    arguments: &[OsString],
    environment: &[(&str, OsString)],
    folder: &Path,
    patience: Duration,
    stderr: Stdio,
) -> io::Result<(Status, Duration, String)> {
    let [file, output] =
        ["trace", "output"].map(|ending| folder.join(format!("{subcommand}.{ending}")));
    fs::write(&file, trace)?;
    let mut child = Command::new(env::current_exe()?)
        .arg(subcommand)
        .args(arguments)
        .arg(&file)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        // An interrupt that a terminal sends to both would look like a crash.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(File::create(&output)?)
        .stderr(stderr)
        .spawn()?;
    let length = || output.metadata().map_or(0, |output| output.len());
    let (status, after) = wait(&mut child, patience, length)?;
    Ok((status, after, fs::read_to_string(&output)?))
}

/// Waits for a child, and kills it if it makes no progress for longer than `patience`, or if the user
/// interrupts. Returns how it ended, and when it made its last progress.
pub fn wait(
    child: &mut Child,
    patience: Duration,
    progress: impl Fn() -> u64,
) -> io::Result<(Status, Duration)> {
    let started = Instant::now();
    let mut patience = Patience::new(child.id(), patience);
    let (mut seen, mut last) = (0, Duration::ZERO);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((Status::of(status), last));
        }
        if is_interrupted() {
            child.kill()?;
            child.wait()?;
            return Ok((Status::Interrupted, last));
        }
        let now = progress();
        if now != seen {
            (seen, last) = (now, started.elapsed());
            patience.begin_again();
        } else if patience.is_over() {
            child.kill()?;
            child.wait()?;
            return Ok((Status::Dead(Death::Hang), last));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
