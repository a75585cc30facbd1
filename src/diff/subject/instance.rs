//! An implementation with the allocations of a trace by id, and its calls without its type.

use crate::diff::{Accounts, Id, Operation};
use crate::module::Features;
use crate::{Errno, FreeTrees, Inconsistency, Snapshot};

use super::{Block, Capabilities, Implementation, Outcome, Printed, Report};

/// The calls of an [`Implementation`] without its type: what makes them is compiled once, and not
/// again for each implementation.
pub(in crate::diff) trait Calls {
    fn capabilities(&self) -> Capabilities;
    fn kernel(&self) -> Option<Features>;
    fn runs_kernel_code(&self) -> bool;
    fn declines(&self, operation: &Operation) -> Option<&'static str>;
    /// Does an operation. `blocks` gets the blocks of an allocation, `leaked` what the teardown
    /// leaves behind.
    fn apply(
        &mut self,
        operation: &Operation,
        blocks: &mut Vec<Block>,
        leaked: &mut usize,
    ) -> Outcome;
    /// The ids of what is allocated.
    fn allocated(&self) -> Vec<Id>;
    fn reset_clear(&mut self, clear: bool);
    fn reset_clear_as(&mut self, clear: bool, trees: &FreeTrees);
    fn fail_nth(&mut self, nth: u64, times: u64);
    fn accounts(&self) -> Accounts;
    fn snapshot(&self) -> Option<Snapshot>;
    fn report(&mut self) -> Report;
    fn printed(&mut self) -> Option<Printed>;
    fn scan(&self) -> Vec<Inconsistency>;
    fn creations_without_memory(&self) -> Vec<(Result<(), Errno>, Report)>;
    fn free_trees(&self) -> Option<FreeTrees>;
}

/// An implementation, with the allocations of a trace by id.
pub(in crate::diff) struct Instance<I: Implementation> {
    pub implementation: I,
    allocations: Vec<Option<I::Allocation>>,
}

impl<I: Implementation> Instance<I> {
    pub fn new(implementation: I) -> Self {
        Self { implementation, allocations: Vec::new() }
    }
}

impl<I: Implementation> Calls for Instance<I> {
    fn capabilities(&self) -> Capabilities {
        self.implementation.capabilities()
    }

    fn kernel(&self) -> Option<Features> {
        self.implementation.kernel()
    }

    fn runs_kernel_code(&self) -> bool {
        self.implementation.runs_kernel_code()
    }

    fn declines(&self, operation: &Operation) -> Option<&'static str> {
        self.implementation.declines(operation)
    }

    fn apply(
        &mut self,
        operation: &Operation,
        blocks: &mut Vec<Block>,
        leaked: &mut usize,
    ) -> Outcome {
        let Self { implementation, allocations } = self;
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
                let Some(allocation) = allocations.get_mut(id as usize).and_then(Option::take)
                else {
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

    fn allocated(&self) -> Vec<Id> {
        let ids = (0..).zip(self.allocations.iter());
        ids.filter_map(|(id, allocation)| allocation.is_some().then_some(id)).collect()
    }

    fn reset_clear(&mut self, clear: bool) {
        self.implementation.reset_clear(clear);
    }

    fn reset_clear_as(&mut self, clear: bool, trees: &FreeTrees) {
        self.implementation.reset_clear_as(clear, trees);
    }

    fn fail_nth(&mut self, nth: u64, times: u64) {
        self.implementation.fail_nth(nth, times);
    }

    fn accounts(&self) -> Accounts {
        self.implementation.accounts()
    }

    fn snapshot(&self) -> Option<Snapshot> {
        self.implementation.snapshot()
    }

    fn report(&mut self) -> Report {
        self.implementation.report()
    }

    fn printed(&mut self) -> Option<Printed> {
        self.implementation.printed()
    }

    fn scan(&self) -> Vec<Inconsistency> {
        self.implementation.scan()
    }

    fn creations_without_memory(&self) -> Vec<(Result<(), Errno>, Report)> {
        self.implementation.creations_without_memory()
    }

    fn free_trees(&self) -> Option<FreeTrees> {
        self.implementation.free_trees()
    }
}
