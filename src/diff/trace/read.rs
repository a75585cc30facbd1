//! Reads traces from text.

use core::str::FromStr;

use rustc_hash::FxHashMap;

use crate::diff::Space;
use crate::{AllocRequest, ffi};

use super::words::{FITS, Line, Word, set};
use super::{Found, Id, Operation, ParseError, ParseSizeError, Trace, parse_size};

const SPACE: &str = "the space first, as in 'space size=16M chunk=4K'";
const OPERATION: &str =
    "'NAME = alloc', 'NAME += alloc', 'free', 'trim', 'reset', 'lookup', 'fail-nth' or 'fini'";
const NAME: &str = "a name of small letters, digits and '_'";
const COUNT: &str = "a count from 1 up";
const FLAGS: &str = "flags such as 0x14";
const SETTING: &str = "'align=', 'range=', 'start=', 'end=', 'contiguous', 'clear', 'topdown', \
                       'trim-disable', 'flags=' or the end of the line";

impl FromStr for Trace {
    type Err = ParseError;

    /// # Errors
    ///
    /// The first place that cannot be read, and what would be valid there.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut lines = lines(text);
        let mut reader = Reader::new(lines.next(), text)?;
        let operations = lines.map(|line| reader.operation(line)).collect::<Result<_, _>>()?;
        Ok(Self { space: reader.space, operations })
    }
}

/// The lines that have more than a comment.
fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let lines = text.lines().enumerate().map(|(index, text)| Line::new(index + 1, text));
    lines.filter(|line| !line.text().is_empty())
}

/// An allocation with a name.
#[derive(Clone, Copy)]
struct Named {
    id: Id,
    /// The line that frees all of it.
    freed: Option<usize>,
}

/// Reads operations, line by line.
pub struct Reader<'a> {
    pub space: Space,
    names: FxHashMap<&'a str, Named>,
}

impl<'a> Reader<'a> {
    /// Reads the space from the first line of `text` that has more than a comment.
    pub fn new(first: Option<Line<'a>>, text: &str) -> Result<Self, ParseError> {
        let Some(first) = first else {
            let line = text.lines().count().max(1);
            return Err(ParseError { line, column: 1, expected: SPACE, found: Found::End });
        };
        Ok(Self { space: space(first)?, names: FxHashMap::default() })
    }

    /// Reads a line that has more than a comment.
    pub fn operation(&mut self, mut line: Line<'a>) -> Result<Operation, ParseError> {
        let word = line.next();
        match line.peek().text {
            "=" => {
                line.next();
                return self.alloc(word, line);
            }
            "+=" => {
                line.next();
                return self.alloc_onto(word, line);
            }
            _ => {}
        }
        match word.text {
            "free" => self.free(line),
            "trim" => self.trim(line),
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

    /// An allocation that was made above, and not freed as a whole.
    fn allocation(&mut self, word: Word<'a>) -> Result<&mut Named, ParseError> {
        if !is_name(word.text) {
            return Err(word.error(NAME));
        }
        let made = || word.error("an allocation made above");
        let named = self.names.get_mut(word.text).ok_or_else(made)?;
        match named.freed {
            None => Ok(named),
            Some(line) => {
                let found = Found::freed(word.text, line);
                Err(word.found("an allocation that is not freed yet", found))
            }
        }
    }

    fn alloc(&mut self, name: Word<'a>, line: Line<'a>) -> Result<Operation, ParseError> {
        if !is_name(name.text) {
            return Err(name.error(NAME));
        }
        let request = self.request(line)?;
        let id = Id::try_from(self.names.len()).map_err(|_| name.error(FITS))?;
        if self.names.insert(name.text, Named { id, freed: None }).is_some() {
            return Err(name.error("a name that is not taken yet"));
        }
        Ok(Operation::Alloc { id, request })
    }

    fn alloc_onto(&mut self, name: Word<'a>, line: Line<'a>) -> Result<Operation, ParseError> {
        let id = self.allocation(name)?.id;
        Ok(Operation::AllocOnto { id, request: self.request(line)? })
    }

    /// Reads what follows `NAME =`.
    fn request(&self, mut line: Line<'a>) -> Result<AllocRequest, ParseError> {
        let word = line.next();
        if word.text != "alloc" {
            return Err(word.error("'alloc'"));
        }
        let size = line.next().size()?;
        let mut request =
            AllocRequest { size, min_block_size: self.space.chunk_size, ..AllocRequest::default() };
        // The numeric settings that have occurred.
        let (mut align, mut start, mut end, mut range) = (None, None, None, None);
        let (mut bits, mut number) = (0, None);
        loop {
            let word = line.next();
            let setting = word.split("=");
            let (name, value) = setting.unwrap_or((word, word));
            let flag = match (name.text, setting.is_some()) {
                ("", false) => break,
                ("align", true) => {
                    set(&mut align, (), word)?;
                    request.min_block_size = value.size_in(word)?;
                    0
                }
                ("start", true) => {
                    set(&mut start, (), word)?;
                    request.start = value.size_in(word)?;
                    0
                }
                ("end", true) => {
                    set(&mut end, (), word)?;
                    request.end = value.size_in(word)?;
                    0
                }
                ("range", true) => {
                    let (from, to) = value
                        .split("..")
                        .ok_or_else(|| value.error_in(word, "a range such as 0..16M"))?;
                    (request.start, request.end) = (from.size_in(value)?, to.size_in(value)?);
                    set(&mut range, (), word)?;
                    ffi::GPU_BUDDY_RANGE_ALLOCATION
                }
                ("flags", true) => {
                    set(&mut number, (), word)?;
                    flags(value, word)?
                }
                (name, false) => match WORDS.iter().find(|(word, _)| *word == name) {
                    Some((_, flag)) => *flag,
                    None => return Err(word.error(SETTING)),
                },
                _ => return Err(word.error(SETTING)),
            };
            if bits & flag != 0 || (range.is_some() && start.or(end).is_some()) {
                return Err(word.once());
            }
            bits |= flag;
        }
        request.set_bits(bits);
        Ok(request)
    }

    fn trim(&mut self, mut line: Line<'a>) -> Result<Operation, ParseError> {
        let id = self.allocation(line.next())?.id;
        let new_size = line.next().size()?;
        let word = line.next();
        let start = match word.setting("start") {
            Some(value) => Some(value.size_in(word)?),
            None if word.is_empty() => None,
            None => return Err(word.error("'start=' or the end of the line")),
        };
        line.end()?;
        Ok(Operation::Trim { id, start, new_size })
    }

    fn free(&mut self, mut line: Line<'a>) -> Result<Operation, ParseError> {
        let word = line.next();
        let Some((name, index)) = word.split("[") else {
            let named = self.allocation(word)?;
            let cleared = line.cleared()?;
            named.freed = Some(line.number());
            return Ok(Operation::Free { id: named.id, cleared });
        };
        let id = self.allocation(name)?.id;
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

/// The words for flags.
const WORDS: [(&str, u64); 4] = [
    ("contiguous", ffi::GPU_BUDDY_CONTIGUOUS_ALLOCATION),
    ("clear", ffi::GPU_BUDDY_CLEAR_ALLOCATION),
    ("topdown", ffi::GPU_BUDDY_TOPDOWN_ALLOCATION),
    ("trim-disable", ffi::GPU_BUDDY_TRIM_DISABLE),
];

fn flags(value: Word<'_>, whole: Word<'_>) -> Result<u64, ParseError> {
    if !value.text.starts_with("0x") {
        return value.number(whole, FLAGS);
    }
    let expected = |error| if error == ParseSizeError::TooLarge { FITS } else { FLAGS };
    parse_size(value.text).map_err(|error| value.error(expected(error)))
}

fn space(mut line: Line<'_>) -> Result<Space, ParseError> {
    let word = line.next();
    if word.text != "space" {
        return Err(word.error(SPACE));
    }
    let (mut size, mut chunk_size, mut base) = (None, None, None);
    loop {
        let word = line.next();
        match word.split("=") {
            Some((name, value)) if name.text == "size" => {
                set(&mut size, value.size_in(word)?, word)?;
            }
            Some((name, value)) if name.text == "chunk" => {
                set(&mut chunk_size, value.size_in(word)?, word)?;
            }
            Some((name, value)) if name.text == "base" => {
                set(&mut base, (value.size_in(word)?, value), word)?;
            }
            _ => match (word.text, size, chunk_size) {
                ("", Some(size), Some(chunk_size)) => {
                    let space = Space::new(size, chunk_size);
                    return match base {
                        Some((base, value)) if size.checked_add(base).is_none() => {
                            Err(Word::error(value, "a base that fits in 64 bits with the size"))
                        }
                        base => Ok(Space { base: base.map_or(0, |(base, _)| base), ..space }),
                    };
                }
                (_, None, _) => return Err(word.error("'size=', as in 'size=16M'")),
                (_, _, None) => return Err(word.error("'chunk=', as in 'chunk=4K'")),
                _ => return Err(word.error("'base=' or the end of the line")),
            },
        }
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
    let times = match word.setting("times") {
        Some(value) if value.text == "all" => u64::MAX,
        Some(value) => count(value, word)?,
        None if word.is_empty() => 1,
        None => return Err(word.error("'times=' or the end of the line")),
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
