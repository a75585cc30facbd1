//! Reads the state of an allocator.

use core::fmt;
use core::ops::Range;

use crate::fault::Fault;
use crate::{
    FreeTrees, GpuBuddy, Inconsistency, KernelBug, LogLine, OrderStatistics, Result, Snapshot,
    Warning, ffi, tree,
};

impl GpuBuddy {
    /// The number of blocks of each order, from order 0 up.
    ///
    /// # Errors
    ///
    /// `ENOTRECOVERABLE`: the allocator is unusable after a BUG.
    pub fn statistics(&self) -> Result<Vec<OrderStatistics>> {
        Ok(self.snapshot()?.statistics())
    }

    /// The size of the largest free block in bytes; 0 if nothing is free.
    ///
    /// # Errors
    ///
    /// `ENOTRECOVERABLE`: the allocator is unusable after a BUG.
    pub fn largest_free_block(&self) -> Result<u64> {
        self.0.read(|mm, _| tree::largest_free_block(mm))
    }

    /// The longest run of free bytes, in bytes from the start of the space without the base offset.
    /// It may span several free blocks. Empty if nothing is free.
    ///
    /// # Errors
    ///
    /// `ENOTRECOVERABLE`: the allocator is unusable after a BUG.
    pub fn longest_free_run(&self) -> Result<Range<u64>> {
        Ok(self.snapshot()?.longest_free_run())
    }

    /// The whole tree as plain data.
    ///
    /// # Errors
    ///
    /// `ENOTRECOVERABLE`: the allocator is unusable after a BUG.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.0.read(|mm, live| tree::inspect(mm, live).snapshot())
    }

    /// Checks that the C's own data structures agree with each other: the tree of blocks, the trees
    /// of free blocks, and the counters. Empty if they do.
    ///
    /// # Errors
    ///
    /// `ENOTRECOVERABLE`: the allocator is unusable after a BUG.
    pub fn check_integrity(&self) -> Result<Vec<Inconsistency>> {
        Ok(self.scan()?.0)
    }

    /// Like [`check_integrity`](Self::check_integrity), and also the number of blocks in the tree.
    pub(crate) fn scan(&self) -> Result<(Vec<Inconsistency>, usize)> {
        self.0.read(tree::scan)
    }

    /// The shapes of the trees of free blocks.
    pub(crate) fn free_trees(&self) -> Result<Option<FreeTrees>> {
        self.0.read(tree::free_trees)
    }

    /// The warnings that the C raised in calls on this allocator; at most the first 256.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        self.0.state.lock().warnings.clone()
    }

    /// The BUG that made this allocator unusable; `None` if it is usable.
    #[must_use]
    pub fn bug(&self) -> Option<KernelBug> {
        self.0.state.lock().bug
    }

    /// The number of live objects of the C: the blocks of the tree, and about five arrays.
    #[must_use]
    pub fn live_objects(&self) -> usize {
        self.0.state.lock().arena.live()
    }

    /// Sets which memory allocations of the C fail from now on in calls on this allocator; with
    /// `None`, only real failures. Returns the previous fault with its counts.
    ///
    /// A call whose memory allocation fails returns an error, or does without the object. In some
    /// series the allocator is unusable afterwards: see [`fault`](crate::fault).
    pub fn set_fault(&self, fault: Option<Fault>) -> Option<Fault> {
        self.0.state.lock().arena.set_fault(fault)
    }

    /// The fault that is set, with its counts.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.0.state.lock().arena.fault().cloned()
    }

    /// The lines that `gpu_buddy_print` prints: the totals, then each order from the highest down.
    /// [`Display`](fmt::Display) gives the same text.
    ///
    /// # Errors
    ///
    /// `ENOTRECOVERABLE`: the allocator is unusable after a BUG.
    pub fn print(&self) -> Result<Vec<LogLine>> {
        let mut state = self.0.state.lock();
        // SAFETY: `mm` is initialised and its lock is held.
        let (result, mut pending) =
            state.call(&self.0.map, |mm| unsafe { ffi::bindings::gpu_buddy_print(mm) });
        drop(state);
        let lines = pending.take_lines();
        pending.log();
        result.map(|()| lines)
    }

    /// Under one lock: the warnings after the first `seen`, the BUG, and how many memory
    /// allocations of the C failed.
    pub(crate) fn events(&self, seen: usize) -> (Vec<Warning>, Option<KernelBug>, u64) {
        let state = self.0.state.lock();
        (state.warnings[seen..].to_vec(), state.bug, state.arena.failed())
    }
}

impl fmt::Display for GpuBuddy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.print() {
            Ok(lines) => lines.iter().try_for_each(|line| writeln!(f, "{line}")),
            Err(error) => writeln!(f, "{error}"),
        }
    }
}
