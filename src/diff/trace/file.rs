//! A trace with the names and comments of its text.

use core::fmt;
use core::str::FromStr;

use super::read::Reader;
use super::words::{Line, split_comment};
use super::write::write_operations;
use super::{Id, Operation, ParseError, Trace};

/// A [`Trace`] with the text that it was read from: its names, comments and way of writing numbers.
///
/// ```
/// use gpu_buddy::diff::TraceFile;
///
/// let text = "\
/// space size=16M chunk=4K # a small card
/// scanout = alloc 0x800000 contiguous # 8M
/// free scanout
/// ";
/// let file: TraceFile = text.parse()?;
/// assert_eq!(file.to_string(), text);
/// assert_eq!(file.operation(0).words(), "scanout = alloc 0x800000 contiguous");
/// assert_eq!(file.operation(0).comment(), Some("# 8M"));
/// assert_eq!(file.operation(0).number(), 2);
///
/// // A shorter trace keeps the names.
/// let mut shorter = file.trace().clone();
/// shorter.operations.truncate(1);
/// assert_eq!(
///     file.with_names(&shorter).to_string(),
///     "space size=16M chunk=4K\nscanout = alloc 8M contiguous\n",
/// );
/// # Ok::<(), gpu_buddy::diff::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceFile {
    trace: Trace,
    /// The names, by allocation.
    names: Vec<Box<str>>,
    /// The line of the space.
    space: TraceLine,
    /// The line of each operation.
    lines: Vec<TraceLine>,
    /// The lines after the last operation.
    rest: Vec<Box<str>>,
}

/// A line of a [`TraceFile`] with the space or an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    number: usize,
    before: Vec<Box<str>>,
    words: Box<str>,
    comment: Option<Box<str>>,
}

impl TraceLine {
    /// Its number, counted from 1.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The line without its comment, as written.
    #[must_use]
    pub fn words(&self) -> &str {
        &self.words
    }

    /// Its comment, with the `#`.
    #[must_use]
    pub fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }

    /// The lines between the previous one and this one: comments, with the `#`, and empty lines.
    pub fn before(&self) -> impl Iterator<Item = &str> {
        self.before.iter().map(AsRef::as_ref)
    }
}

/// The lines before it, and the line.
impl fmt::Display for TraceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.before.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        f.write_str(&self.words)?;
        self.comment.iter().try_for_each(|comment| write!(f, " {comment}"))?;
        writeln!(f)
    }
}

impl FromStr for TraceFile {
    type Err = ParseError;

    /// # Errors
    ///
    /// The first place that cannot be read, and what would be valid there.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut before = Vec::new();
        let mut lines = text.lines().enumerate().filter_map(|(index, text)| {
            let number = index + 1;
            let (words, comment) = split_comment(text);
            let words: Box<str> = words.trim_start().into();
            let comment = comment.map(Box::from);
            if words.is_empty() {
                before.push(comment.unwrap_or_default());
                return None;
            }
            let before = core::mem::take(&mut before);
            Some((Line::new(number, text), TraceLine { number, before, words, comment }))
        });
        let (first, space) = lines.next().unzip();
        let mut reader = Reader::new(first, text)?;
        let mut names = Vec::new();
        let mut operations = Vec::new();
        let mut places = Vec::new();
        for (line, place) in lines {
            let name = line.peek().text;
            let operation = reader.operation(line)?;
            if let Operation::Alloc { .. } = operation {
                names.push(Box::from(name));
            }
            operations.push(operation);
            places.push(place);
        }
        let trace = Trace { space: reader.space, operations };
        // There is a first line, otherwise the reader has returned.
        let Some(space) = space else { unreachable!("a space was read from no line") };
        Ok(Self { trace, names, space, lines: places, rest: before })
    }
}

impl TraceFile {
    /// The trace.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The line of the space.
    #[must_use]
    pub fn space(&self) -> &TraceLine {
        &self.space
    }

    /// The line of an operation.
    ///
    /// # Panics
    ///
    /// If the trace has no operation `index`.
    #[must_use]
    pub fn operation(&self, index: usize) -> &TraceLine {
        &self.lines[index]
    }

    /// The lines after the last operation: comments, with the `#`, and empty lines.
    pub fn rest(&self) -> impl Iterator<Item = &str> {
        self.rest.iter().map(AsRef::as_ref)
    }

    /// The name of an allocation in the text.
    #[must_use]
    pub fn name(&self, id: Id) -> Option<&str> {
        self.names.get(id as usize).map(AsRef::as_ref)
    }

    /// Writes another trace of the same allocations, with their names here.
    pub fn with_names<'a>(&'a self, trace: &'a Trace) -> impl fmt::Display + 'a {
        WithNames { file: self, trace }
    }
}

/// The text, without blanks at line ends.
impl fmt::Display for TraceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.space.fmt(f)?;
        self.lines.iter().try_for_each(|line| line.fmt(f))?;
        self.rest.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

struct WithNames<'a> {
    file: &'a TraceFile,
    trace: &'a Trace,
}

impl fmt::Display for WithNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", super::write::SpaceLine(self.trace.space))?;
        write_operations(f, self.trace, |id| self.file.name(id).unwrap_or("_unnamed"))
    }
}
