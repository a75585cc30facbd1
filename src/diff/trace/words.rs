//! The words of a line.

use super::{Found, ParseError, ParseSizeError, parse_size};

const SIZE: &str = "a size such as 4K";
pub const FITS: &str = "a number that fits in 64 bits";
const END: &str = "the end of the line";
const ONCE: &str = "each setting once";

/// A word or a part of one, and the column of its first character.
#[derive(Clone, Copy)]
pub struct Word<'a> {
    pub text: &'a str,
    pub line: usize,
    column: usize,
}

impl<'a> Word<'a> {
    pub fn is_empty(self) -> bool {
        self.text.is_empty()
    }

    pub fn error(self, expected: &'static str) -> ParseError {
        let found = if self.text.is_empty() { Found::EndOfLine } else { Found::word(self.text) };
        self.found(expected, found)
    }

    pub fn found(self, expected: &'static str, found: Found) -> ParseError {
        ParseError { line: self.line, column: self.column, expected, found }
    }

    pub fn once(self) -> ParseError {
        self.error(ONCE)
    }

    /// The rest after the first `bytes`.
    fn after(self, bytes: usize) -> Self {
        let (before, text) = self.text.split_at(bytes);
        Self { text, column: self.column + before.chars().count(), ..self }
    }

    /// The two sides of the first `separator`.
    pub fn split(self, separator: &str) -> Option<(Self, Self)> {
        let at = self.text.find(separator)?;
        Some((Self { text: &self.text[..at], ..self }, self.after(at + separator.len())))
    }

    /// The value of a setting `name=value`.
    pub fn setting(self, name: &str) -> Option<Self> {
        self.split("=").filter(|(left, _)| left.text == name).map(|(_, value)| value)
    }

    /// An error at a part of a word. If that part is empty, the error shows the whole word.
    pub fn error_in(self, whole: Self, expected: &'static str) -> ParseError {
        if self.text.is_empty() { whole.error(expected) } else { self.error(expected) }
    }

    pub fn size_in(self, whole: Self) -> Result<u64, ParseError> {
        parse_size(self.text).map_err(|error| {
            self.error_in(whole, if error == ParseSizeError::TooLarge { FITS } else { SIZE })
        })
    }

    pub fn size(self) -> Result<u64, ParseError> {
        self.size_in(self)
    }

    /// A decimal number.
    pub fn number(self, whole: Self, expected: &'static str) -> Result<u64, ParseError> {
        if self.text.is_empty() || !self.text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.error_in(whole, expected));
        }
        self.text.parse().map_err(|_| self.error(FITS))
    }
}

/// The words of a line that are still to be read.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// Starts with a word, or is empty. Without blanks at its end.
    rest: Word<'a>,
}

impl<'a> Line<'a> {
    /// A line without its comment.
    pub fn new(line: usize, text: &'a str) -> Self {
        let (words, _) = split_comment(text);
        Self { rest: skip_blanks(Word { text: words, line, column: 1 }) }
    }

    /// The rest of the line.
    pub fn text(self) -> &'a str {
        self.rest.text
    }

    pub fn number(self) -> usize {
        self.rest.line
    }

    /// The next word; an empty one at the end of the line.
    pub fn next(&mut self) -> Word<'a> {
        let length = self.rest.text.find(char::is_whitespace).unwrap_or(self.rest.text.len());
        let word = Word { text: &self.rest.text[..length], ..self.rest };
        self.rest = skip_blanks(self.rest.after(length));
        word
    }

    pub fn peek(mut self) -> Word<'a> {
        self.next()
    }

    /// Checks that the line ends here.
    pub fn end(mut self) -> Result<(), ParseError> {
        let word = self.next();
        if word.is_empty() { Ok(()) } else { Err(word.error(END)) }
    }

    /// Whether the rest of the line is `cleared`; otherwise it is empty.
    pub fn cleared(mut self) -> Result<bool, ParseError> {
        let word = self.next();
        match word.text {
            "" => Ok(false),
            "cleared" => self.end().map(|()| true),
            _ => Err(word.error("'cleared' or the end of the line")),
        }
    }
}

/// Splits a line into its words and its comment. A comment begins where a word could.
pub fn split_comment(line: &str) -> (&str, Option<&str>) {
    let mut before = None;
    let start = line.char_indices().find(|&(_, character)| {
        let begins = character == '#' && before.is_none_or(char::is_whitespace);
        before = Some(character);
        begins
    });
    match start {
        Some((at, _)) => (line[..at].trim_end(), Some(line[at..].trim_end())),
        None => (line.trim_end(), None),
    }
}

fn skip_blanks(rest: Word<'_>) -> Word<'_> {
    rest.after(rest.text.len() - rest.text.trim_start().len())
}

/// Sets a value that was not set before.
pub fn set<T>(slot: &mut Option<T>, value: T, word: Word<'_>) -> Result<(), ParseError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(word.once()),
    }
}
