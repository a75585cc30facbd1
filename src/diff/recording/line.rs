//! Reads the lines of a recording.

use std::collections::HashMap;

use crate::diff::{Block, Space};
use crate::{AllocRequest, ffi};

use super::{Blocks, Call, Function};

/// A line that is not one of a recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}, found {found}")]
#[non_exhaustive]
pub struct RecordingError {
    /// The line, counted from 1.
    pub line: usize,
    /// What would be valid.
    pub expected: &'static str,
    /// What is there: a word, which is cut if it is long, or `the end of the line`.
    pub found: String,
}

const LINE: &str = "a line of contrib/record.bt, such as 'free TIME THREAD ALLOCATOR LIST ...'";
const VERSION: &str = "version 1 of the recording";
const HEADER: &str = "gpu-buddy-recording";

/// The bits of a block's header, `GPU_BUDDY_HEADER_*`, which are the same in all kernels.
const OFFSET: u64 = !0xfff;
const CLEAR: u64 = 1 << 9;
const ORDER: u64 = 0x3f;

/// The content of a recording.
#[derive(Default)]
pub struct Lines {
    /// In the order of the lines.
    pub calls: Vec<Call>,
    pub lost: u64,
    /// The last call of each thread that returns blocks.
    lists: HashMap<u64, usize>,
}

pub fn read(text: &str) -> Result<Lines, RecordingError> {
    let mut lines = Lines::default();
    let count = text.lines().count();
    for (index, line) in text.lines().enumerate() {
        match lines.add(index + 1, line) {
            // The recording was stopped within this line.
            Err(_) if index + 1 == count && !text.ends_with('\n') => lines.lost += 1,
            result => result?,
        }
    }
    Ok(lines)
}

impl Lines {
    fn add(&mut self, number: usize, text: &str) -> Result<(), RecordingError> {
        let mut words = Words { line: number, words: text.split_whitespace() };
        let Some(name) = words.words.next() else { return Ok(()) };
        match name {
            HEADER => {
                let version = words.word(VERSION)?;
                if version != "1" {
                    return Err(words.error(VERSION, Some(version)));
                }
                return words.end();
            }
            // Output of bpftrace itself.
            "Attaching" => return Ok(()),
            "Lost" => {
                self.lost += words.number("how many events are lost")?;
                return Ok(());
            }
            _ if name.starts_with('@') => return Ok(()),
            "init" | "alloc" | "block" | "more" | "free" | "free-block" | "trim" | "reset"
            | "fini" => {}
            _ => return Err(words.error(LINE, Some(name))),
        }
        let time = words.number("a time in ns")?;
        let thread = words.number("the number of a thread")?;
        if let "block" | "more" = name {
            let list = self.list_of(time, thread);
            let block = if name == "block" { Some(words.block()?) } else { None };
            match (list, block) {
                (Some(list), Some(block)) => list.blocks.push(block),
                (Some(list), None) => list.more = true,
                // The line of its call is lost.
                (None, _) => self.lost += 1,
            }
            return words.end();
        }
        let mm = words.number("the address of the allocator")?;
        let function = words.function(name)?;
        words.end()?;
        if let Function::Alloc { .. } | Function::Trim { .. } = function {
            self.lists.insert(thread, self.calls.len());
        }
        self.calls.push(Call { time, thread, mm, allocator: 0, function });
        Ok(())
    }

    fn list_of(&mut self, time: u64, thread: u64) -> Option<&mut Blocks> {
        let call = self.calls.get_mut(*self.lists.get(&thread)?)?;
        match &mut call.function {
            Function::Alloc { blocks, .. } | Function::Trim { blocks, .. }
                if (call.time, call.thread) == (time, thread) =>
            {
                Some(blocks)
            }
            _ => None,
        }
    }
}

/// The words of a line.
struct Words<'a> {
    line: usize,
    words: core::str::SplitWhitespace<'a>,
}

impl<'a> Words<'a> {
    fn error(&self, expected: &'static str, found: Option<&str>) -> RecordingError {
        const MOST_SHOWN: usize = 40;
        let found = match found {
            Some(word) => {
                let shown: String = word.chars().take(MOST_SHOWN).collect();
                format!("'{}'", shown.escape_debug())
            }
            None => "the end of the line".to_owned(),
        };
        RecordingError { line: self.line, expected, found }
    }

    fn word(&mut self, expected: &'static str) -> Result<&'a str, RecordingError> {
        self.words.next().ok_or_else(|| self.error(expected, None))
    }

    fn end(&mut self) -> Result<(), RecordingError> {
        match self.words.next() {
            None => Ok(()),
            word => Err(self.error("the end of the line", word)),
        }
    }

    fn number(&mut self, expected: &'static str) -> Result<u64, RecordingError> {
        let word = self.word(expected)?;
        let number = match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => word.parse(),
        };
        number.map_err(|_| self.error(expected, Some(word)))
    }

    fn result(&mut self) -> Result<i32, RecordingError> {
        let expected = "0 or a negative error number";
        let word = self.word(expected)?;
        let result = word.parse().ok().filter(|&result| result <= 0);
        result.ok_or_else(|| self.error(expected, Some(word)))
    }

    fn bool(&mut self, expected: &'static str) -> Result<bool, RecordingError> {
        match self.word(expected)? {
            "0" => Ok(false),
            "1" => Ok(true),
            word => Err(self.error(expected, Some(word))),
        }
    }

    fn block(&mut self) -> Result<(u64, Block), RecordingError> {
        let address = self.number("the address of a block")?;
        let header = self.number("the header of a block")?;
        let order = (header & ORDER) as u32;
        let block = Block { offset: header & OFFSET, order, clear: header & CLEAR != 0 };
        Ok((address, block))
    }

    fn function(&mut self, name: &str) -> Result<Function, RecordingError> {
        const LIST: &str = "the address of a list";
        const FIRST: &str = "the address of the first block";
        let blocks = Blocks::default();
        Ok(match name {
            "init" => {
                let size = self.number("the size of the space")?;
                let chunk_size = self.number("the size of a chunk")?;
                Function::Init { space: Space::new(size, chunk_size), result: self.result()? }
            }
            "alloc" => {
                let (list, first) = (self.number(LIST)?, self.number(FIRST)?);
                let mut request = AllocRequest {
                    start: self.number("the start of the range")?,
                    end: self.number("the end of the range")?,
                    size: self.number("the size")?,
                    min_block_size: self.number("the smallest block")?,
                    ..AllocRequest::default()
                };
                request.set_bits(self.number("the flags")?);
                Function::Alloc { list, first, request, result: self.result()?, blocks }
            }
            "free" => {
                let (list, first) = (self.number(LIST)?, self.number(FIRST)?);
                let last = self.number("the address of the last block")?;
                let cleared = self.number("the flags")? & ffi::GPU_BUDDY_CLEARED != 0;
                Function::Free { list, first, last, cleared }
            }
            "free-block" => {
                let (address, block) = self.block()?;
                Function::FreeBlock { address, clear: block.clear }
            }
            "trim" => {
                let list = self.number(LIST)?;
                let has_start = self.bool("whether there is a start, 0 or 1")?;
                let start = self.number("the start")?;
                let new_size = self.number("the new size")?;
                let start = has_start.then_some(start);
                Function::Trim { list, start, new_size, result: self.result()?, blocks }
            }
            "reset" => Function::Reset { clear: self.bool("0 for dirty or 1 for clear")? },
            _ => Function::Fini,
        })
    }
}
