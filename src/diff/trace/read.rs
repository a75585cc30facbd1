//! Traces from text.

use core::fmt;
use core::str::FromStr;
use std::collections::HashMap;

use crate::diff::Space;
use crate::{AllocRequest, GpuBuddyAllocFlag};

use super::{Id, Operation, ParseSizeError, Trace, parse_size};

/// Where a text is no trace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("line {line}, column {column}: expected {expected}, found {found}")]
#[non_exhaustive]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// The character in the line, counted from 1.
    pub column: usize,
    /// What would be right.
    pub expected: &'static str,
    /// What is there.
    pub found: Found,
}

/// What a [`ParseError`] found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// This word, or part of a word.
    Word(String),
    /// The end of the line.
    EndOfLine,
    /// The end of the text.
    End,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "'{}'", word.escape_debug()),
            Self::EndOfLine => f.write_str("the end of the line"),
            Self::End => f.write_str("the end of the text"),
        }
    }
}

const SPACE: &str = "the space first, as in 'space size=16M chunk=4K'";
const OPERATION: &str = "'NAME = alloc', 'free', 'trim', 'reset', 'lookup', 'fail-nth' or 'fini'";
const NAME: &str = "a name of small letters, digits and '_'";
const SIZE: &str = "a size such as 4K";
const FITS: &str = "a number that fits in 64 bits";
const COUNT: &str = "a count from 1 up";
const SETTING: &str = "'align=', 'range=', 'start=', 'end=', 'contiguous', 'clear', 'topdown', \
                       'trim-disable' or the end of the line";
const END: &str = "the end of the line";
const ONCE: &str = "each setting once";

impl FromStr for Trace {
    type Err = ParseError;

    /// # Errors
    ///
    /// The first place that cannot be read, and what it should hold.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(index, text)| Line::new(index + 1, text))
            .filter(|line| !line.rest.text.is_empty());
        let Some(first) = lines.next() else {
            let line = text.lines().count().max(1);
            return Err(ParseError { line, column: 1, expected: SPACE, found: Found::End });
        };
        let space = read_space(first)?;
        let mut reader = Reader { space, names: HashMap::new() };
        let operations = lines.map(|line| reader.operation(line)).collect::<Result<_, _>>()?;
        Ok(Self { space, operations })
    }
}

/// A word, or part of one, and the column of its first character.
#[derive(Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    line: usize,
    column: usize,
}

impl Word<'_> {
    fn is_empty(self) -> bool {
        self.text.is_empty()
    }

    fn error(self, expected: &'static str) -> ParseError {
        let found =
            if self.text.is_empty() { Found::EndOfLine } else { Found::Word(self.text.to_owned()) };
        ParseError { line: self.line, column: self.column, expected, found }
    }

    /// What comes after the first `bytes`.
    fn after(self, bytes: usize) -> Self {
        let (before, text) = self.text.split_at(bytes);
        Self { text, column: self.column + before.chars().count(), ..self }
    }

    /// The two sides of the first `separator`.
    fn split(self, separator: &str) -> Option<(Self, Self)> {
        let at = self.text.find(separator)?;
        Some((Self { text: &self.text[..at], ..self }, self.after(at + separator.len())))
    }

    /// Part of a word that is not there is shown as the whole word.
    fn error_in(self, whole: Self, expected: &'static str) -> ParseError {
        if self.text.is_empty() { whole.error(expected) } else { self.error(expected) }
    }

    fn size_in(self, whole: Self) -> Result<u64, ParseError> {
        parse_size(self.text).map_err(|error| {
            self.error_in(whole, if error == ParseSizeError::TooLarge { FITS } else { SIZE })
        })
    }

    fn size(self) -> Result<u64, ParseError> {
        self.size_in(self)
    }

    /// A decimal number.
    fn number(self, whole: Self, expected: &'static str) -> Result<u64, ParseError> {
        if self.text.is_empty() || !self.text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.error_in(whole, expected));
        }
        self.text.parse().map_err(|_| self.error(FITS))
    }
}

/// The words of a line that have not been read yet.
#[derive(Clone, Copy)]
struct Line<'a> {
    /// Begins with a word, or is empty.
    rest: Word<'a>,
}

impl<'a> Line<'a> {
    fn new(line: usize, text: &'a str) -> Self {
        let rest = Word { text, line, column: 1 };
        Self { rest: skip_blanks(rest) }
    }

    /// The next word; an empty one at the end of the line.
    fn next(&mut self) -> Word<'a> {
        let length = self.rest.text.find(char::is_whitespace).unwrap_or(self.rest.text.len());
        let word = Word { text: &self.rest.text[..length], ..self.rest };
        self.rest = skip_blanks(self.rest.after(length));
        word
    }

    fn peek(mut self) -> Word<'a> {
        self.next()
    }

    /// Nothing more may follow.
    fn end(mut self) -> Result<(), ParseError> {
        let word = self.next();
        if word.is_empty() { Ok(()) } else { Err(word.error(END)) }
    }

    /// Whether the rest of the line is `cleared`; otherwise it is empty.
    fn cleared(mut self) -> Result<bool, ParseError> {
        let word = self.next();
        match word.text {
            "" => Ok(false),
            "cleared" => self.end().map(|()| true),
            _ => Err(word.error("'cleared' or the end of the line")),
        }
    }
}

/// A comment begins where a word may.
fn skip_blanks(rest: Word<'_>) -> Word<'_> {
    let blanks = rest.text.len() - rest.text.trim_start().len();
    let next = rest.after(blanks);
    // The end is where the text ends, not the blanks after it.
    if next.is_empty() || next.text.starts_with('#') {
        Word { text: "", column: if blanks == 0 { next.column } else { rest.column }, ..next }
    } else {
        next
    }
}

/// Puts a value where there is none yet.
fn set<T>(slot: &mut Option<T>, value: T, word: Word<'_>) -> Result<(), ParseError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(word.error(ONCE)),
    }
}

fn read_space(mut line: Line<'_>) -> Result<Space, ParseError> {
    let word = line.next();
    if word.text != "space" {
        return Err(word.error(SPACE));
    }
    let (mut size, mut chunk_size) = (None, None);
    loop {
        let word = line.next();
        match word.split("=") {
            Some((name, value)) if name.text == "size" => {
                set(&mut size, value.size_in(word)?, word)?;
            }
            Some((name, value)) if name.text == "chunk" => {
                set(&mut chunk_size, value.size_in(word)?, word)?;
            }
            _ => match (word.text, size, chunk_size) {
                ("", Some(size), Some(chunk_size)) => return Ok(Space { size, chunk_size }),
                (_, None, _) => return Err(word.error("'size=', as in 'size=16M'")),
                (_, _, None) => return Err(word.error("'chunk=', as in 'chunk=4K'")),
                _ => return Err(word.error(END)),
            },
        }
    }
}

struct Reader<'a> {
    space: Space,
    names: HashMap<&'a str, Id>,
}

impl<'a> Reader<'a> {
    fn operation(&mut self, mut line: Line<'a>) -> Result<Operation, ParseError> {
        let word = line.next();
        if line.peek().text == "=" {
            line.next();
            return self.alloc(word, line);
        }
        match word.text {
            "free" => self.free(line),
            "trim" => {
                let id = self.allocation(line.next())?;
                let new_size = line.next().size()?;
                let word = line.next();
                let start = match word.split("=") {
                    Some((name, value)) if name.text == "start" => Some(value.size_in(word)?),
                    _ if word.is_empty() => None,
                    _ => return Err(word.error("'start=' or the end of the line")),
                };
                line.end()?;
                Ok(Operation::Trim { id, start, new_size })
            }
            "reset" => {
                let word = line.next();
                let clear = match word.text {
                    "clear" => true,
                    "dirty" => false,
                    _ => return Err(word.error("'clear' or 'dirty'")),
                };
                line.end()?;
                Ok(Operation::ResetClear { clear })
            }
            "lookup" => {
                let offset = line.next().size()?;
                line.end()?;
                Ok(Operation::BlockAt { offset })
            }
            "fail-nth" => fail_nth(line),
            "fini" => {
                line.end()?;
                Ok(Operation::Fini)
            }
            "space" => Err(word.error("the space to be given once")),
            _ => Err(word.error(OPERATION)),
        }
    }

    /// An allocation that was made above.
    fn allocation(&self, word: Word<'_>) -> Result<Id, ParseError> {
        if !is_name(word.text) {
            return Err(word.error(NAME));
        }
        self.names.get(word.text).copied().ok_or_else(|| word.error("an allocation made above"))
    }

    fn alloc(&mut self, name: Word<'a>, mut line: Line<'a>) -> Result<Operation, ParseError> {
        if !is_name(name.text) {
            return Err(name.error(NAME));
        }
        let word = line.next();
        if word.text != "alloc" {
            return Err(word.error("'alloc'"));
        }
        let request = self.request(line)?;
        let id = Id::try_from(self.names.len()).map_err(|_| name.error(FITS))?;
        if self.names.insert(name.text, id).is_some() {
            return Err(name.error("a name that is not taken yet"));
        }
        Ok(Operation::Alloc { id, request })
    }

    fn request(&self, mut line: Line<'_>) -> Result<AllocRequest, ParseError> {
        let size = line.next().size()?;
        let (mut align, mut start, mut end, mut range) = (None, None, None, None);
        let mut top_down = None;
        let mut request = AllocRequest { size, ..AllocRequest::default() };
        loop {
            let word = line.next();
            let setting = word.split("=");
            let (name, value) = setting.unwrap_or((word, word));
            match (name.text, setting.is_some()) {
                ("", false) => break,
                ("align", true) => set(&mut align, value.size_in(word)?, word)?,
                ("start" | "end", true) if range.is_some() => return Err(word.error(ONCE)),
                ("range", true) if start.or(end).is_some() => return Err(word.error(ONCE)),
                ("start", true) => set(&mut start, value.size_in(word)?, word)?,
                ("end", true) => set(&mut end, value.size_in(word)?, word)?,
                ("range", true) => {
                    let (from, to) = value
                        .split("..")
                        .ok_or_else(|| value.error_in(word, "a range such as 0..16M"))?;
                    set(&mut range, (from.size_in(value)?, to.size_in(value)?), word)?;
                }
                ("topdown", false) => set(&mut top_down, (), word)?,
                (_, false) => {
                    let flag = match name.text {
                        "contiguous" => GpuBuddyAllocFlag::Contiguous,
                        "clear" => GpuBuddyAllocFlag::Clear,
                        "trim-disable" => GpuBuddyAllocFlag::TrimDisable,
                        _ => return Err(word.error(SETTING)),
                    };
                    if request.flags.contains(flag) {
                        return Err(word.error(ONCE));
                    }
                    request.flags |= flag;
                }
                _ => return Err(word.error(SETTING)),
            }
        }
        request.min_block_size = align.unwrap_or(self.space.chunk_size);
        request.top_down = top_down.is_some();
        request.range = range.is_some();
        (request.start, request.end) = range.unwrap_or((start.unwrap_or(0), end.unwrap_or(0)));
        Ok(request)
    }

    fn free(&self, mut line: Line<'_>) -> Result<Operation, ParseError> {
        let word = line.next();
        let Some((name, index)) = word.split("[") else {
            let id = self.allocation(word)?;
            return Ok(Operation::Free { id, cleared: line.cleared()? });
        };
        let id = self.allocation(name)?;
        let expected = "an index such as [2]";
        let (index, rest) = index.split("]").ok_or_else(|| word.error(expected))?;
        if !rest.is_empty() {
            return Err(rest.error("a blank or the end of the line"));
        }
        let number = index.number(word, expected)?;
        let index = usize::try_from(number).map_err(|_| index.error(FITS))?;
        Ok(Operation::FreeBlock { id, index, cleared: line.cleared()? })
    }
}

fn fail_nth(mut line: Line<'_>) -> Result<Operation, ParseError> {
    let word = line.next();
    if word.text == "off" {
        line.end()?;
        return Ok(Operation::FailNth { nth: 1, times: 0 });
    }
    let nth = count(word, word)?;
    let word = line.next();
    let times = match word.split("=") {
        Some((name, value)) if name.text == "times" => match value.text {
            "all" => u64::MAX,
            _ => count(value, word)?,
        },
        _ if word.is_empty() => 1,
        _ => return Err(word.error("'times=' or the end of the line")),
    };
    line.end()?;
    Ok(Operation::FailNth { nth, times })
}

fn count(word: Word<'_>, whole: Word<'_>) -> Result<u64, ParseError> {
    match word.number(whole, COUNT)? {
        0 => Err(word.error(COUNT)),
        number => Ok(number),
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}
