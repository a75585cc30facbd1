//! Converts the calls of one allocator to a trace.

use core::ops::Range;

use crate::Errno;
use crate::diff::{Block, Id, Operation, Space, Trace};

use super::books::Books;
use super::{Blocks, Call, Function, Recording};

/// A trace of recorded calls. [`Display`](core::fmt::Display) writes it as text, with times and
/// results as comments.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Imported {
    /// The trace.
    pub trace: Trace,
    /// For each operation, its time in ns since the first call, and its result.
    pub outcomes: Vec<(u64, RecordedOutcome)>,
    /// The calls that are not in the trace.
    pub skipped: Skipped,
    /// Whether the recording has the creation of the allocator. If not, something may have been
    /// allocated before it, and blocks may have other places when the trace is run.
    pub is_whole: bool,
}

/// The kernel's result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordedOutcome {
    /// No result, or it was not recorded.
    Unknown,
    /// The blocks on the list after an allocation or a trim.
    Blocks {
        /// The recorded blocks.
        blocks: Vec<Block>,
        /// Whether there were more.
        more: bool,
    },
    /// An error number.
    Failed(Errno),
}

/// Calls that are not in the trace, because they concern what was allocated before the recording
/// began or while lines were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Frees of unknown lists.
    pub frees: usize,
    /// Frees of unknown blocks.
    pub blocks: usize,
    /// Trims of unknown lists.
    pub trims: usize,
    /// Not skipped but added: frees that were not recorded, although the memory or the list was
    /// used again.
    pub presumed: usize,
}

impl Recording {
    /// Converts the calls of an allocator, by its index, to a trace in `space`.
    ///
    /// # Panics
    ///
    /// If there is no such allocator.
    #[must_use]
    pub fn import(&self, allocator: usize, space: Space) -> Imported {
        let about = &self.allocators[allocator];
        let mut import = Import {
            first: about.times.0,
            now: 0,
            books: Books::new(space.chunk_size),
            next_id: 0,
            unsure: !about.is_whole,
            imported: Imported {
                trace: Trace { space, operations: Vec::new() },
                outcomes: Vec::new(),
                skipped: Skipped::default(),
                is_whole: about.is_whole,
            },
        };
        for call in self.calls.iter().filter(|call| call.allocator == allocator) {
            import.call(call);
        }
        import.imported
    }
}

struct Import {
    first: u64,
    now: u64,
    books: Books,
    next_id: Id,
    /// Whether the trace may have more or less allocated than the kernel had.
    unsure: bool,
    imported: Imported,
}

impl Import {
    fn push(&mut self, operation: Operation, outcome: RecordedOutcome) {
        self.imported.trace.operations.push(operation);
        self.imported.outcomes.push((self.now, outcome));
    }

    fn free(&mut self, id: Id, cleared: bool) {
        self.books.remove(id);
        self.push(Operation::Free { id, cleared }, RecordedOutcome::Unknown);
    }

    /// Adds a free that was not recorded.
    fn presume_freed(&mut self, id: Id) {
        self.imported.skipped.presumed += 1;
        self.unsure = true;
        self.free(id, false);
    }

    fn call(&mut self, call: &Call) {
        self.now = call.time - self.first;
        match &call.function {
            Function::Init { .. } => {}
            Function::Alloc { .. } => self.alloc(&call.function),
            &Function::Free { list, first, last, cleared } => {
                self.free_list(list, (first, last), cleared);
            }
            &Function::FreeBlock { address, clear } => match self.books.find_block(address) {
                Some((id, index)) => {
                    self.books.remove_block(id, index);
                    // `gpu_buddy_free_block()` keeps the clear state.
                    let operation = Operation::FreeBlock { id, index, cleared: clear };
                    self.push(operation, RecordedOutcome::Unknown);
                }
                None => {
                    self.imported.skipped.blocks += 1;
                    self.unsure = true;
                }
            },
            Function::Trim { list, start, new_size, result, blocks } => {
                match self.books.of_list(*list) {
                    Some(id) => {
                        let (start, new_size) = (*start, *new_size);
                        let operation = Operation::Trim { id, start, new_size };
                        self.push(operation, RecordedOutcome::of(*result, blocks));
                        self.books.set(id, *list, blocks.clone());
                    }
                    None => self.imported.skipped.trims += 1,
                }
            }
            &Function::Reset { clear } => {
                self.push(Operation::ResetClear { clear }, RecordedOutcome::Unknown);
            }
            Function::Fini => self.push(Operation::Fini, RecordedOutcome::Unknown),
        }
    }

    /// Frees the blocks on a list: a whole allocation, some of its blocks that were moved there, or
    /// blocks of several allocations.
    fn free_list(&mut self, list: u64, (first, last): (u64, u64), cleared: bool) {
        let id = self.books.find(list, first).filter(|_| first != 0);
        if let Some(stale) = self.books.of_list(list)
            && id != Some(stale)
        {
            // The earlier content of the list is gone.
            self.presume_freed(stale);
        }
        let Some(id) = id else {
            self.imported.skipped.frees += usize::from(first != 0);
            self.unsure |= first != 0;
            return;
        };
        let from = self.books.find_block(first).map_or(0, |(_, index)| index);
        let other = self.books.find_block(last);
        let end = match other {
            Some((owner, index)) if owner == id => index + 1,
            _ => self.books.count(id).0,
        };
        self.free_some(id, from..end, cleared);
        if let Some((other, index)) = other.filter(|(owner, _)| *owner != id) {
            self.free_some(other, 0..index + 1, cleared);
        }
    }

    /// Frees some blocks of an allocation, or all.
    fn free_some(&mut self, id: Id, blocks: Range<usize>, cleared: bool) {
        let (count, more) = self.books.count(id);
        if more || blocks == (0..count) {
            return self.free(id, cleared);
        }
        let index = blocks.start;
        for _ in blocks {
            self.books.remove_block(id, index);
            self.push(Operation::FreeBlock { id, index, cleared }, RecordedOutcome::Unknown);
        }
    }

    fn alloc(&mut self, function: &Function) {
        let Function::Alloc { list, first, request, result, blocks } = function else { return };
        let (list, result) = (*list, *result);
        let known = self.books.find(list, *first).filter(|_| *first != 0);
        if let Some(stale) = self.books.of_list(list)
            && known != Some(stale)
        {
            self.presume_freed(stale);
        }
        let id = known.unwrap_or(self.next_id);
        let mut blocks = match (known, first) {
            (None, 0) | (Some(_), _) => blocks.clone(),
            // The earlier content of the list is unknown.
            (None, _) => {
                self.unsure = true;
                blocks.last(request.size, self.imported.trace.space.chunk_size)
            }
        };
        // The lines of some blocks may be lost.
        let space = self.imported.trace.space;
        blocks.more |= result == 0 && blocks.size(space.chunk_size) < request.size;
        while let Some(other) = self.books.in_the_way(&blocks, id) {
            self.presume_freed(other);
        }
        let outcome = RecordedOutcome::of(result, &blocks);
        let request = request.clone();
        if known.is_some() {
            self.push(Operation::AllocOnto { id, request }, outcome);
            self.books.set(id, list, blocks);
            return;
        }
        self.next_id += 1;
        self.push(Operation::Alloc { id, request }, outcome);
        if result == 0 {
            self.books.set(id, list, blocks);
        } else if self.unsure || result == -Errno::ENOMEM.code() {
            // It may succeed when the trace is run.
            self.push(Operation::Free { id, cleared: false }, RecordedOutcome::Unknown);
        }
    }
}

impl RecordedOutcome {
    fn of(result: i32, blocks: &Blocks) -> Self {
        match Errno::check(result) {
            Ok(()) => {
                let recorded = blocks.blocks.iter().map(|block| block.1).collect();
                Self::Blocks { blocks: recorded, more: blocks.more }
            }
            Err(errno) => Self::Failed(errno),
        }
    }
}

impl Blocks {
    fn size(&self, chunk_size: u64) -> u64 {
        let sizes = self.blocks.iter().map(|(_, block)| block.size(chunk_size));
        sizes.fold(0, u64::saturating_add)
    }

    /// The last blocks, with `size` bytes in total.
    fn last(&self, size: u64, chunk_size: u64) -> Self {
        let mut rest = size;
        let from_the_end = self.blocks.iter().rev().take_while(|(_, block)| {
            let is_needed = rest > 0;
            rest = rest.saturating_sub(block.size(chunk_size));
            is_needed
        });
        let count = from_the_end.count();
        Self { blocks: self.blocks[self.blocks.len() - count..].to_vec(), more: self.more }
    }
}
