//! Runs a trace's operations on one implementation.

use core::fmt;
use core::mem::ManuallyDrop;

use crate::diff::{Accounts, Operation};
use crate::{AllocRequest, Errno, FreeTrees};

use super::panics;
use super::{Block, Calls, Capabilities, Capability, Implementation, Instance, Report, Space};

/// The outcome of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Not done: the allocation or the block does not exist, or the operation is not supported.
    Skipped,
    /// It succeeded.
    Done,
    /// It failed.
    Failed(Errno),
    /// A lookup: the allocated block, or `None` if the chunk is free.
    Found(Option<Block>),
    /// It panicked.
    Panicked,
}

impl Outcome {
    pub(super) fn of(result: Result<(), Errno>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Done)
    }

    /// The error number, if it failed.
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

/// An implementation, with what its last operation showed.
///
/// A panic of the implementation is caught and reported once. After it, the implementation is
/// neither called nor dropped.
pub(in crate::diff) struct Driver<C: Calls + ?Sized = dyn Calls> {
    calls: ManuallyDrop<Box<C>>,
    panicked: bool,
    torn_down: bool,
    /// The trees of the kernel, for the next reset of the clear state.
    pub free_trees: Option<FreeTrees>,
    /// After an allocation or a trim: the blocks of the allocation.
    pub blocks: Vec<Block>,
    /// What is free after the last operation.
    pub accounts: Accounts,
    /// The implementation's report of the last operation.
    pub report: Report,
}

impl<I: Implementation> Driver<Instance<I>> {
    pub fn of(implementation: I) -> Self {
        Self::with(Box::new(Instance::new(implementation)))
    }
}

impl<C: Calls + ?Sized> Driver<C> {
    pub fn with(calls: Box<C>) -> Self {
        let mut driver = Self {
            calls: ManuallyDrop::new(calls),
            panicked: false,
            torn_down: false,
            free_trees: None,
            blocks: Vec::new(),
            accounts: Accounts::default(),
            report: Report::default(),
        };
        driver.accounts = driver.ask(|calls| calls.accounts()).unwrap_or_default();
        driver
    }

    pub fn calls(&self) -> &C {
        &self.calls
    }

    pub fn calls_mut(&mut self) -> &mut C {
        &mut self.calls
    }

    /// Whether it was torn down or has panicked, and must not be called any more.
    pub fn is_finished(&self) -> bool {
        self.torn_down || self.panicked
    }

    /// Calls `f`, unless the implementation has panicked.
    pub fn ask<T>(&mut self, f: impl FnOnce(&mut C) -> T) -> Option<T> {
        if self.panicked {
            return None;
        }
        match panics::catch(|| f(&mut self.calls)) {
            Ok(answer) => Some(answer),
            Err(message) => {
                self.panicked = true;
                self.report.panic = Some(message);
                None
            }
        }
    }

    /// Does an operation, then reads the accounts and the report.
    pub fn apply(&mut self, operation: &Operation) -> Outcome {
        self.blocks.clear();
        self.report = Report::default();
        if self.is_finished() {
            return Outcome::Skipped;
        }
        let Self { calls, blocks, free_trees, accounts, report, .. } = self;
        let done = panics::catch(|| {
            if calls.declines(operation).is_some() {
                return None;
            }
            let mut leaked = 0;
            let outcome = match (operation, free_trees.take()) {
                (Operation::ResetClear { clear }, Some(trees)) => {
                    calls.reset_clear_as(*clear, &trees);
                    Outcome::Done
                }
                _ => calls.apply(operation, blocks, &mut leaked),
            };
            *report = calls.report();
            report.leaked = leaked;
            *accounts = calls.accounts();
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
}

impl<C: Calls + ?Sized> Drop for Driver<C> {
    fn drop(&mut self) {
        // After a panic its state may be inconsistent: leak it.
        if !self.panicked {
            // SAFETY: this is `drop`, so the field is not used again, and nothing else drops it.
            unsafe { ManuallyDrop::drop(&mut self.calls) };
        }
    }
}

/// The capabilities that an operation needs.
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
            // Every implementation refuses a size that is not a multiple of the chunk size.
            let odd_size = !exact
                && size >= space.chunk_size
                && size.is_multiple_of(space.chunk_size)
                && min_block_size.is_power_of_two()
                && !size.is_multiple_of(min_block_size);
            let offset_aligned =
                odd_size && !contiguous && size < min_block_size && size.is_power_of_two();
            for (asked, capability) in [
                (request.range, Capability::Range),
                // Without the range flag, the C reads both too.
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
