//! Where a text is no trace.

use core::fmt;

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
#[non_exhaustive]
pub enum Found {
    /// This word, or part of a word. A long one is cut and ends in `…`.
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

/// An error shows this many characters of a word: the word may be the whole of a file
/// that is no trace.
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
