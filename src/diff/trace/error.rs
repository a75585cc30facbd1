//! Errors in the text of a trace.

use core::fmt;

/// The first place where a text is not a trace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("line {line}, column {column}: expected {expected}, found {found}")]
#[non_exhaustive]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// The character in the line, counted from 1.
    pub column: usize,
    /// What would be valid.
    pub expected: &'static str,
    /// What is there.
    pub found: Found,
}

/// What a [`ParseError`] found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Found {
    /// This word, or a part of one. A long one is cut and ends in `…`.
    Word(String),
    /// An allocation that an earlier line has freed.
    Freed {
        /// Its name; a long one is cut and ends in `…`.
        name: String,
        /// The line that frees it, counted from 1.
        line: usize,
    },
    /// The end of the line.
    EndOfLine,
    /// The end of the text.
    End,
}

/// The most characters of a word in an error: the text may be another kind of file without blanks.
const MOST_SHOWN: usize = 40;

impl Found {
    pub(super) fn word(text: &str) -> Self {
        Self::Word(cut(text))
    }

    pub(super) fn freed(name: &str, line: usize) -> Self {
        Self::Freed { name: cut(name), line }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "'{}'", word.escape_debug()),
            Self::Freed { name, line } => write!(f, "'{name}', which line {line} frees"),
            Self::EndOfLine => f.write_str("the end of the line"),
            Self::End => f.write_str("the end of the text"),
        }
    }
}
