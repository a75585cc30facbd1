//! One implementation, with the allocations of a trace by name.

use core::fmt;
use core::mem::ManuallyDrop;

use crate::diff::{Accounts, Id, Operation};
use crate::{AllocRequest, Errno, FreeTrees};

use super::panics;
use super::{Block, Capabilities, Capability, Implementation, Report, Space};

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
    /// It panicked.
    Panicked,
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
            Self::Panicked => f.write_str("panicked"),
        }
    }
}

/// An implementation that takes operations, with the allocations of a trace by name.
///
/// A panic of the implementation ends its use: it is caught, reported once, and what
/// panicked is neither called nor dropped again.
pub(in crate::diff) struct Driver<I: Implementation> {
    implementation: ManuallyDrop<I>,
    allocations: ManuallyDrop<Vec<Option<I::Allocation>>>,
    panicked: bool,
    torn_down: bool,
    /// The kernel's trees, for the next reset of the clear state.
    pub free_trees: Option<FreeTrees>,
    /// After an allocation or a trim: the blocks of the allocation.
    pub blocks: Vec<Block>,
    /// What is free after the last operation.
    pub accounts: Accounts,
    /// What the implementation said by itself in the last operation.
    pub report: Report,
}

impl<I: Implementation> Driver<I> {
    pub fn of(implementation: I) -> Self {
        let mut driver = Self {
            implementation: ManuallyDrop::new(implementation),
            allocations: ManuallyDrop::new(Vec::new()),
            panicked: false,
            torn_down: false,
            free_trees: None,
            blocks: Vec::new(),
            accounts: Accounts::default(),
            report: Report::default(),
        };
        driver.accounts =
            driver.ask(|implementation| implementation.accounts()).unwrap_or_default();
        driver
    }

    pub fn implementation(&self) -> &I {
        &self.implementation
    }

    pub fn implementation_mut(&mut self) -> &mut I {
        &mut self.implementation
    }

    /// Whether it was torn down, or has panicked: it cannot be asked any more.
    pub fn is_finished(&self) -> bool {
        self.torn_down || self.panicked
    }

    /// Asks the implementation, unless that has panicked.
    pub fn ask<T>(&mut self, f: impl FnOnce(&mut I) -> T) -> Option<T> {
        if self.panicked {
            return None;
        }
        match panics::catch(|| f(&mut self.implementation)) {
            Ok(answer) => Some(answer),
            Err(message) => {
                self.panicked = true;
                self.report.panic = Some(message);
                None
            }
        }
    }

    /// Does an operation, and asks for the accounts and the report after it.
    pub fn apply(&mut self, operation: &Operation) -> Outcome {
        self.blocks.clear();
        self.report = Report::default();
        if self.is_finished() {
            return Outcome::Skipped;
        }
        let Self { implementation, allocations, blocks, free_trees, accounts, report, .. } = self;
        let (implementation, allocations) = (&mut **implementation, &mut **allocations);
        let done = panics::catch(|| {
            if implementation.declines(operation).is_some() {
                return None;
            }
            let mut leaked = 0;
            let outcome = match (operation, free_trees.take()) {
                (Operation::ResetClear { clear }, Some(trees)) => {
                    implementation.reset_clear_as(*clear, &trees);
                    Outcome::Done
                }
                _ => apply(implementation, allocations, blocks, &mut leaked, operation),
            };
            *report = implementation.report();
            report.leaked = leaked;
            *accounts = implementation.accounts();
            Some(outcome)
        });
        match done {
            Ok(None) => Outcome::Skipped,
            Ok(Some(outcome)) => {
                self.torn_down = *operation == Operation::Fini;
                outcome
            }
            Err(message) => {
                self.panicked = true;
                self.blocks.clear();
                self.report.panic = Some(message);
                Outcome::Panicked
            }
        }
    }

    /// The names of what is allocated.
    pub fn allocated(&self) -> Vec<Id> {
        let ids = (0..).zip(self.allocations.iter());
        ids.filter_map(|(id, allocation)| allocation.is_some().then_some(id)).collect()
    }
}

impl<I: Implementation> Drop for Driver<I> {
    fn drop(&mut self) {
        // What has panicked may be in pieces. It is left alone.
        if !self.panicked {
            let Self { implementation, allocations, .. } = self;
            // SAFETY: neither is used after this, and each is dropped once.
            unsafe {
                ManuallyDrop::drop(implementation);
                ManuallyDrop::drop(allocations);
            }
        }
    }
}

fn apply<I: Implementation>(
    implementation: &mut I,
    allocations: &mut Vec<Option<I::Allocation>>,
    blocks: &mut Vec<Block>,
    leaked: &mut usize,
    operation: &Operation,
) -> Outcome {
    match *operation {
        Operation::Alloc { id, ref request } => {
            let index = id as usize;
            if index >= allocations.len() {
                allocations.resize_with(index + 1, || None);
            }
            let outcome = implementation.alloc(request).map(|allocation| {
                implementation.blocks(&allocation, blocks);
                allocations[index] = Some(allocation);
            });
            Outcome::of(outcome)
        }
        Operation::AllocOnto { id, ref request } => {
            let Some(Some(allocation)) = allocations.get_mut(id as usize) else {
                return Outcome::Skipped;
            };
            let outcome = implementation.alloc_onto(allocation, request);
            implementation.blocks(allocation, blocks);
            Outcome::of(outcome)
        }
        Operation::Free { id, cleared } => {
            let Some(allocation) = allocations.get_mut(id as usize).and_then(Option::take) else {
                return Outcome::Skipped;
            };
            implementation.free(allocation, cleared);
            Outcome::Done
        }
        Operation::FreeBlock { id, index, cleared } => {
            let Some(Some(allocation)) = allocations.get_mut(id as usize) else {
                return Outcome::Skipped;
            };
            implementation.blocks(allocation, blocks);
            let exists = index < blocks.len();
            blocks.clear();
            if exists {
                implementation.free_block(allocation, index, cleared);
            }
            if exists { Outcome::Done } else { Outcome::Skipped }
        }
        Operation::Trim { id, start, new_size } => {
            let Some(Some(allocation)) = allocations.get_mut(id as usize) else {
                return Outcome::Skipped;
            };
            let outcome = implementation.trim(allocation, start, new_size);
            implementation.blocks(allocation, blocks);
            Outcome::of(outcome)
        }
        Operation::ResetClear { clear } => {
            implementation.reset_clear(clear);
            Outcome::Done
        }
        Operation::BlockAt { offset } => {
            implementation.block_at(offset).map_or_else(Outcome::Failed, Outcome::Found)
        }
        Operation::FailNth { nth, times } => {
            implementation.fail_nth(nth, times);
            Outcome::Done
        }
        Operation::Fini => {
            *leaked = implementation.fini();
            Outcome::Done
        }
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
                (!request.range && (request.start != 0 || request.end != 0), Capability::RawBounds),
                (request.range && request.top_down, Capability::RawBounds),
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
                needs |= Capability::FreeCleared;
            }
        }
        Operation::FreeBlock { cleared, .. } => {
            needs |= Capability::FreeBlock;
            if *cleared {
                needs |= Capability::FreeCleared;
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
