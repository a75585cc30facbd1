//! Writes an imported trace as text.

use core::fmt;

use super::{Imported, RecordedOutcome, Skipped};

/// The most blocks in a comment.
const MOST_SHOWN: usize = 4;

/// The trace, with the time and the result of each call as comments.
impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_whole {
            writeln!(
                f,
                "# The recording begins in the middle: what was allocated before is missing."
            )?;
        }
        if self.skipped != Skipped::default() {
            writeln!(f, "# {}", self.skipped)?;
        }
        let text = self.trace.to_string();
        let mut lines = text.lines();
        lines.next().map_or(Ok(()), |space| writeln!(f, "{space}"))?;
        for (line, index) in lines.zip(self.trace.written()) {
            let (time, outcome) = &self.outcomes[index];
            writeln!(f, "{line}  # {:.6} s{outcome}", *time as f64 / 1e9)?;
        }
        Ok(())
    }
}

/// Written after a time.
impl fmt::Display for RecordedOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => Ok(()),
            Self::Failed(errno) => write!(f, ": {errno}"),
            Self::Blocks { blocks, more } => {
                f.write_str(": ")?;
                for (index, block) in blocks.iter().take(MOST_SHOWN).enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{block}")?;
                }
                let rest = blocks.len().saturating_sub(MOST_SHOWN);
                match (rest, more) {
                    (0, false) => Ok(()),
                    (0, true) => f.write_str(", and more"),
                    _ => write!(f, ", and {rest} more"),
                }
            }
        }
    }
}

/// In words, without the counts that are 0.
impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (count, one, several) in [
            (self.frees, "free of an unknown list skipped", "frees of unknown lists skipped"),
            (self.blocks, "free of an unknown block skipped", "frees of unknown blocks skipped"),
            (self.trims, "trim of an unknown list skipped", "trims of unknown lists skipped"),
            (
                self.presumed,
                "free added that is not in the recording",
                "frees added that are not in the recording",
            ),
        ] {
            if count > 0 {
                write!(f, "{comma}{count} {}", if count == 1 { one } else { several })?;
                comma = ", ";
            }
        }
        if comma.is_empty() { f.write_str("nothing skipped") } else { Ok(()) }
    }
}
