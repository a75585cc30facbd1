//! Writes traces as text.

use core::fmt;

use rustc_hash::FxHashMap;

use crate::diff::Space;
use crate::{AllocRequest, GpuBuddyAllocFlag};

use super::{Id, Operation, Trace, format_size};

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", SpaceLine(self.space))?;
        let mut next = 0;
        // Names follow the order of appearance, as when the text is read.
        write_operations(f, self, |_| {
            next += 1;
            Name(next - 1)
        })
    }
}

/// The first line of a trace, without the newline.
pub(super) struct SpaceLine(pub Space);

impl fmt::Display for SpaceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Space { size, chunk_size, base } = self.0;
        write!(f, "space size={} chunk={}", format_size(size), format_size(chunk_size))?;
        if base == 0 { Ok(()) } else { write!(f, " base={}", format_size(base)) }
    }
}

/// Writes the operations, one a line. `name` names each allocation when it is made. Operations on
/// an allocation that does not exist are left out.
pub(super) fn write_operations<N: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    trace: &Trace,
    mut name: impl FnMut(Id) -> N,
) -> fmt::Result {
    let mut names = FxHashMap::default();
    for operation in &trace.operations {
        if let Operation::Alloc { id, .. } = operation {
            names.insert(*id, name(*id));
        }
        let name = match operation.allocation() {
            Some(id) => match names.get(&id) {
                Some(name) => Some(name),
                None => continue,
            },
            None => None,
        };
        write(f, operation, name, Some(trace.space.chunk_size))?;
        writeln!(f)?;
        if let Operation::Free { id, .. } = operation {
            names.remove(id);
        }
    }
    Ok(())
}

/// The operation as a line of a trace, without the newline. The alignment is always written, as the
/// chunk size is not known here.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self, self.allocation().map(Name), None)
    }
}

impl Operation {
    /// The allocation that it makes or works on.
    #[must_use]
    pub fn allocation(&self) -> Option<Id> {
        match *self {
            Self::Alloc { id, .. }
            | Self::AllocOnto { id, .. }
            | Self::Free { id, .. }
            | Self::FreeBlock { id, .. }
            | Self::Trim { id, .. } => Some(id),
            Self::ResetClear { .. } | Self::BlockAt { .. } | Self::FailNth { .. } | Self::Fini => {
                None
            }
        }
    }

    /// Renames its allocation.
    pub(in crate::diff) fn renamed(mut self, name: impl FnOnce(Id) -> Id) -> Self {
        if let Self::Alloc { id, .. }
        | Self::AllocOnto { id, .. }
        | Self::Free { id, .. }
        | Self::FreeBlock { id, .. }
        | Self::Trim { id, .. } = &mut self
        {
            *id = name(*id);
        }
        self
    }
}

/// Writes one operation. One on an allocation needs a name.
fn write(
    f: &mut fmt::Formatter<'_>,
    operation: &Operation,
    name: Option<impl fmt::Display>,
    chunk_size: Option<u64>,
) -> fmt::Result {
    let write_name = |f: &mut fmt::Formatter<'_>| name.iter().try_for_each(|name| name.fmt(f));
    let cleared = |cleared| if cleared { " cleared" } else { "" };
    match operation {
        Operation::Alloc { request, .. } => {
            write_name(f)?;
            f.write_str(" = alloc ")?;
            write_request(f, request, chunk_size)
        }
        Operation::AllocOnto { request, .. } => {
            write_name(f)?;
            f.write_str(" += alloc ")?;
            write_request(f, request, chunk_size)
        }
        Operation::Free { cleared: clear, .. } => {
            f.write_str("free ")?;
            write_name(f)?;
            f.write_str(cleared(*clear))
        }
        Operation::FreeBlock { index, cleared: clear, .. } => {
            f.write_str("free ")?;
            write_name(f)?;
            write!(f, "[{index}]{}", cleared(*clear))
        }
        Operation::Trim { start, new_size, .. } => {
            f.write_str("trim ")?;
            write_name(f)?;
            write!(f, " {}", format_size(*new_size))?;
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
    let AllocRequest { start, end, size, min_block_size, range, top_down, flags, extra_flags } =
        *request;
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
    words.iter().filter(|(set, _)| *set).try_for_each(|(_, word)| f.write_str(word))?;
    if extra_flags == 0 { Ok(()) } else { write!(f, " flags={extra_flags:#x}") }
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
