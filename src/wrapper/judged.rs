//! A wrapper as an implementation, watched by a monitor.

use std::sync::Arc;

use crate::diff::{
    Block, Capabilities, Capability, Implementation, Operation, Report, Shareable, Space, kept_away,
};
use crate::fault::Fault;
use crate::module::{Features, Module};
use crate::{AllocRequest, Errno, FreeTrees, Inconsistency, Snapshot};

use super::Monitor;

/// A wrapper under its own [`Monitor`].
///
/// The monitor adds what the wrapper may lack: the tree, memory failures, and at the end whether
/// everything was torn down. So the wrapper need not have [`Snapshot`](Capability::Snapshot),
/// [`FailNth`](Capability::FailNth) or [`Fini`](Capability::Fini). At the end it is dropped. Random
/// operations do not drop it while something is allocated; [`find`](super::find) does.
#[derive(Debug)]
pub struct Judged<W> {
    /// `None` after the teardown.
    wrapper: Option<W>,
    monitor: Arc<Monitor>,
    space: Space,
    /// The number of live objects that are not blocks.
    arrays: usize,
}

impl<W: Implementation> Judged<W> {
    /// Creates a wrapper for a space under a monitor.
    ///
    /// # Errors
    ///
    /// Those of `create`.
    ///
    /// # Panics
    ///
    /// If a failed creation left something behind or broke a rule.
    pub fn new(space: Space, create: impl FnOnce() -> Result<W, Errno>) -> Result<Self, Errno> {
        let monitor = Monitor::new();
        match monitor.run(create) {
            Ok(wrapper) => {
                let objects = monitor.scan();
                let arrays = objects.map_or(0, |(_, blocks, live)| live.saturating_sub(blocks));
                Ok(Self { wrapper: Some(wrapper), monitor: Arc::new(monitor), space, arrays })
            }
            Err(errno) => {
                let mut misuses = monitor.take_seen().misuses;
                misuses.extend(monitor.finish());
                if let Some(misuse) = misuses.first() {
                    panic!("creation fails with {errno}, and {misuse}");
                }
                Err(errno)
            }
        }
    }

    /// The wrapper.
    ///
    /// # Panics
    ///
    /// After the teardown.
    #[must_use]
    pub fn wrapper(&self) -> &W {
        self.wrapper.as_ref().expect("the wrapper has not been dropped")
    }

    /// The monitor that watches it.
    #[must_use]
    pub fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// Runs `f` under the monitor.
    fn run<R>(&mut self, f: impl FnOnce(&mut W) -> R) -> R {
        let Self { wrapper, monitor, .. } = self;
        let wrapper = wrapper.as_mut().expect("nothing is asked for after the end");
        monitor.run(|| f(wrapper))
    }

    fn ask<R>(&self, f: impl FnOnce(&W) -> R) -> R {
        self.monitor.run(|| f(self.wrapper()))
    }
}

impl<W: Implementation> Implementation for Judged<W> {
    type Allocation = W::Allocation;

    fn capabilities(&self) -> Capabilities {
        let offered = self.ask(W::capabilities);
        offered | Capability::Snapshot | Capability::FailNth | Capability::Fini
    }

    fn kernel(&self) -> Option<Features> {
        Some(Module::compiled_in().features())
    }

    fn runs_kernel_code(&self) -> bool {
        true
    }

    fn declines(&self, operation: &Operation) -> Option<&'static str> {
        if *operation == Operation::Fini && self.monitor.allocated() > 0 {
            return Some("a wrapper is not torn down while something is allocated");
        }
        if let Operation::Alloc { request, .. } | Operation::AllocOnto { request, .. } = operation
            && let Some(reason) = kept_away(request, self.space)
        {
            return Some(reason);
        }
        self.ask(|wrapper| wrapper.declines(operation))
    }

    fn create(space: Space) -> Result<Self, Errno> {
        Self::new(space, || W::create(space))
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<W::Allocation, Errno> {
        self.run(|wrapper| wrapper.alloc(request))
    }

    fn alloc_onto(
        &mut self,
        allocation: &mut W::Allocation,
        request: &AllocRequest,
    ) -> Result<(), Errno> {
        self.run(|wrapper| wrapper.alloc_onto(allocation, request))
    }

    fn blocks(&self, allocation: &W::Allocation, blocks: &mut Vec<Block>) {
        self.ask(|wrapper| wrapper.blocks(allocation, blocks));
    }

    fn free(&mut self, allocation: W::Allocation, cleared: bool) {
        self.run(|wrapper| wrapper.free(allocation, cleared));
    }

    fn free_block(&mut self, allocation: &mut W::Allocation, index: usize, cleared: bool) {
        self.run(|wrapper| wrapper.free_block(allocation, index, cleared));
    }

    fn trim(
        &mut self,
        allocation: &mut W::Allocation,
        start: Option<u64>,
        new_size: u64,
    ) -> Result<(), Errno> {
        self.run(|wrapper| wrapper.trim(allocation, start, new_size))
    }

    fn reset_clear(&mut self, clear: bool) {
        self.run(|wrapper| wrapper.reset_clear(clear));
    }

    fn block_at(&self, offset: u64) -> Result<Option<Block>, Errno> {
        self.ask(|wrapper| wrapper.block_at(offset))
    }

    fn fail_nth(&mut self, nth: u64, times: u64) {
        self.monitor.set_fault((times > 0).then(|| Fault::nth(nth).times(times)));
    }

    fn fini(&mut self) -> usize {
        let wrapper = self.wrapper.take();
        self.monitor.run(|| drop(wrapper));
        self.monitor.live_objects()
    }

    fn avail(&self) -> u64 {
        // After the teardown there is no wrapper.
        self.wrapper.as_ref().map_or(0, |wrapper| self.monitor.run(|| wrapper.avail()))
    }

    fn clear_avail(&self) -> u64 {
        self.monitor.clear_avail().unwrap_or(0)
    }

    fn snapshot(&self) -> Option<Snapshot> {
        self.monitor.snapshot()
    }

    fn report(&mut self) -> Report {
        let own = self.wrapper.as_mut().map(W::report).unwrap_or_default();
        let seen = self.monitor.take_seen();
        let mut misuses = seen.misuses;
        if self.wrapper.is_none() && seen.bug.is_none() {
            misuses.extend(self.monitor.finish());
        }
        Report {
            warnings: [own.warnings, seen.warnings].concat(),
            bug: own.bug.or(seen.bug),
            faulted: own.faulted || seen.faulted,
            misuses,
            ..own
        }
    }

    fn scan(&self) -> Vec<Inconsistency> {
        let Some((mut found, blocks, is)) = self.monitor.scan() else { return Vec::new() };
        let expected = self.arrays + blocks;
        if is != expected {
            found.push(Inconsistency::LiveObjects { is, expected });
        }
        found
    }

    fn free_trees(&self) -> Option<FreeTrees> {
        self.monitor.free_trees()
    }
}

impl<W: Shareable> Shareable for Judged<W> {
    fn share(&self) -> Self {
        let wrapper = Some(self.ask(W::share));
        let (monitor, space, arrays) = (Arc::clone(&self.monitor), self.space, self.arrays);
        Self { wrapper, monitor, space, arrays }
    }

    fn take_last_call(&mut self) -> Option<u64> {
        Monitor::take_last_call()
    }
}
