//! A patched C may crash, or run for ever. So the work is done in a child process;
//! where that dies, the last allocators are lived again to see which operation
//! kills it, and the trace is made short in more child processes.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Write, stdout};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use gpu_buddy::diff::torture::{self, Life, Options};
use gpu_buddy::diff::{Operation, Space, Trace};
use serde_json::json;

use super::{Arguments, Found, SHRINK, replay, write_trace};
use crate::kernel::{Against, Pair, start_both};
use crate::{Failure, Verdict};

/// The exit code of a process that was interrupted twice.
pub const INTERRUPTED: i32 = 130;

/// The exit code of a process in which a call of the C does not end.
const HANGS: i32 = 124;

/// A thousand operations that take so long do not end.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long one operation may take when a life is lived again.
const SOME_PATIENCE: Duration = Duration::from_secs(5);

/// The same in a short trace, of which there are many.
const LITTLE_PATIENCE: Duration = Duration::from_secs(1);

/// The user wants an end.
static INTERRUPT: AtomicBool = AtomicBool::new(false);

/// How a process ended.
enum Status {
    Exited(Option<i32>),
    Dead(Death),
}

#[derive(Clone, Copy)]
enum Death {
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

/// Does the work in a child process.
pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => getrandom::u64().map_err(|error| Failure::Usage(error.to_string()))?,
    };
    let folder = tempfile::Builder::new().prefix("gpu-buddy-").tempdir()?;
    let mut child = again(arguments, seed, folder.path())?.stdin(Stdio::piped()).spawn()?;

    // Whatever asks this process to end asks the child to: its input ends.
    let input = Arc::new(Mutex::new(child.stdin.take()));
    let ends = Arc::clone(&input);
    ctrlc::set_handler(move || {
        drop(ends.lock().map(|mut input| input.take()));
        if INTERRUPT.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
    })
    .map_err(|error| Failure::Usage(error.to_string()))?;

    match Status::of(child.wait()?) {
        Status::Dead(death) => after_death(arguments, seed, folder.path(), death),
        Status::Exited(Some(0)) => Ok(Verdict::Passed),
        Status::Exited(Some(1)) => Ok(Verdict::Failed),
        Status::Exited(code) => Err(Failure::Told(code.unwrap_or(2) as u8)),
    }
}

/// This command again, under supervision.
fn again(arguments: &Arguments, seed: u64, folder: &Path) -> Result<Command, Failure> {
    let mut command = Command::new(env::current_exe()?);
    command.args(env::args_os().skip(1));
    if arguments.seed.is_none() {
        command.arg("--seed").arg(seed.to_string());
    }
    command.arg("--supervised").arg(folder);
    Ok(command)
}

/// Finds what killed the child.
fn after_death(
    arguments: &Arguments,
    seed: u64,
    folder: &Path,
    death: Death,
) -> Result<Verdict, Failure> {
    eprintln!("{death}; looking for the operation");
    let mut found = Vec::new();
    for thread in 0..arguments.threads {
        let Some(life) = life_left(folder, thread) else { continue };
        let mut child = again(arguments, seed, folder)?
            .arg("--relive")
            .arg(thread.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let file = trace_left(folder, thread);
        // It may also have died while a trace was made short, and live now.
        wait(&mut child, SOME_PATIENCE, || file.metadata().map_or(0, |file| file.len()));
        let text = fs::read_to_string(&file).unwrap_or_default();
        let Ok(trace) = text.parse::<Trace>() else { continue };
        let fails = |trace: &Trace| fails(trace, life, arguments, folder).ok().flatten();
        if fails(&trace).is_none() {
            continue;
        }
        let operations = trace.operations.len() as u64;
        let (trace, cut_short) =
            torture::shrink(trace, SHRINK, |trace| Some(fails(trace)?.operations));
        let cut_short = cut_short || INTERRUPT.load(Ordering::Relaxed);
        let finding = fails(&trace).map_or_else(|| death.to_string(), |seen| seen.finding);
        let file = write_trace(arguments, seed, thread, &finding, &trace);
        let text = format!(
            "{finding}\nafter {operations} operations, shrunk to {}{}:\n\n{trace}",
            trace.operations.len(),
            if cut_short { ", shrinking ran out of time" } else { "" }
        );
        found.push(Found { thread, finding, text, operations, cut_short, trace, file });
    }
    if found.is_empty() {
        eprintln!("No trace shows it. The seed is {seed}.");
    }
    if arguments.json {
        let failures: Vec<_> = found.iter().map(Found::json).collect();
        println!("{}", json!({ "seed": seed, "passed": false, "failures": failures }));
    } else {
        let mut out = stdout().lock();
        found.iter().try_for_each(|found| found.print(&mut out, &replay(arguments)))?;
        writeln!(out, "\nseed {seed}: failed")?;
    }
    Ok(Verdict::Failed)
}

/// What a replay of a trace has shown.
struct Seen {
    finding: String,
    /// The operations that it takes.
    operations: usize,
}

/// Replays a trace in a process of its own.
fn fails(
    trace: &Trace,
    life: Life,
    arguments: &Arguments,
    folder: &Path,
) -> std::io::Result<Option<Seen>> {
    if INTERRUPT.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let (file, output) = (folder.join("candidate"), folder.join("output"));
    fs::write(&file, trace.to_string())?;
    let mut child = Command::new(env::current_exe()?)
        .args(["replay", "--deep-every", &life.deep_every.to_string()])
        .args(replay(arguments))
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
            let mut lines = text.lines().inspect(|line| begun += usize::from(is_operation(line)));
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

/// How many operations the first lines of a trace are. One on an allocation that
/// was never made has none.
fn operations_in(trace: &Trace, mut lines: usize) -> usize {
    let mut made = HashSet::new();
    for (index, operation) in trace.operations.iter().enumerate() {
        if let Operation::Alloc { id, .. } = operation {
            made.insert(*id);
        }
        let has_line = operation.allocation().is_none_or(|id| made.contains(&id));
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

/// Lives a life again, and writes down each operation before it is done.
pub fn relive(
    options: &Options,
    pair: Pair,
    folder: &Path,
    thread: u64,
) -> Result<Verdict, Failure> {
    let Some(life) = life_left(folder, thread) else {
        return Ok(Verdict::Passed);
    };
    let mut file = File::create(trace_left(folder, thread))?;
    let space = Trace { space: life.space, operations: Vec::new() };
    file.write_all(space.to_string().as_bytes())?;
    let write = |operation: &Operation| {
        // Where it cannot be written, the trace ends early, which shows.
        let _ = file.write_all(format!("{operation}\n").as_bytes());
    };
    match pair.against {
        Against::Kernel(other) => {
            torture::relive(options, start_both(pair.module, other), life, write);
        }
        _ => torture::relive(options, |space, settings| pair.start(space, settings), life, write),
    }
    Ok(Verdict::Passed)
}

/// Leaves behind which life a thread begins.
pub fn leave_life(folder: &Path, thread: u64, life: Option<Life>) {
    if let Some(Life { seed, space, operations, deep_every }) = life {
        let Space { size, chunk_size } = space;
        let text = format!("{seed} {size} {chunk_size} {operations} {deep_every}");
        // Without it a crash has no trace, but all else is as it should be.
        let _ = fs::write(folder.join(format!("{thread}.life")), text);
    }
}

fn life_left(folder: &Path, thread: u64) -> Option<Life> {
    let text = fs::read_to_string(folder.join(format!("{thread}.life"))).ok()?;
    let numbers: Vec<u64> = text.split(' ').map_while(|number| number.parse().ok()).collect();
    let [seed, size, chunk_size, operations, deep_every] = numbers[..] else { return None };
    Some(Life { seed, space: Space { size, chunk_size }, operations, deep_every })
}

fn trace_left(folder: &Path, thread: u64) -> PathBuf {
    folder.join(format!("{thread}.trace"))
}

/// Ends the process where a thread makes no progress.
pub struct Watchdog {
    started: Instant,
    /// When each thread gave a sign of life, in milliseconds since the start;
    /// `u64::MAX` when it is done.
    beats: Vec<AtomicU64>,
}

impl Watchdog {
    pub fn new(threads: u64) -> Self {
        Self { started: Instant::now(), beats: (0..threads).map(|_| AtomicU64::new(0)).collect() }
    }

    pub fn beat(&self, thread: u64) {
        let now = self.started.elapsed().as_millis() as u64;
        self.beats[thread as usize].store(now, Ordering::Relaxed);
    }

    pub fn finish(&self, thread: u64) {
        self.beats[thread as usize].store(u64::MAX, Ordering::Relaxed);
    }

    /// Until every thread is done.
    pub fn watch(&self) {
        loop {
            let last = self.beats.iter().map(|beat| beat.load(Ordering::Relaxed)).min();
            let Some(last) = last.filter(|&last| last != u64::MAX) else { return };
            if self.started.elapsed().saturating_sub(Duration::from_millis(last)) >= PATIENCE {
                std::process::exit(HANGS);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
