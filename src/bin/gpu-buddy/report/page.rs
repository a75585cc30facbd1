//! Writes a page: the data, and the scripts that show it.

use std::io::{self, Write};
use std::path::Path;

use gpu_buddy::diff::{Space, TraceFile};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Run;
use super::recording::{Call, Recording, is_false};

/// The content of a page.
#[derive(Debug, Serialize)]
pub struct Page {
    /// The trace or the kernels.
    pub title: String,
    /// In a sentence.
    pub verdict: String,
    pub tone: Tone,
    /// Facts about the run: a name and a value each.
    pub about: Vec<(String, String)>,
    /// The parts of a check: name, tone, mark and summary.
    pub parts: Vec<(String, Tone, String, String)>,
    pub notes: Vec<String>,
    pub findings: Vec<Shown>,
    /// The page is about one trace, with or without findings.
    pub single: bool,
}

/// The colour of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    Good,
    Changed,
    Bad,
    Quiet,
}

/// A finding, or the only trace of a page.
#[derive(Debug, Serialize)]
pub struct Shown {
    pub label: String,
    pub tone: Tone,
    pub kind: String,
    /// What is wrong, or the answers.
    pub lines: Vec<String>,
    /// The trace as text.
    pub text: Option<String>,
    /// The trace with its outcomes; if `None`, `not_run` says why.
    pub trace: Option<Traced>,
    pub not_run: String,
}

impl Shown {
    /// Runs the trace in one of several ways, see [`super::trace`].
    pub fn new(
        label: &str,
        tone: Tone,
        kind: &str,
        lines: Vec<String>,
        text: Option<&str>,
        runs: &[Run],
        folder: &Path,
    ) -> Self {
        let traced = text.map(|text| super::trace(text, runs, folder));
        let (trace, not_run) = match traced {
            Some(Ok(trace)) => (Some(trace), String::new()),
            Some(Err(why)) => (None, why),
            None => (None, String::new()),
        };
        let (label, kind) = (label.to_owned(), kind.to_owned());
        Self { label, tone, kind, lines, text: text.map(str::to_owned), trace, not_run }
    }
}

/// A trace with what its calls did.
#[derive(Debug, Serialize)]
pub struct Traced {
    /// The kernel, and what it was compared with.
    kernel: String,
    other: Option<String>,
    /// In bytes; as text, because numbers in JavaScript have 53 bits.
    chunk: String,
    base: String,
    chunks: u64,
    lines: Vec<Line>,
    /// The teardown, if there are notes on it.
    end: Option<Call>,
    /// How often the tree was checked, if not after each call.
    remark: String,
}

/// A line of a trace.
#[derive(Debug, Serialize)]
struct Line {
    #[serde(rename = "n")]
    number: usize,
    #[serde(rename = "w")]
    words: String,
    /// Its comments: those before it, and its own.
    #[serde(rename = "c", skip_serializing_if = "String::is_empty")]
    comments: String,
    #[serde(flatten)]
    call: Call,
    #[serde(rename = "x", skip_serializing_if = "is_false")]
    not_run: bool,
}

impl Traced {
    pub fn new(
        file: &TraceFile,
        recording: Recording,
        kernel: String,
        other: Option<String>,
    ) -> Self {
        let Space { size, chunk_size, base } = file.trace().space;
        let operations = file.trace().operations.len();
        let done = recording.calls.len().saturating_sub(1);
        let remark = if recording.checked < done && done > 0 {
            format!(
                "The whole tree was checked after {} of {done} operations, because it is large.",
                recording.checked
            )
        } else {
            String::new()
        };
        let mut calls = recording.calls.into_iter();
        let places =
            std::iter::once(file.space()).chain((0..operations).map(|index| file.operation(index)));
        let lines = places
            .map(|line| {
                let before = line.before().filter(|line| !line.is_empty());
                let comments: Vec<_> = before.chain(line.comment()).collect();
                let call = calls.next();
                Line {
                    number: line.number(),
                    words: line.words().to_owned(),
                    comments: comments.join("\n"),
                    not_run: call.is_none(),
                    call: call.unwrap_or_default(),
                }
            })
            .collect();
        Self {
            kernel,
            other,
            chunk: chunk_size.to_string(),
            base: base.to_string(),
            chunks: size / chunk_size,
            lines,
            end: recording.end.filter(|end| !end.notes.is_empty()),
            remark,
        }
    }
}

const HTML: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");
const SCRIPTS: [&str; 5] = [
    include_str!("state.js"),
    include_str!("map.js"),
    include_str!("tree.js"),
    include_str!("calls.js"),
    include_str!("page.js"),
];

impl Page {
    /// Writes the page as one self-contained file.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        // Only `<` could close the element that contains the data.
        let data = serde_json::to_string(self)?.replace('<', "\\u003c");
        // The data cannot contain its own hash.
        let nonce: String =
            Sha256::digest(&data)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let page = HTML
            .replace("{{nonce}}", &nonce)
            .replace("{{css}}", CSS)
            .replace("{{script}}", &SCRIPTS.join("\n"));
        let (head, tail) = page.split_once("{{data}}").expect("the page has a place for the data");
        out.write_all(head.as_bytes())?;
        out.write_all(data.as_bytes())?;
        out.write_all(tail.as_bytes())
    }
}
