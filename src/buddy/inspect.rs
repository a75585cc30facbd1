//! What an allocator says of itself.

use core::fmt;
use core::ops::Range;

use crate::fault::Fault;
use crate::runtime::Event;
use crate::{
    FreeTrees, GpuBuddy, Inconsistency, KernelBug, LogLine, OrderStatistics, Result, Snapshot,
    Warning, ffi, tree,
};

use super::inner::Pending;

impl GpuBuddy {
    /// How many blocks of each order there are, from order 0 up.
    ///
    /// # Errors
    ///
    /// Only for an unusable allocator.
    pub fn statistics(&self) -> Result<Vec<OrderStatistics>> {
        Ok(self.snapshot()?.statistics())
    }

    /// The size of the largest free block in bytes; 0 where nothing is free.
    ///
    /// # Errors
    ///
    /// Only for an unusable allocator.
    pub fn largest_free_block(&self) -> Result<u64> {
        self.0.read(|mm, _| tree::largest_free_block(mm))
    }

    /// The longest run of free bytes, from the start of the space without the
    /// base offset. It can span several free blocks.
    ///
    /// # Errors
    ///
    /// Only for an unusable allocator.
    pub fn longest_free_run(&self) -> Result<Range<u64>> {
        Ok(self.snapshot()?.longest_free_run())
    }

    /// The whole tree as plain data.
    ///
    /// # Errors
    ///
    /// Only for an unusable allocator.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.0.read(|mm, live| tree::inspect(mm, live).snapshot())
    }

    /// Scans the C's own structures, the whole of them: blocks, trees of free
    /// blocks and accounts have to agree with each other. Empty where they do.
    ///
    /// # Errors
    ///
    /// Only for an unusable allocator.
    pub fn check_integrity(&self) -> Result<Vec<Inconsistency>> {
        Ok(self.scan()?.0)
    }

    /// As [`check_integrity`](Self::check_integrity), and how many blocks the
    /// tree has.
    pub(crate) fn scan(&self) -> Result<(Vec<Inconsistency>, usize)> {
        self.0.read(tree::scan)
    }

    /// The shapes of the trees of free blocks.
    pub(crate) fn free_trees(&self) -> Result<Option<FreeTrees>> {
        self.0.read(tree::free_trees)
    }

    /// The warnings that the C raised in calls on this allocator; the first 256
    /// of them.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        self.0.state.lock().warnings.clone()
    }

    /// The BUG that made this allocator unusable.
    #[must_use]
    pub fn bug(&self) -> Option<KernelBug> {
        self.0.state.lock().bug
    }

    /// Objects of the C that are alive: blocks of the tree, and five or so
    /// arrays. It is what would be leaked if the allocator were forgotten.
    #[must_use]
    pub fn live_objects(&self) -> usize {
        self.0.state.lock().arena.live()
    }

    /// Decides from here on which allocations of the C fail in calls on this
    /// allocator; `None`: those for which there is no memory. Returns what
    /// decided until now, with what it has counted.
    ///
    /// A call whose allocation fails returns an error or makes do without, as
    /// the C has it. In some series the allocator is unusable afterwards: see
    /// [`fault`](crate::fault).
    pub fn set_fault(&self, fault: Option<Fault>) -> Option<Fault> {
        self.0.state.lock().arena.set_fault(fault)
    }

    /// What decides over the C's allocations, with what it has counted.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.0.state.lock().arena.fault().cloned()
    }

    /// What `gpu_buddy_print` prints, a line each: the totals, then each order
    /// from the highest down. [`Display`](fmt::Display) gives the same text.
    ///
    /// # Errors
    ///
    /// Only for an unusable allocator.
    pub fn print(&self) -> Result<Vec<LogLine>> {
        let mut state = self.0.state.lock();
        // SAFETY: `mm` is initialised and its lock is held.
        let (result, pending) = state.call(&self.0.map, |mm| unsafe { ffi::gpu_buddy_print(mm) });
        drop(state);
        let (mut lines, mut others) = (Vec::new(), Vec::new());
        for event in pending.0 {
            match event {
                Event::Log(line) => lines.push(line),
                other => others.push(other),
            }
        }
        Pending(others).log();
        result.map(|()| lines)
    }

    /// In one look: the warnings behind the first `seen`, the BUG, and how many
    /// allocations of the C failed.
    pub(crate) fn events(&self, seen: usize) -> (Vec<Warning>, Option<KernelBug>, u64) {
        let state = self.0.state.lock();
        let failed = state.arena.fault().map_or(0, Fault::failed);
        (state.warnings[seen..].to_vec(), state.bug, failed)
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
