//! Faults planted in the allocator: torture finds each, and makes it short.
//!
//! The faults are edits of a copy of the kernel's `buddy.c`, made here. One copy
//! has them all, so that it is compiled once; at run time the environment says which
//! of them is there. With none of them the copy is the kernel's code.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{kernel_tree, not_found, not_tested};
use crate::faults::FAULTS;
use crate::known::KNOWN;
use crate::plant::Edit::{Put, Skip};
use crate::plant::Shows::{AmongThreads, InLockstep, MayDie, UnderFaults};
use crate::plant::{Fault, Shows, place};
use crate::{ALLOCATOR, processors};
use gpu_buddy::diff::reference::Reference;
use gpu_buddy::module::Module;
use serde_json::Value;

/// Names the fault that is there, by its place in the table, counted from 1.
const VARIABLE: &str = "GPU_BUDDY_PLANTED";

/// A trace is short if it has no more operations than this.
const SHORT: u64 = 10;

/// How long torture may take to find a fault, in seconds.
const SECONDS: u64 = 20;

/// Torture that takes this long hangs, or shrinks endlessly.
const PATIENCE: Duration = Duration::from_secs(SECONDS + 100);

fn all() -> impl Iterator<Item = &'static Fault> {
    FAULTS.iter().chain(KNOWN)
}

fn numbered(number: usize) -> &'static Fault {
    all().nth(number - 1).expect("a fault")
}

/// What to put where for the fault with this number, if the source has its place.
fn replacement(source: &str, number: usize, fault: &Fault) -> Option<(Range<usize>, String)> {
    let place = place(source, fault)?;
    let old = &source[place.clone()];
    let new = match fault.edit {
        Skip(_) => format!("{{ if (!planted({number})) {old} }}"),
        Put(_, other) => format!("(planted({number}) ? ({other}) : ({old}))"),
    };
    Some((place, new))
}

/// The allocator with all faults that it has a place for, and their numbers. None is active
/// unless it is chosen.
fn with_faults(source: &str) -> (String, Vec<usize>) {
    let mut replacements = Vec::new();
    let mut numbers = Vec::new();
    for (fault, number) in all().zip(1..) {
        if let Some(replacement) = replacement(source, number, fault) {
            replacements.push(replacement);
            numbers.push(number);
        } else {
            let (Skip(text) | Put(text, _)) = fault.edit;
            let fault_name = format!("the fault {:?}", fault.name);
            not_found(&fault_name, &format!("{text:?} in one function {}()", fault.function));
        }
    }
    replacements.sort_by_key(|(range, _)| range.start);
    let mut text = format!(
        "extern char *getenv(const char *);\n\
         extern int atoi(const char *);\n\
         static int planted(int number)\n\
         {{ static int chosen = -1; \
         if (chosen < 0) {{ char *name = getenv(\"{VARIABLE}\"); chosen = name ? atoi(name) : 0; }} \
         return chosen == number; }}\n"
    );
    let mut done = 0;
    for (range, replacement) in replacements {
        assert!(done <= range.start, "two faults in the same place: {replacement}");
        text += &source[done..range.start];
        text += &replacement;
        done = range.end;
    }
    text += &source[done..];
    (text, numbers)
}

/// Writes a file, unless it has this content already: its time stays.
fn write_if_changed(path: &Path, content: &[u8]) {
    if fs::read(path).is_ok_and(|old| old == content) {
        return;
    }
    let folder = path.parent().expect("a file is in a folder");
    fs::create_dir_all(folder).and_then(|()| fs::write(path, content)).expect("a file");
}

/// Copies a folder, but for the allocator.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else if !path.ends_with(ALLOCATOR) {
            write_if_changed(&to, &fs::read(&path).expect("a file"));
        }
    }
}

/// Makes the copy. The numbers are those of the faults in it.
fn plant() -> (PathBuf, Vec<usize>) {
    let kernel = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    copy(&kernel_tree(), &kernel);
    let source = fs::read_to_string(kernel_tree().join(ALLOCATOR)).expect(ALLOCATOR);
    let (source, numbers) = with_faults(&source);
    write_if_changed(&kernel.join(ALLOCATOR), source.as_bytes());
    (kernel, numbers)
}

/// What came of a run.
struct Found {
    caught: Caught,
    /// What was found, in words.
    finding: String,
    /// How many operations it took, and how many are left of them.
    operations: u64,
    shrunk_to: u64,
    /// Shrinking ran out of time.
    cut_short: bool,
    trace: String,
    seconds: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Caught {
    No,
    Found,
    /// It died without a report.
    Died,
}

/// Tortures the copy with the fault of this number; 0 is none.
fn torture(kernel: &Path, number: usize, shows: Shows, out: &Path) -> Found {
    let started = Instant::now();
    fs::create_dir(out).expect("a folder");
    let json = out.join("json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-buddy"));
    command
        .args(["torture", "--seed", "2", "--patience", "10", "--json", "--out"])
        .arg(out)
        .arg("--kernel")
        .arg(kernel)
        .env("XDG_CACHE_HOME", crate::common::module_cache())
        .env(VARIABLE, number.to_string())
        .stdout(fs::File::create(&json).expect("a file"))
        .stderr(Stdio::null());
    // Without a fault the run is a fixed one, so that it is the same everywhere.
    match number {
        0 => command.args(["--ops", "300000"]),
        _ => command.args(["--seconds", &SECONDS.to_string()]),
    };
    match shows {
        UnderFaults => command.args(["--faults", "0.02", "--against", "contract"]),
        AmongThreads => command.args(["--threads", "4", "--shared"]),
        InLockstep | MayDie => &mut command,
    };
    let mut child = command.spawn().expect("it starts");
    let code = wait(&mut child);
    let seconds = started.elapsed().as_secs_f64();

    let object: Value =
        serde_json::from_slice(&fs::read(&json).expect("a file")).unwrap_or_default();
    let failure = &object["failures"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let caught = match code {
        Some(Some(0)) => Caught::No,
        Some(Some(1)) => Caught::Found,
        _ => Caught::Died,
    };
    Found {
        caught,
        finding: text(&failure["finding"]),
        operations: failure["operations"].as_u64().unwrap_or(0),
        shrunk_to: failure["shrunk_to"].as_u64().unwrap_or(0),
        cut_short: failure["cut_short"].as_bool().unwrap_or(false),
        trace: text(&failure["trace"]),
        seconds,
    }
}

/// The exit code, if it has one; `None` if it had to be killed.
fn wait(child: &mut Child) -> Option<Option<i32>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return Some(status.code());
        }
        if Instant::now() >= deadline {
            child.kill().and_then(|()| child.wait()).expect("it ends");
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn torture_finds_each_planted_fault() {
    if !Reference::models(Module::compiled_in().features()) {
        not_tested("planted faults", "the reference model makes other choices than this kernel");
        return;
    }
    let _processors = processors();
    let (kernel, numbers) = plant();
    let out = tempfile::tempdir().expect("a folder");

    // Number 0 is the copy without a fault.
    let mut jobs: Vec<_> = [(0, InLockstep), (0, UnderFaults), (0, AmongThreads)]
        .into_iter()
        .chain(numbers.iter().map(|&number| (number, numbered(number).shows)))
        .collect();
    // The longest begin first.
    jobs.sort_by_key(|&(_, shows)| shows != MayDie);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let index = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(&(number, shows)) = jobs.get(index)
                {
                    let found =
                        torture(&kernel, number, shows, &out.path().join(index.to_string()));
                    results.lock().expect("no panic").push((number, found));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no panic");
    results.sort_by_key(|&(number, _)| number);

    let mut table = String::new();
    let mut wrong = Vec::new();
    for (number, found) in &results {
        let Found { caught, finding, operations, shrunk_to, cut_short, trace, seconds } = found;
        let fault = (*number > 0).then(|| numbered(*number));
        let (name, function) = fault.map_or(("none", ""), |fault| (fault.name, fault.function));
        let by = match caught {
            Caught::No => "nothing",
            Caught::Found => finding.as_str(),
            Caught::Died => "its death",
        };
        writeln!(
            table,
            "{name:52} {function:36} {operations:>7} {shrunk_to:>3} {seconds:5.1}  {by:.90}"
        )
        .expect("a string grows");
        let as_expected = match (fault, caught) {
            (None, Caught::No) => true,
            (Some(fault), Caught::Found) => {
                let died = finding.starts_with("crash: ") || finding.starts_with("hang: ");
                // Traces of several threads are not shrunk. If the process may die, candidates may
                // hang, which takes seconds each, whatever the finding itself is.
                let is_short = *shrunk_to <= SHORT && (fault.shows == MayDie || !*cut_short);
                let hangs = finding.starts_with("hang: ") && *cut_short;
                (is_short || hangs || fault.shows == AmongThreads)
                    && (fault.shows == MayDie || !died)
            }
            _ => false,
        };
        if !as_expected {
            wrong.push(format!("{name}: {caught:?}, {shrunk_to} operations\n{trace}"));
        }
    }
    // Not through `println!`, which the test harness keeps to itself.
    let head = format!(
        "{:52} {:36} {:>7} {:>3} {:>5}  caught by",
        "fault", "function", "after", "to", "s"
    );
    writeln!(io::stdout(), "{head}\n{table}").expect("it is written");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for entry in gpu_buddy::diff::KNOWN {
        let of_entry = |fault: &&Fault| fault.name.starts_with(entry.name);
        // What takes memory that fails, or a list that is not empty, is tested elsewhere.
        let elsewhere = matches!(
            entry.name,
            "enomem-corrupts-tree" | "failed-call-forgets-clear" | "contiguous-frees-list"
        );
        assert!(elsewhere || KNOWN.iter().any(|fault| of_entry(&fault)), "{}", entry.name);
    }
}
