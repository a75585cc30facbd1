//! A pair in lockstep without its types, so that runs and shrinking are compiled once, and not
//! again for each implementation.

use crate::diff::contract::Accounts;
use crate::diff::{
    Block, Capabilities, Contract, Implementation, Lockstep, NotCreated, Operation, Settings,
    Space, Step,
};

/// What runs need of a [`Lockstep`].
pub(in crate::diff) trait Pair {
    fn capabilities(&self) -> Capabilities;
    fn contract(&self) -> &Contract;
    fn step(&mut self, operation: &Operation) -> Step;
    fn blocks(&self) -> &[Block];
    fn accounts(&self) -> Accounts;
    fn costs(&self) -> (Option<u64>, Option<u64>);
    fn is_unusable(&self) -> bool;
    fn set_full_check_interval(&mut self, operations: u64);
    /// The number of blocks in the whole tree; 0 if it cannot be read.
    fn tree_size(&mut self) -> usize;
    fn finish(&mut self) -> Step;
}

impl<S: Implementation, R: Implementation> Pair for Lockstep<S, R> {
    fn capabilities(&self) -> Capabilities {
        self.capabilities()
    }

    fn contract(&self) -> &Contract {
        self.contract()
    }

    fn step(&mut self, operation: &Operation) -> Step {
        self.step(operation)
    }

    fn blocks(&self) -> &[Block] {
        self.blocks()
    }

    fn accounts(&self) -> Accounts {
        self.accounts()
    }

    fn costs(&self) -> (Option<u64>, Option<u64>) {
        self.costs()
    }

    fn is_unusable(&self) -> bool {
        self.is_unusable()
    }

    fn set_full_check_interval(&mut self, operations: u64) {
        self.set_full_check_interval(operations);
    }

    fn tree_size(&mut self) -> usize {
        self.snapshot().map_or(0, |snapshot| snapshot.blocks.len())
    }

    fn finish(&mut self) -> Step {
        self.finish()
    }
}

/// Starts a pair in a space.
pub(in crate::diff) type Start<'a> =
    dyn Fn(Space, Settings) -> Result<Box<dyn Pair + 'a>, NotCreated> + 'a;

/// `start` without its types.
pub(in crate::diff) fn untyped<'a, S: Implementation + 'a, R: Implementation + 'a>(
    start: impl Fn(Space, Settings) -> Result<Lockstep<S, R>, NotCreated> + 'a,
) -> impl Fn(Space, Settings) -> Result<Box<dyn Pair + 'a>, NotCreated> + 'a {
    move |space, settings| Ok(Box::new(start(space, settings)?))
}
