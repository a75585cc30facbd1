//! Traces to text.

use core::fmt;
use std::collections::HashMap;

use crate::{AllocRequest, GpuBuddyAllocFlag};

use super::{Id, Operation, Trace, format_size};

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chunk_size = self.space.chunk_size;
        writeln!(
            f,
            "space size={} chunk={}",
            format_size(self.space.size),
            format_size(chunk_size)
        )?;
        // Names follow the order of appearance, as they will when this is read.
        let mut names = HashMap::new();
        let mut next = 0;
        for operation in &self.operations {
            if let Operation::Alloc { id, .. } = operation {
                names.insert(*id, next);
                next += 1;
            }
            let name = match operation.allocation() {
                Some(id) => match names.get(&id) {
                    Some(&name) => name,
                    None => continue,
                },
                None => 0,
            };
            write(f, operation, name, Some(chunk_size))?;
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The operation as a line of a trace, without the line's end. The alignment is
/// always written, as the chunk size is not known here.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self, self.allocation().unwrap_or(0), None)
    }
}

impl Operation {
    /// The allocation that it makes, or that it is about.
    #[must_use]
    pub fn allocation(&self) -> Option<Id> {
        match *self {
            Self::Alloc { id, .. }
            | Self::Free { id, .. }
            | Self::FreeBlock { id, .. }
            | Self::Trim { id, .. } => Some(id),
            Self::ResetClear { .. } | Self::BlockAt { .. } | Self::FailNth { .. } | Self::Fini => {
                None
            }
        }
    }

    /// The same, with another name for the allocation.
    pub(in crate::diff) fn renamed(mut self, name: impl FnOnce(Id) -> Id) -> Self {
        if let Self::Alloc { id, .. }
        | Self::Free { id, .. }
        | Self::FreeBlock { id, .. }
        | Self::Trim { id, .. } = &mut self
        {
            *id = name(*id);
        }
        self
    }
}

/// Writes one operation on the allocation called `id`.
fn write(
    f: &mut fmt::Formatter<'_>,
    operation: &Operation,
    id: Id,
    chunk_size: Option<u64>,
) -> fmt::Result {
    let cleared = |cleared| if cleared { " cleared" } else { "" };
    match operation {
        Operation::Alloc { request, .. } => {
            write!(f, "{} = alloc ", Name(id))?;
            write_request(f, request, chunk_size)
        }
        Operation::Free { cleared: clear, .. } => {
            write!(f, "free {}{}", Name(id), cleared(*clear))
        }
        Operation::FreeBlock { index, cleared: clear, .. } => {
            write!(f, "free {}[{index}]{}", Name(id), cleared(*clear))
        }
        Operation::Trim { start, new_size, .. } => {
            write!(f, "trim {} {}", Name(id), format_size(*new_size))?;
            start.map_or(Ok(()), |start| write!(f, " start={}", format_size(start)))
        }
        Operation::ResetClear { clear: true } => f.write_str("reset clear"),
        Operation::ResetClear { clear: false } => f.write_str("reset dirty"),
        Operation::BlockAt { offset } => write!(f, "lookup {}", format_size(*offset)),
        Operation::FailNth { times: 0, .. } => f.write_str("fail-nth off"),
        Operation::FailNth { nth, times: u64::MAX } => write!(f, "fail-nth {nth} times=all"),
        Operation::FailNth { nth, times } => write!(f, "fail-nth {nth} times={times}"),
        Operation::Fini => f.write_str("fini"),
    }
}

fn write_request(
    f: &mut fmt::Formatter<'_>,
    request: &AllocRequest,
    chunk_size: Option<u64>,
) -> fmt::Result {
    let AllocRequest { start, end, size, min_block_size, range, top_down, flags } = *request;
    f.write_str(&format_size(size))?;
    if chunk_size != Some(min_block_size) {
        write!(f, " align={}", format_size(min_block_size))?;
    }
    if range {
        write!(f, " range={}..{}", format_size(start), format_size(end))?;
    } else {
        for (name, value) in [("start", start), ("end", end)] {
            if value != 0 {
                write!(f, " {name}={}", format_size(value))?;
            }
        }
    }
    let words = [
        (flags.contains(GpuBuddyAllocFlag::Contiguous), " contiguous"),
        (flags.contains(GpuBuddyAllocFlag::Clear), " clear"),
        (top_down, " topdown"),
        (flags.contains(GpuBuddyAllocFlag::TrimDisable), " trim-disable"),
    ];
    words.iter().filter(|(set, _)| *set).try_for_each(|(_, word)| f.write_str(word))
}

/// `a` to `z`, then `aa`, `ab` and so on.
struct Name(Id);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";
        let (before, last) = (self.0 / 26, self.0 % 26);
        if let Some(before) = before.checked_sub(1) {
            fmt::Display::fmt(&Self(before), f)?;
        }
        write!(f, "{}", char::from(LETTERS[last as usize]))
    }
}
