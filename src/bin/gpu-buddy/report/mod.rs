//! `gpu-buddy report`

mod delta;
pub mod page;
pub mod record;
pub mod recording;

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write, stdout};
use std::path::{Path, PathBuf};

use gpu_buddy::diff::TraceFile;

use crate::kernel::{Against, Judged};
use crate::progress::Progress;
use crate::replay::{has_faults, read_trace};
use crate::supervise::{INTERRUPTED, handle_interrupt};
use crate::{Failure, Verdict};
use page::{Page, Shown, Tone, Traced};
use recording::{Is, NotRecorded, Recording, record};

/// Write an HTML page that steps through a trace: map, tree and verdict of each call
///
/// The page is one file that needs no network. The arrow keys step through the calls, Home and End
/// go to the first and last call, p and n to the previous and next finding. A link that ends in
/// #step=12 opens the page at call 12.
#[derive(clap::Args)]
#[command(
    about = "Write an HTML page that steps through a trace: map, tree and verdict of each call",
    after_help = "Exit codes: 0 the page was written, 2 wrong usage, 130 interrupted.\n\n\
                  Examples:\n  gpu-buddy report failure.trace -o report.html\n  \
                  gpu-buddy report --kernel ~/linux --against 7.3 failure.trace -o report.html\n  \
                  printf 'space size=16M chunk=4K\\na = alloc 8M\\n' | gpu-buddy report - -o \
                  report.html\n\n\
                  docs/report.md describes the page."
)]
pub struct Arguments {
    /// The trace; - for standard input
    file: PathBuf,

    /// The HTML file to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    judged: Judged,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let file = read_trace(&arguments.file)?;
    let judged = &arguments.judged;
    let pair = judged.open(has_faults(&file))?;
    let mut options: Vec<OsString> = Vec::new();
    if let Some(kernel) = &judged.kernel.kernel {
        options.extend(["--kernel".into(), kernel.clone()]);
    }
    if let Some(against) = &judged.against {
        options.extend(["--against".into(), against.clone()]);
    }
    options.extend(judged.strict.then(|| "--strict".into()));
    assert_writable(&arguments.output)?;
    handle_interrupt()?;
    let folder = tempfile::Builder::new().prefix("gpu-buddy-").tempdir()?;
    let progress = Progress::new(format!("running {}", calls(file.trace().operations.len())));
    let recorded = record(&file, &options, &[], folder.path());
    drop(progress);
    let recording = recorded.map_err(|why| match why {
        NotRecorded::Refused(why) => Failure::Usage(format!("{}: {why}", arguments.file.display())),
        NotRecorded::Told(code) => Failure::Told(code),
        NotRecorded::Io(error) => error.into(),
    })?;
    let other = match pair.against {
        Against::Reference => Some("the reference".to_owned()),
        Against::Contract => None,
        Against::Kernel(other) => Some(other.name().to_owned()),
    };
    let name = match arguments.file.file_name() {
        Some(name) if arguments.file.as_os_str() != "-" => name.to_string_lossy().into_owned(),
        _ => "trace".to_owned(),
    };
    let interrupted = recording.interrupted;
    let page = of_trace(&file, recording, name, pair.module.name(), other);
    write(&page, &arguments.output)?;
    writeln!(stdout(), "{}: {}", arguments.output.display(), page.verdict)?;
    if interrupted { Err(Failure::Told(INTERRUPTED)) } else { Ok(Verdict::Passed) }
}

/// The page of one trace.
fn of_trace(
    file: &TraceFile,
    recording: Recording,
    name: String,
    kernel: &str,
    other: Option<String>,
) -> Page {
    let (verdict, tone) = verdict(file, &recording, kernel, other.as_deref());
    let against = other.as_deref().map_or("the contract only", |other| other);
    let about = vec![
        ("kernel".to_owned(), kernel.to_owned()),
        ("compared with".to_owned(), against.to_owned()),
        ("written by".to_owned(), format!("gpu-buddy {}", env!("CARGO_PKG_VERSION"))),
    ];
    let shown = Shown {
        label: String::new(),
        tone,
        kind: name.clone(),
        lines: Vec::new(),
        text: Some(file.to_string()),
        trace: Some(Traced::new(file, recording, kernel.to_owned(), other)),
        not_run: String::new(),
    };
    Page {
        title: name,
        verdict,
        tone,
        about,
        parts: Vec::new(),
        notes: Vec::new(),
        findings: vec![shown],
        single: true,
    }
}

/// The verdict on a trace, in a sentence: its first failure, if any.
fn verdict(
    file: &TraceFile,
    recording: &Recording,
    kernel: &str,
    other: Option<&str>,
) -> (String, Tone) {
    let done = recording.calls.len().saturating_sub(1);
    let places = recording.calls.iter().chain(&recording.end).enumerate();
    let mut wrong = places.filter_map(|(step, call)| {
        Some((step, call.notes.iter().find(|note| note.is.is_finding())?))
    });
    if let Some((step, note)) = wrong.next() {
        let place = match step.checked_sub(1) {
            None => "the creation of the allocator".to_owned(),
            Some(index) if index < file.trace().operations.len() && step <= done => {
                format!("line {}", file.operation(index).number())
            }
            Some(_) => "the end, when everything is freed".to_owned(),
        };
        let other = other.unwrap_or("the reference");
        let what = match note.is {
            Is::Divergence => format!("{kernel} and {other} differ in {}", note.name),
            Is::Death => note.text.clone(),
            _ => format!("{kernel} breaks {}", note.name),
        };
        return (format!("{what} at {place}"), Tone::Bad);
    }
    let mut known: Vec<_> = recording.notes().filter(|note| note.is == Is::Known).collect();
    known.sort_by(|one, other| one.name.cmp(&other.name));
    known.dedup_by(|one, other| one.name == other.name);
    let names: Vec<_> = known.iter().map(|note| note.name.as_str()).collect();
    let left_out = recording.calls.iter().filter(|call| call.left_out).count();
    let mut verdict = match names.as_slice() {
        [] => format!("no promise broken in {}", calls(done - left_out)),
        names => format!("known quirks in {}: {}", calls(done - left_out), names.join(", ")),
    };
    if recording.notes().any(|note| note.is == Is::InBase) {
        verdict = format!("no promise newly broken in {}", calls(done - left_out));
    }
    if let Some(other) = other {
        verdict += &format!("; the same answers as {other}");
    }
    if left_out > 0 {
        verdict += &format!("; {} skipped, which only one supports", calls(left_out));
    }
    if recording.interrupted {
        verdict +=
            &format!("; interrupted, {} not run", calls(file.trace().operations.len() - done));
    }
    let good = names.is_empty() && !recording.interrupted;
    (verdict, if good { Tone::Good } else { Tone::Changed })
}

fn calls(count: usize) -> String {
    if count == 1 { "1 call".to_owned() } else { format!("{count} calls") }
}

/// Writes a page to a file.
pub fn write(page: &Page, file: &Path) -> Result<(), Failure> {
    let written = File::create(file).and_then(|created| {
        let mut out = BufWriter::new(created);
        page.write(&mut out)?;
        out.flush()
    });
    written.map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))
}

/// Fails before a long run if the page cannot be written after it.
pub fn assert_writable(file: &Path) -> Result<(), Failure> {
    let is_new = !file.exists();
    let opened = File::options().create(true).append(true).open(file);
    opened.map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    if is_new {
        // There may be no page in the end.
        std::fs::remove_file(file)?;
    }
    Ok(())
}

/// One way to run a trace for a page.
pub struct Run {
    /// The options of `gpu-buddy record`.
    pub options: Vec<OsString>,
    pub environment: Vec<(&'static str, OsString)>,
    /// The kernel, and what it is compared with.
    pub kernel: String,
    pub other: Option<String>,
}

/// Runs the trace of a finding in the first of several ways that shows something, or else in the
/// first way. `folder` is for temporary files.
pub fn trace(text: &str, runs: &[Run], folder: &Path) -> Result<Traced, String> {
    let file: TraceFile = text.parse().map_err(|error| format!("not replayed: {error}"))?;
    let mut first = Err("not replayed".to_owned());
    for run in runs {
        let recorded = record(&file, &run.options, &run.environment, folder);
        let recording = match recorded {
            Ok(recording) => recording,
            Err(why) => {
                let why = match why {
                    NotRecorded::Refused(why) => why,
                    NotRecorded::Told(code) => format!("exit code {code}"),
                    NotRecorded::Io(error) => error.to_string(),
                };
                if first.is_err() {
                    first = Err(format!("not replayed: {why}"));
                }
                continue;
            }
        };
        let shows = recording.notes().next().is_some();
        let traced = Traced::new(&file, recording, run.kernel.clone(), run.other.clone());
        if shows {
            return Ok(traced);
        }
        first = first.or(Ok(traced));
    }
    first
}
