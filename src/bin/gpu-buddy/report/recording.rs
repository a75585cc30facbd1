//! The recording of a trace, call by call.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use gpu_buddy::diff::TraceFile;
use serde::{Deserialize, Serialize};

use crate::supervise::{Status, run_trace};

/// How long one call and its checks may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One call and its outcome. The names are short, because a page may have 10,000 calls.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Call {
    /// In words.
    #[serde(rename = "o", skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    /// The outcome on the other side, if it differs.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    pub other_outcome: Option<String>,
    /// The call was skipped: only one side supports it, or it is unsafe for the C.
    #[serde(rename = "k", skip_serializing_if = "is_false")]
    pub left_out: bool,
    /// In steps.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    #[serde(rename = "u", skip_serializing_if = "Option::is_none")]
    pub other_cost: Option<u64>,
    /// Free, and free and clear, as the allocator counts them.
    #[serde(rename = "a", skip_serializing_if = "Option::is_none")]
    pub free: Option<(String, String)>,
    /// The changes since the state was last read; `None` if it was not read.
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    pub delta: Option<Vec<u64>>,
    /// The changes from this state to the state of the other side.
    #[serde(rename = "e", skip_serializing_if = "Vec::is_empty")]
    pub other_delta: Vec<u64>,
    #[serde(rename = "f", skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

pub fn is_false(value: &bool) -> bool {
    !value
}

/// A note on a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Note {
    pub is: Is,
    /// The name of the promise, the quirk or the aspect.
    pub name: String,
    /// The facts.
    pub text: String,
    /// What is promised, or when it happens.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The two answers, if it is a difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Is {
    /// A promise is broken.
    Breach,
    /// A promise is broken, and the base keeps it.
    New,
    /// The two sides differ.
    Divergence,
    /// The process dies, or a call hangs.
    Death,
    /// A known breach.
    Known,
    /// A promise that both sides break.
    InBase,
    /// A promise that only the base breaks.
    Fixed,
}

impl Is {
    pub fn is_finding(self) -> bool {
        matches!(self, Self::Breach | Self::New | Self::Divergence | Self::Death)
    }
}

/// What the process that runs a trace reports, one line each.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The allocator could not be created.
    Refused(String),
    /// An operation begins. 0 is the creation of the allocator.
    Begun(usize),
    Did(Call),
    /// Everything is freed, and the allocator torn down.
    End(Call),
    /// The state was checked after this many operations.
    Checked(usize),
}

/// What a trace has done.
#[derive(Debug, Default)]
pub struct Recording {
    /// The creation of the allocator, then each operation that ran.
    pub calls: Vec<Call>,
    /// The teardown, if all operations ran.
    pub end: Option<Call>,
    /// After how many operations the whole tree was checked.
    pub checked: usize,
    /// The user did not want to wait for the rest.
    pub interrupted: bool,
}

impl Recording {
    pub fn notes(&self) -> impl Iterator<Item = &Note> {
        self.calls.iter().chain(&self.end).flat_map(|call| &call.notes)
    }
}

/// Why there is no recording.
#[derive(Debug)]
pub enum NotRecorded {
    /// The allocator could not be created.
    Refused(String),
    /// The process failed, and has printed the reason.
    Told(u8),
    Io(io::Error),
}

impl From<io::Error> for NotRecorded {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs a trace in a child process, because the C may crash. `arguments` are those of `gpu-buddy
/// record`, `environment` is needed to load the kernel, and `folder` is for temporary files.
pub fn record(
    file: &TraceFile,
    arguments: &[OsString],
    environment: &[(&str, OsString)],
    folder: &Path,
) -> Result<Recording, NotRecorded> {
    let (text, stderr) = (file.to_string(), Stdio::inherit());
    let (status, _, text) =
        run_trace("record", &text, arguments, environment, folder, PATIENCE, stderr)?;
    let mut recording = Recording::default();
    let mut begun = false;
    for event in text.lines().map_while(|line| serde_json::from_str(line).ok()) {
        match event {
            Event::Refused(why) => return Err(NotRecorded::Refused(why)),
            Event::Begun(_) => begun = true,
            Event::Did(call) => {
                recording.calls.push(call);
                begun = false;
            }
            Event::End(call) => recording.end = Some(call),
            Event::Checked(checked) => recording.checked = checked,
        }
    }
    match status {
        Status::Exited(Some(0)) => {}
        Status::Interrupted => recording.interrupted = true,
        Status::Exited(code) => return Err(NotRecorded::Told(code.unwrap_or(2) as u8)),
        Status::Dead(death) => {
            let note = Note {
                is: Is::Death,
                name: String::new(),
                text: death.to_string(),
                why: String::new(),
                answers: None,
            };
            let call = Call { outcome: death.to_string(), notes: vec![note], ..Call::default() };
            // Otherwise it died during the teardown.
            if begun { recording.calls.push(call) } else { recording.end = Some(call) }
        }
    }
    Ok(recording)
}
