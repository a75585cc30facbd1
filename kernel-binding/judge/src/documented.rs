//! The references of the binding: the C, and this crate's own API. Both get the check that the
//! binding adds to the C: it refuses an empty or inverted range.

use gpu_buddy::diff::{Accounts, Block, Capabilities, Implementation, Operation, Report, Space};
use gpu_buddy::module::Features;
use gpu_buddy::{AllocRequest, Errno, FreeTrees, Inconsistency, Snapshot};

/// An implementation that refuses an empty or inverted range.
pub struct Documented<I>(I);

impl<I: Implementation> Implementation for Documented<I> {
    type Allocation = I::Allocation;

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn kernel(&self) -> Option<Features> {
        self.0.kernel()
    }

    fn runs_kernel_code(&self) -> bool {
        self.0.runs_kernel_code()
    }

    fn declines(&self, operation: &Operation) -> Option<&'static str> {
        self.0.declines(operation)
    }

    fn create(space: Space) -> Result<Self, Errno> {
        I::create(space).map(Self)
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<I::Allocation, Errno> {
        if request.range && request.start >= request.end {
            return Err(Errno::EINVAL);
        }
        self.0.alloc(request)
    }

    fn blocks(&self, allocation: &I::Allocation, blocks: &mut Vec<Block>) {
        self.0.blocks(allocation, blocks);
    }

    fn free(&mut self, allocation: I::Allocation, cleared: bool) {
        self.0.free(allocation, cleared);
    }

    fn fail_nth(&mut self, nth: u64, times: u64) {
        self.0.fail_nth(nth, times);
    }

    fn fini(&mut self) -> usize {
        self.0.fini()
    }

    fn avail(&self) -> u64 {
        self.0.avail()
    }

    fn clear_avail(&self) -> u64 {
        self.0.clear_avail()
    }

    fn accounts(&self) -> Accounts {
        self.0.accounts()
    }

    fn snapshot(&self) -> Option<Snapshot> {
        self.0.snapshot()
    }

    fn report(&mut self) -> Report {
        self.0.report()
    }

    fn scan(&self) -> Vec<Inconsistency> {
        self.0.scan()
    }

    fn free_trees(&self) -> Option<FreeTrees> {
        self.0.free_trees()
    }
}
