//! Runs two implementations in lockstep, and finds the first difference.

mod base;
mod compare;
mod finding;
mod finish;
mod start;
mod tree;

use crate::{KernelBug, Snapshot};

use super::contract::{Accounts, Breach, Contract, Observation};
use super::known::known;
use super::subject::{Driver, needs};
use super::{Block, Capabilities, Id, Operation, Outcome, Space};

pub(super) use compare::{first_difference, list};
pub use finding::{Aspect, Divergence, Finding, NotCreated, Step};

/// How closely two implementations are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comparison {
    /// The same blocks in the same order, and the same state.
    #[default]
    Exact,
    /// The same success or error number, and the same accounts. Operations that depend on the
    /// placement of blocks are skipped: freeing one of several blocks, trimming, lookups.
    Observable,
    /// Each keeps the contract; placements and errors may differ.
    Contract,
}

/// How to judge.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How closely the two are compared.
    pub comparison: Comparison,
    /// A whole-tree check after this many operations, and at the end. 1 checks after each
    /// operation, 0 only at the end. With any other number, a tree of many blocks is checked less
    /// often, so that the share of the checks in the run time stays about the same.
    pub full_check_interval: u64,
    /// Whether known breaches of the C are findings as well.
    pub strict: bool,
    /// Whether only divergences are findings, and breaches of the contract are not.
    pub differences_only: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            comparison: Comparison::Exact,
            full_check_interval: 256,
            strict: false,
            differences_only: false,
        }
    }
}

/// An implementation under test, in step with a reference, under the contract.
pub struct Lockstep {
    subject: Driver,
    reference: Option<Driver>,
    contract: Contract,
    /// The contract of the reference, if both are kernels.
    base: Option<Contract>,
    capabilities: Capabilities,
    settings: Settings,
    space: Space,
    steps: u64,
    /// The step of the next whole-tree check.
    next_full_check: u64,
    /// The whole-tree check at or after this step prints as well.
    next_print: u64,
    /// The BUG that the implementation under test ran into.
    bug: Option<KernelBug>,
    /// How many blocks the tree had at the last whole-tree check.
    tree_blocks: usize,
    /// An id that no allocation has used so far.
    next_id: Id,
}

impl Lockstep {
    /// Changes how often the whole tree is checked, as in
    /// [`Settings::full_check_interval`].
    pub fn set_full_check_interval(&mut self, operations: u64) {
        self.settings.full_check_interval = operations;
        self.next_full_check = self.steps + operations;
        // Who asks for each state wants all that is wrong with it.
        if operations == 1 {
            self.next_print = self.steps;
        }
    }

    /// Why the implementation under test does not do an operation; `None` if it does: see
    /// [`Implementation::declines`](crate::diff::Implementation::declines).
    #[must_use]
    pub fn declines(&self, operation: &Operation) -> Option<&'static str> {
        self.subject.calls().declines(operation)
    }

    /// The BUG that the implementation under test ran into.
    #[must_use]
    pub fn bug(&self) -> Option<KernelBug> {
        self.bug
    }

    /// How many blocks the tree of the implementation under test had at its last check. The time of
    /// a check is proportional to it.
    #[must_use]
    pub fn tree_blocks(&self) -> usize {
        self.tree_blocks
    }

    /// The whole state of the implementation under test; `None` if it does not provide one.
    pub fn snapshot(&mut self) -> Option<Snapshot> {
        self.subject.ask(|subject| subject.snapshot()).flatten()
    }

    /// The whole state of the reference; `None` if there is no reference or it does not provide
    /// one.
    pub fn reference_snapshot(&mut self) -> Option<Snapshot> {
        self.reference.as_mut()?.ask(|reference| reference.snapshot()).flatten()
    }

    /// The capabilities that both have. Other operations are skipped.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Whether the implementation under test has become unusable: nothing that it does from then on
    /// is judged.
    #[must_use]
    pub fn is_unusable(&self) -> bool {
        self.contract.is_unusable()
    }

    /// The accounts of the implementation under test after the last step.
    #[must_use]
    pub fn accounts(&self) -> Accounts {
        self.subject.accounts
    }

    /// After an allocation or a trim: the blocks that the implementation under test returned.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.subject.blocks
    }

    /// The same for the reference; empty without one.
    #[must_use]
    pub fn reference_blocks(&self) -> &[Block] {
        self.reference.as_ref().map_or(&[], |reference| &reference.blocks)
    }

    /// The cost of the last step for the implementation under test and for the reference, if they
    /// count it: see [`Report::cost`](crate::diff::Report::cost).
    #[must_use]
    pub fn costs(&self) -> (Option<u64>, Option<u64>) {
        let reference = self.reference.as_ref();
        (self.subject.report.cost, reference.and_then(|reference| reference.report.cost))
    }

    /// The contract, which keeps account of what is allocated.
    #[must_use]
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Does one operation on both, compares the results, and judges them.
    pub fn step(&mut self, operation: &Operation) -> Step {
        let mut step = Step::new(Outcome::Skipped);
        self.subject.report.cost = None;
        if let Some(reference) = &mut self.reference {
            reference.report.cost = None;
        }
        // The driver asks the subject itself before the operation.
        let declines = |driver: &Driver| driver.calls().declines(operation).is_some();
        if self.reference.as_ref().is_some_and(declines)
            || !self.capabilities.contains(needs(operation, self.space))
        {
            return step;
        }
        self.steps += 1;
        let was_unusable = self.contract.is_unusable();
        let full = self.settings.full_check_interval != 0 && self.steps >= self.next_full_check;
        let before =
            (full && Contract::judges_choice(operation)).then(|| self.snapshot()).flatten();
        let base_before = match &mut self.reference {
            Some(reference) if self.base.is_some() && before.is_some() => {
                reference.ask(|base| base.snapshot()).flatten()
            }
            _ => None,
        };

        if let (Operation::ResetClear { .. }, Some(reference)) = (operation, &mut self.reference) {
            reference.free_trees = self.subject.ask(|subject| subject.free_trees()).flatten();
        }
        step.outcome = self.subject.apply(operation);
        if step.outcome == Outcome::Skipped {
            return step;
        }
        let mut found = self.contract.check(
            operation,
            &Observation {
                outcome: step.outcome,
                blocks: &self.subject.blocks,
                accounts: self.subject.accounts,
                report: &self.subject.report,
                before: before.as_ref(),
            },
        );
        self.bug = self.bug.or(self.subject.report.bug);
        // A misuse by a wrapper is not a difference between kernels. It comes first, because it may
        // be the cause of a difference.
        let misuses = found.extract_if(.., |breach| breach.is_misuse());
        step.findings.extend(misuses.map(Finding::Breach));
        let has_base = self.base.is_some();
        let mut of_subject = Vec::new();
        if has_base {
            of_subject = found;
        } else {
            self.record(found, &mut step);
        }
        match (operation, &mut self.reference) {
            (Operation::Alloc { id, .. }, _) => {
                self.next_id = self.next_id.max(id.saturating_add(1));
            }
            // Memory fails in both, if the reference supports that.
            (&Operation::FailNth { nth, times }, Some(reference)) => {
                reference.calls_mut().fail_nth(nth, times);
            }
            _ => {}
        }
        // An unusable allocator does no more operations.
        if !was_unusable && !matches!(operation, Operation::FailNth { .. }) {
            let outcome = self.compare(operation, &mut step);
            step.reference = outcome;
            if let Some(outcome) = outcome.filter(|_| has_base) {
                let of_base = self.check_base(operation, outcome, base_before.as_ref());
                self.record_beside_base(of_subject, &of_base, &mut step);
            }
        }
        if full && !self.subject.is_finished() {
            self.tree_blocks = self.check_tree(&mut step);
            let blocks = self.tree_blocks as u64;
            let every = self.settings.full_check_interval;
            // The checks read about one block for every other operation.
            let wait = if every == 1 { 1 } else { every.max(2 * blocks) };
            self.next_full_check = self.steps + wait;
        }
        step
    }

    /// Sorts breaches into known ones and findings.
    fn record(&self, found: Vec<Breach>, step: &mut Step) {
        if self.settings.differences_only {
            return;
        }
        for breach in found {
            let kernel = self.subject.calls().kernel();
            let known = kernel.and_then(|kernel| known(&breach, kernel));
            step.known.extend(known);
            if known.is_none() || self.settings.strict {
                step.findings.push(Finding::Breach(breach));
            }
        }
    }
}
