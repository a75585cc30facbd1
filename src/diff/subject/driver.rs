//! One implementation, with the allocations of a trace by name.

use core::fmt;

use crate::{AllocRequest, Errno};

use crate::diff::{Block, Capabilities, Capability, Id, Implementation, Operation, Space};

/// What came of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// There was nothing to do: the allocation or the block does not exist.
    Skipped,
    /// It was done.
    Done,
    /// It failed.
    Failed(Errno),
    /// A lookup: what is allocated there.
    Found(Option<Block>),
}

impl Outcome {
    fn of(result: Result<(), Errno>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Done)
    }

    /// The error, where there was one.
    #[must_use]
    pub fn errno(self) -> Option<Errno> {
        match self {
            Self::Failed(errno) => Some(errno),
            _ => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped => f.write_str("nothing to do"),
            Self::Done => f.write_str("done"),
            Self::Failed(errno) => errno.fmt(f),
            Self::Found(None) => f.write_str("free"),
            Self::Found(Some(block)) => block.fmt(f),
        }
    }
}

/// An implementation that takes operations.
pub(in crate::diff) struct Driver<I: Implementation> {
    pub implementation: I,
    allocations: Vec<Option<I::Allocation>>,
    /// What the teardown has left behind, once it was torn down.
    pub leaked: Option<usize>,
    /// After an allocation or a trim: the blocks of the allocation.
    pub blocks: Vec<Block>,
}

impl<I: Implementation> Driver<I> {
    pub fn of(implementation: I) -> Self {
        Self { implementation, allocations: Vec::new(), leaked: None, blocks: Vec::new() }
    }

    pub fn apply(&mut self, operation: &Operation) -> Outcome {
        self.blocks.clear();
        if self.leaked.is_some() || self.implementation.declines(operation).is_some() {
            return Outcome::Skipped;
        }
        match *operation {
            Operation::Alloc { id, ref request } => {
                let outcome = self.implementation.alloc(request).map(|allocation| {
                    self.implementation.blocks(&allocation, &mut self.blocks);
                    *self.slot(id) = Some(allocation);
                });
                Outcome::of(outcome)
            }
            Operation::AllocOnto { id, ref request } => {
                let Some(mut allocation) = self.slot(id).take() else {
                    return Outcome::Skipped;
                };
                let outcome = self.implementation.alloc_onto(&mut allocation, request);
                self.implementation.blocks(&allocation, &mut self.blocks);
                *self.slot(id) = Some(allocation);
                Outcome::of(outcome)
            }
            Operation::Free { id, cleared } => match self.slot(id).take() {
                Some(allocation) => {
                    self.implementation.free(allocation, cleared);
                    Outcome::Done
                }
                None => Outcome::Skipped,
            },
            Operation::FreeBlock { id, index, cleared } => {
                let Some(mut allocation) = self.slot(id).take() else {
                    return Outcome::Skipped;
                };
                self.implementation.blocks(&allocation, &mut self.blocks);
                let exists = index < self.blocks.len();
                self.blocks.clear();
                if exists {
                    self.implementation.free_block(&mut allocation, index, cleared);
                }
                *self.slot(id) = Some(allocation);
                if exists { Outcome::Done } else { Outcome::Skipped }
            }
            Operation::Trim { id, start, new_size } => {
                let Some(mut allocation) = self.slot(id).take() else {
                    return Outcome::Skipped;
                };
                let outcome = self.implementation.trim(&mut allocation, start, new_size);
                self.implementation.blocks(&allocation, &mut self.blocks);
                *self.slot(id) = Some(allocation);
                Outcome::of(outcome)
            }
            Operation::ResetClear { clear } => {
                self.implementation.reset_clear(clear);
                Outcome::Done
            }
            Operation::BlockAt { offset } => {
                self.implementation.block_at(offset).map_or_else(Outcome::Failed, Outcome::Found)
            }
            Operation::FailNth { nth, times } => {
                self.implementation.fail_nth(nth, times);
                Outcome::Done
            }
            Operation::Fini => {
                self.leaked = Some(self.implementation.fini());
                Outcome::Done
            }
        }
    }

    /// Frees all that is allocated, as dirty, and tells of each.
    pub fn free_all(&mut self, mut freed: impl FnMut(&I, Id)) {
        for id in 0..self.allocations.len() {
            if let Some(allocation) = self.allocations[id].take() {
                self.implementation.free(allocation, false);
                freed(&self.implementation, id as Id);
            }
        }
    }

    fn slot(&mut self, id: Id) -> &mut Option<I::Allocation> {
        let index = id as usize;
        if index >= self.allocations.len() {
            self.allocations.resize_with(index + 1, || None);
        }
        &mut self.allocations[index]
    }
}

/// What an implementation must offer to be asked for this.
pub(in crate::diff) fn needs(operation: &Operation, space: Space) -> Capabilities {
    use crate::GpuBuddyAllocFlag;
    let mut needs = Capabilities::empty();
    if let Operation::AllocOnto { .. } = operation {
        needs |= Capability::AllocOnto;
    }
    match operation {
        Operation::Alloc { request, .. } | Operation::AllocOnto { request, .. } => {
            let flags = request.flags;
            let AllocRequest { size, min_block_size, .. } = *request;
            let contiguous = flags.contains(GpuBuddyAllocFlag::Contiguous);
            let exact = request.start.checked_add(size) == Some(request.end);
            // What is no multiple of the chunk size is refused by everybody.
            let odd_size = !exact
                && size >= space.chunk_size
                && size.is_multiple_of(space.chunk_size)
                && min_block_size.is_power_of_two()
                && !size.is_multiple_of(min_block_size);
            let offset_aligned =
                odd_size && !contiguous && size < min_block_size && size.is_power_of_two();
            for (asked, capability) in [
                (request.range, Capability::Range),
                // The C looks at both without the flag as well.
                (request.start != 0 || request.end != 0, Capability::Range),
                (request.top_down, Capability::TopDown),
                (request.min_block_size > space.chunk_size, Capability::Alignment),
                (flags.contains(GpuBuddyAllocFlag::Contiguous), Capability::Contiguous),
                (flags.contains(GpuBuddyAllocFlag::Clear), Capability::Clear),
                (flags.contains(GpuBuddyAllocFlag::TrimDisable), Capability::TrimDisable),
                (request.extra_flags != 0, Capability::ExtraFlags),
                (offset_aligned, Capability::OffsetAlign),
                (odd_size && !offset_aligned && !contiguous, Capability::RoundsUp),
            ] {
                if asked {
                    needs |= capability;
                }
            }
        }
        Operation::Free { cleared, .. } => {
            if *cleared {
                needs |= Capability::Clear;
            }
        }
        Operation::FreeBlock { cleared, .. } => {
            needs |= Capability::FreeBlock;
            if *cleared {
                needs |= Capability::Clear;
            }
        }
        Operation::Trim { start, .. } => {
            needs |= Capability::Trim;
            if start.is_some() {
                needs |= Capability::TrimStart;
            }
        }
        Operation::ResetClear { .. } => needs |= Capability::ResetClear,
        Operation::BlockAt { .. } => needs |= Capability::BlockAt,
        Operation::FailNth { .. } => needs |= Capability::FailNth,
        Operation::Fini => needs |= Capability::Fini,
    }
    needs
}
