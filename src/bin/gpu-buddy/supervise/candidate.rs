//! Runs a trace in a child process, `gpu-buddy candidate`, which reports its progress in lines of
//! JSON.

use std::ffi::OsString;
use std::io::{self, stdout};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use gpu_buddy::diff::{FirstFinding, NotCreated, Settings, Trace};
use serde::{Deserialize, Serialize};

use super::process::{Death, Status, end_with_parent, run_trace, say};
use crate::kernel::{Against, Judged, Pair};
use crate::replay::read_trace;
use crate::{Failure, Verdict};

/// What the process reports, one line each.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    /// The operation with this index begins.
    Begun(usize),
    /// The kernel does not support what the trace needs.
    NotOffered,
    /// Something is wrong.
    Found { kind: String, finding: String, operations: usize },
}

/// Run a trace for the supervisor
#[derive(clap::Args)]
pub struct Arguments {
    file: PathBuf,
    #[command(flatten)]
    judged: Judged,
    #[arg(long)]
    faults: bool,
    #[arg(long)]
    differences_only: bool,
    #[arg(long)]
    full_check_interval: u64,
    /// Run the trace only if the kernel supports all of it
    #[arg(long)]
    all_or_nothing: bool,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    end_with_parent();
    let file = read_trace(&arguments.file)?;
    let settings = Settings {
        full_check_interval: arguments.full_check_interval,
        strict: arguments.judged.strict,
        differences_only: arguments.differences_only,
        ..Settings::default()
    };
    let pair = arguments.judged.open(arguments.faults)?;
    let space = file.trace().space;
    let mut out = stdout().lock();
    if arguments.all_or_nothing
        && let Ok(alone) = (Pair { against: Against::Contract, ..pair }).start(space, settings)
        && !alone.capabilities().contains(file.trace().needs())
    {
        say(&mut out, &Event::NotOffered)?;
        return Ok(Verdict::Failed);
    }
    let begun = |index: usize| {
        // If this fails, the trace counts as one that shows nothing.
        let _ = say(&mut out, &Event::Begun(index));
    };
    let start = |space, settings| pair.start(space, settings);
    match file.trace().run_observed(start, settings, begun) {
        Ok(None) | Err(NotCreated::Refused(_) | NotCreated::Declined) => Ok(Verdict::Passed),
        Ok(Some(FirstFinding { finding, operations, .. })) => {
            let kind = finding.kind().to_owned();
            say(&mut out, &Event::Found { kind, finding: finding.to_string(), operations })?;
            Ok(Verdict::Failed)
        }
        Err(NotCreated::Finding(_)) => Ok(Verdict::Failed),
    }
}

/// What a trace has shown.
pub struct Seen {
    pub kind: Kind,
    /// The finding in words.
    pub finding: String,
    /// The number of operations up to the finding.
    pub operations: usize,
    /// The time up to the finding.
    pub after: Duration,
}

/// Two traces with the same kind show the same failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Death(Death),
    /// The kernel does not support what the trace needs.
    NotOffered,
    /// A promise, or an aspect.
    Finding(String),
}

/// Runs a trace in a child process. `arguments` are those of `gpu-buddy candidate`.
pub fn try_trace(
    trace: &Trace,
    arguments: &[OsString],
    folder: &Path,
    patience: Duration,
) -> io::Result<Option<Seen>> {
    try_trace_with(trace, arguments, &[], folder, patience)
}

/// The same, with additional environment variables.
pub fn try_trace_with(
    trace: &Trace,
    arguments: &[OsString],
    environment: &[(&str, OsString)],
    folder: &Path,
    patience: Duration,
) -> io::Result<Option<Seen>> {
    let text = trace.to_string();
    let quiet = Stdio::null();
    let (status, after, text) =
        run_trace("candidate", &text, arguments, environment, folder, patience, quiet)?;
    let mut events = text.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok());
    let written = trace.written();
    let operations = |count: usize| match count.checked_sub(1) {
        Some(last) => written.get(last).map_or(trace.operations.len(), |index| index + 1),
        None => 0,
    };
    let seen = match (status, events.next_back()) {
        (Status::Dead(death), last) => {
            let begun = match last {
                Some(Event::Begun(index)) => index + 1,
                _ => 0,
            };
            let (kind, finding) = (Kind::Death(death), death.to_string());
            Some(Seen { kind, finding, operations: operations(begun), after })
        }
        (Status::Exited(Some(1)), Some(Event::Found { kind, finding, operations: count })) => {
            let kind = Kind::Finding(kind);
            Some(Seen { kind, finding, operations: operations(count), after })
        }
        (Status::Exited(Some(1)), Some(Event::NotOffered)) => {
            let finding = "not supported".to_owned();
            Some(Seen { kind: Kind::NotOffered, finding, operations: 0, after })
        }
        (Status::Exited(_) | Status::Interrupted, _) => None,
    };
    Ok(seen)
}
