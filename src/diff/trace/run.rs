//! Runs traces.

use std::collections::HashSet;

use crate::diff::torture::{Failure, Start};
use crate::diff::{
    Capabilities, Comparison, Finding, Implementation, KernelC, Lockstep, NotCreated, Operation,
    Settings, Space,
};

use super::Trace;

/// The first finding in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FirstFinding {
    /// The finding.
    pub finding: Finding,
    /// The number of operations up to it.
    pub operations: usize,
    /// Whether the end of the allocator shows it: everything is freed, the largest allocation that
    /// must then fit is made, and the allocator is torn down.
    pub at_end: bool,
    /// What else the same operation shows.
    pub also: Vec<Finding>,
}

impl FirstFinding {
    /// The first of some findings, if there is one.
    pub(in crate::diff) fn of(
        findings: Vec<Finding>,
        operations: usize,
        at_end: bool,
    ) -> Option<Self> {
        let mut findings = findings.into_iter();
        let finding = findings.next()?;
        Some(Self { finding, operations, at_end, also: findings.collect() })
    }

    /// Whether another trace shows a finding of the same kind first.
    pub(in crate::diff) fn is_same(&self, other: &Self) -> bool {
        self.finding.is_like(&other.finding)
    }

    /// Whether a call of another trace shows one of the same findings. Which is the first depends on
    /// details.
    pub(in crate::diff) fn is_like(&self, other: &Self) -> bool {
        let in_calls = !self.at_end && !other.at_end;
        self.is_same(other)
            || (in_calls && self.all().any(|one| other.all().any(|other| one.is_like(other))))
    }

    fn all(&self) -> impl Iterator<Item = &Finding> {
        core::iter::once(&self.finding).chain(&self.also)
    }
}

/// With `check_tail_fully`, the tree is checked after each of the last `TAIL` operations; after
/// fewer, if together they would read more than `TAIL_BLOCKS` blocks.
const TAIL: usize = 256;
const TAIL_BLOCKS: usize = 1 << 16;

impl Trace {
    /// The indices of the operations that have a line in its text: all except those on an
    /// allocation that was never made, or is freed.
    #[must_use]
    pub fn written(&self) -> Vec<usize> {
        let mut held = HashSet::new();
        let has_line = |operation: &Operation| match *operation {
            Operation::Alloc { id, .. } => {
                held.insert(id);
                true
            }
            Operation::Free { id, .. } => held.remove(&id),
            _ => operation.allocation().is_none_or(|id| held.contains(&id)),
        };
        let lines: Vec<_> = self.operations.iter().map(has_line).collect();
        (0..lines.len()).filter(|&index| lines[index]).collect()
    }

    /// The capabilities that all its operations need.
    #[must_use]
    pub fn needs(&self) -> Capabilities {
        let needs = |operation| crate::diff::subject::needs(operation, self.space);
        self.operations.iter().map(needs).fold(Capabilities::empty(), |all, one| all | one)
    }

    /// Runs the trace on the pair that `start` creates, to the first finding or the end.
    ///
    /// ```
    /// use gpu_buddy::diff::{KernelC, Lockstep, Settings, Trace, reference::Reference};
    ///
    /// let trace: Trace = "space size=1M chunk=4K\na = alloc 8K\nfree a\n".parse()?;
    /// let found = trace.run(Lockstep::new::<KernelC, Reference>, Settings::default())?;
    /// assert_eq!(found, None);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotCreated`] if its space is refused or declined.
    pub fn run(
        &self,
        start: impl Fn(Space, Settings) -> Result<Lockstep, NotCreated>,
        settings: Settings,
    ) -> Result<Option<FirstFinding>, NotCreated> {
        self.run_observed(start, settings, |_| {})
    }

    /// Like [`run`](Self::run). Calls `begun` with the index of each operation before it runs, so
    /// that a caller knows which one kills the process.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run).
    pub fn run_observed(
        &self,
        start: impl Fn(Space, Settings) -> Result<Lockstep, NotCreated>,
        settings: Settings,
        mut begun: impl FnMut(usize),
    ) -> Result<Option<FirstFinding>, NotCreated> {
        self.run_with(&start, settings, false, &mut begun)
    }

    /// Runs the trace on an implementation in lockstep with the kernel's C, with all checks
    /// after each operation: a regression test in one line.
    ///
    /// ```
    /// use gpu_buddy::diff::{Comparison, KernelC, Trace};
    ///
    /// let trace: Trace = "space size=1M chunk=4K\na = alloc 8K\nfree a\n".parse()?;
    /// // Put your implementation in the place of the C.
    /// trace.replay::<KernelC>(Comparison::Exact)?;
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first difference or broken promise. A space that is refused or declined is not an error.
    pub fn replay<S: Implementation>(&self, comparison: Comparison) -> Result<(), Box<Failure>> {
        let settings = Settings { comparison, full_check_interval: 1, ..Settings::default() };
        let found = match comparison {
            Comparison::Contract => self.run(Lockstep::alone::<S>, settings),
            _ => self.run(Lockstep::new::<S, KernelC>, settings),
        };
        match found {
            Ok(Some(found)) => {
                let operations = self.operations.len() as u64;
                Err(Box::new(Failure::new(found, self.clone(), operations, false)))
            }
            _ => Ok(()),
        }
    }

    /// With `check_tail_fully`, checks the whole tree after each of the last operations, and not
    /// before.
    pub(in crate::diff) fn run_with(
        &self,
        start: &Start<'_>,
        settings: Settings,
        check_tail_fully: bool,
        begun: &mut dyn FnMut(usize),
    ) -> Result<Option<FirstFinding>, NotCreated> {
        let mut pair = match start(self.space, settings) {
            Ok(pair) => pair,
            Err(NotCreated::Finding(finding)) => {
                return Ok(FirstFinding::of(vec![*finding], 0, false));
            }
            Err(not_created) => return Err(not_created),
        };
        let count = self.operations.len();
        if check_tail_fully {
            pair.set_full_check_interval(0);
        }
        let far_from_end = count.saturating_sub(TAIL);
        let mut near_end = far_from_end;
        for (index, operation) in self.operations.iter().enumerate() {
            if check_tail_fully && index == far_from_end {
                let blocks = pair.snapshot().map_or(0, |snapshot| snapshot.blocks.len());
                let tail = (TAIL_BLOCKS / blocks.max(1)).clamp(8, TAIL);
                near_end = count.saturating_sub(tail);
            }
            if check_tail_fully && index >= near_end {
                pair.set_full_check_interval(1);
            }
            begun(index);
            let step = pair.step(operation);
            // After a finding, the two states are not comparable.
            if let Some(found) = FirstFinding::of(step.findings, index + 1, false) {
                return Ok(Some(found));
            }
        }
        Ok(FirstFinding::of(pair.finish().findings, count, true))
    }
}
