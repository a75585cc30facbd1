//! A patched C may crash, or run for ever. So the work is done in a child process;
//! where that dies, the last allocators are lived again to see which operation
//! kills it, and the trace is made short in more child processes.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use gpu_buddy::diff::torture::{self, Episode, Options};
use gpu_buddy::diff::{Operation, Space, Trace};

use crate::Failure;
use crate::kernel::{Against, Pair, start_both};

/// How long a trace may be made short.
pub const SHRINK: Duration = Duration::from_secs(60);

/// The exit code of a process that was interrupted twice.
pub const INTERRUPTED: i32 = 130;

/// The exit code of a process in which a call of the C does not end.
pub const HANGS: i32 = 124;

/// How long one operation may take when a episode is lived again.
const SOME_PATIENCE: Duration = Duration::from_secs(5);

/// The same in a short trace, of which there are many.
const LITTLE_PATIENCE: Duration = Duration::from_secs(1);

/// The user wants an end.
static INTERRUPT: AtomicBool = AtomicBool::new(false);

/// How a process ended.
pub enum Status {
    Exited(Option<i32>),
    Dead(Death),
}

#[derive(Clone, Copy)]
pub enum Death {
    Signal(i32),
    Hang,
}

impl Status {
    fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(HANGS), _) => Self::Dead(Death::Hang),
            (_, Some(signal)) => Self::Dead(Death::Signal(signal)),
            (code, None) => Self::Exited(code),
        }
    }
}

impl std::fmt::Display for Death {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
                write!(f, "crash: the process dies of signal {signal}{name}")
            }
            Self::Hang => write!(f, "hang: a call of the C does not end"),
        }
    }
}

/// Work that is done in child processes.
pub struct Supervisor<'a> {
    /// What the process is to be called with, besides what it has to know of this.
    pub arguments: Vec<OsString>,
    /// What `gpu-buddy replay` needs to see what was seen.
    pub replay: Vec<OsString>,
    pub threads: u64,
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

/// The standard input of the child that works: where it ends, the child is to end.
static INPUT: Mutex<Option<ChildStdin>> = Mutex::new(None);

impl Supervisor<'_> {
    /// Does the work in a child process.
    pub fn work(&self) -> Result<Status, Failure> {
        let mut child = self.again()?.stdin(Stdio::piped()).spawn()?;
        set_input(child.stdin.take());
        static HANDLED: AtomicBool = AtomicBool::new(false);
        if !HANDLED.swap(true, Ordering::Relaxed) {
            // Whatever asks this process to end asks the child to: its input ends.
            ctrlc::set_handler(|| {
                set_input(None);
                if INTERRUPT.swap(true, Ordering::Relaxed) {
                    std::process::exit(INTERRUPTED);
                }
            })
            .map_err(|error| Failure::Usage(error.to_string()))?;
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
        let mut found = Vec::new();
        for thread in 0..self.threads {
            let Some(episode) = episode_left(self.folder, thread) else { continue };
            let file = trace_left(self.folder, thread);
            let _ = fs::remove_file(&file);
            let mut child = self
                .again()?
                .arg("--replay_episode")
                .arg(thread.to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            // It may also have died while a trace was made short, and live now.
            wait(&mut child, SOME_PATIENCE, || file.metadata().map_or(0, |file| file.len()));
            let text = fs::read_to_string(&file).unwrap_or_default();
            let Ok(trace) = text.parse::<Trace>() else { continue };
            found.extend(self.shrink(trace, thread, episode.full_check_interval, death));
        }
        Ok(found)
    }

    /// Makes a trace short that kills a process, or that has shown something else by
    /// now.
    pub fn shrink(
        &self,
        trace: Trace,
        thread: u64,
        full_check_interval: u64,
        death: Death,
    ) -> Option<Found> {
        let fails = |trace: &Trace| self.fails(trace, full_check_interval).ok().flatten();
        fails(&trace)?;
        let operations = trace.operations.len() as u64;
        let (trace, cut_short) =
            torture::shrink(trace, SHRINK, |trace| Some(fails(trace)?.operations));
        let cut_short = cut_short || INTERRUPT.load(Ordering::Relaxed);
        let finding = fails(&trace).map_or_else(|| death.to_string(), |seen| seen.finding);
        Some(Found { thread, finding, operations, cut_short, trace })
    }
}

/// Whether the user wants an end.
pub fn is_interrupted() -> bool {
    INTERRUPT.load(Ordering::Relaxed)
}

fn set_input(input: Option<ChildStdin>) {
    *INPUT.lock().unwrap_or_else(PoisonError::into_inner) = input;
}

/// Set when the user, or who supervises this process, wants an end.
pub fn stop_on_interrupt() -> Result<&'static AtomicBool, Failure> {
    static ASKED: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        INTERRUPT.store(true, Ordering::Relaxed);
        if ASKED.swap(true, Ordering::Relaxed) {
            // Asked for a second time: at once.
            std::process::exit(INTERRUPTED);
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

/// What a replay of a trace has shown.
struct Seen {
    finding: String,
    /// The operations that it takes.
    operations: usize,
}

impl Supervisor<'_> {
    /// Replays a trace in a process of its own.
    fn fails(&self, trace: &Trace, full_check_interval: u64) -> io::Result<Option<Seen>> {
        if INTERRUPT.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (file, output) = (self.folder.join("candidate"), self.folder.join("output"));
        fs::write(&file, trace.to_string())?;
        let mut child = Command::new(env::current_exe()?)
            .args(["replay", "--deep-every", &full_check_interval.to_string()])
            .args(&self.replay)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(Stdio::null())
            .spawn()?;
        let length = || output.metadata().map_or(0, |output| output.len());
        let status = wait(&mut child, LITTLE_PATIENCE, length);
        // The same may have ended that process, which says nothing of the trace then.
        if INTERRUPT.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let text = fs::read_to_string(&output)?;
        // Each operation has a line, which is begun before it is done. What else is
        // said of it is indented.
        let is_operation = |line: &&str| !line.starts_with(' ');
        let (begun, finding) = match status {
            Status::Dead(death) => (text.lines().filter(is_operation).count(), death.to_string()),
            Status::Exited(Some(1)) => {
                let mut begun = 0;
                let mut lines =
                    text.lines().inspect(|line| begun += usize::from(is_operation(line)));
                match lines.find_map(|line| line.strip_prefix("  ** ")) {
                    Some(finding) => (begun, finding.to_owned()),
                    None => return Ok(None),
                }
            }
            Status::Exited(_) => return Ok(None),
        };
        // The first line is the space's.
        Ok(Some(Seen { finding, operations: operations_in(trace, begun.saturating_sub(1)) }))
    }
}

/// How many operations the first lines of a trace are. One on an allocation that
/// was never made, or is freed, has none.
fn operations_in(trace: &Trace, mut lines: usize) -> usize {
    let mut made = HashSet::new();
    for (index, operation) in trace.operations.iter().enumerate() {
        if let Operation::Alloc { id, .. } = operation {
            made.insert(*id);
        }
        let has_line = operation.allocation().is_none_or(|id| made.contains(&id));
        if let Operation::Free { id, .. } = operation {
            made.remove(id);
        }
        lines = lines.saturating_sub(usize::from(has_line));
        if lines == 0 {
            return index + 1;
        }
    }
    trace.operations.len()
}

/// Waits for a child whose progress grows. One that makes none for so long is
/// killed.
fn wait(child: &mut Child, patience: Duration, progress: impl Fn() -> u64) -> Status {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Status::of(status);
        }
        let now = progress();
        if now != seen {
            (seen, since) = (now, Instant::now());
        } else if since.elapsed() >= patience {
            let _ = child.kill().and_then(|()| child.wait());
            return Status::Dead(Death::Hang);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Lives a episode again, and writes down each operation before it is done.
pub fn replay_episode(options: &Options, pair: Pair, folder: &Path, thread: u64) -> io::Result<()> {
    let Some(episode) = episode_left(folder, thread) else { return Ok(()) };
    let mut file = File::create(trace_left(folder, thread))?;
    let space = Trace { space: episode.space, operations: Vec::new() };
    file.write_all(space.to_string().as_bytes())?;
    let write = |operation: &Operation| {
        // Where it cannot be written, the trace ends early, which shows.
        let _ = file.write_all(format!("{operation}\n").as_bytes());
    };
    match pair.against {
        Against::Kernel(other) => {
            torture::replay_episode(options, start_both(pair.module, other), episode, write);
        }
        _ => torture::replay_episode(
            options,
            |space, settings| pair.start(space, settings),
            episode,
            write,
        ),
    }
    Ok(())
}

/// Leaves behind which episode a thread begins.
pub fn leave_episode(folder: &Path, thread: u64, episode: Option<Episode>) {
    if let Some(Episode { seed, space, operations, full_check_interval }) = episode {
        let Space { size, chunk_size, .. } = space;
        let text = format!("{seed} {size} {chunk_size} {operations} {full_check_interval}");
        // Without it a crash has no trace, but all else is as it should be.
        let _ = fs::write(folder.join(format!("{thread}.episode")), text);
    }
}

fn episode_left(folder: &Path, thread: u64) -> Option<Episode> {
    let text = fs::read_to_string(folder.join(format!("{thread}.episode"))).ok()?;
    let numbers: Vec<u64> = text.split(' ').map_while(|number| number.parse().ok()).collect();
    let [seed, size, chunk_size, operations, full_check_interval] = numbers[..] else {
        return None;
    };
    Some(Episode { seed, space: Space::new(size, chunk_size), operations, full_check_interval })
}

fn trace_left(folder: &Path, thread: u64) -> PathBuf {
    folder.join(format!("{thread}.trace"))
}
