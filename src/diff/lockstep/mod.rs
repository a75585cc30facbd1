//! Runs two implementations in lockstep, and finds the first difference.

mod base;
mod compare;
mod finding;
mod start;

use crate::{AllocRequest, KernelBug, Snapshot};

use super::contract::{Accounts, Breach, Contract, Observation};
use super::known::known;
use super::subject::{Driver, needs};
use super::{Block, Capabilities, Capability, Id, Implementation, Operation, Outcome, Space};

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
pub struct Lockstep<S: Implementation, R: Implementation> {
    subject: Driver<S>,
    reference: Option<Driver<R>>,
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

/// A call that prints takes longer than most: of so many operations, one is followed by it.
const PRINT_INTERVAL: u64 = 8192;

impl<S: Implementation, R: Implementation> Lockstep<S, R> {
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

    /// The implementation under test.
    #[must_use]
    pub fn subject(&self) -> &S {
        self.subject.implementation()
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
        let declines = |driver: &Driver<R>| driver.implementation().declines(operation).is_some();
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
                reference.implementation_mut().fail_nth(nth, times);
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

    /// Ends the run: frees everything and checks that all is free, makes the largest allocation
    /// that must then fit, and tears the allocator down. Before that, creates other allocators of
    /// the same space with too little memory for their own objects.
    pub fn finish(&mut self) -> Step {
        let mut step = Step::new(Outcome::Done);
        self.check_creation(&mut step);
        if self.subject.is_finished() {
            return step;
        }
        self.settings.full_check_interval = 0;
        self.step_into(&Operation::FailNth { nth: 1, times: 0 }, &mut step);
        for id in self.subject.allocated() {
            self.step_into(&Operation::Free { id, cleared: false }, &mut step);
        }
        let found = self.contract.check_all_free(self.subject.accounts);
        match (&mut self.base, &self.reference) {
            (Some(base), Some(reference)) => {
                let of_base = base.check_all_free(reference.accounts);
                self.record_beside_base(found, &of_base, &mut step);
            }
            _ => self.record(found, &mut step),
        }
        self.check_tree(&mut step);
        // No allocation of the trace has this id.
        let id = self.next_id;
        let request = self.whole_space_request();
        step.outcome = self.step_into(&Operation::Alloc { id, request }, &mut step);
        self.step_into(&Operation::Free { id, cleared: false }, &mut step);
        self.step_into(&Operation::Fini, &mut step);
        step
    }

    /// Judges creations during which memory runs out.
    fn check_creation(&mut self, step: &mut Step) {
        fn judge<I: Implementation>(driver: &mut Driver<I>, space: Space) -> Vec<Breach> {
            let creations = driver.ask(|it| it.creations_without_memory()).unwrap_or_default();
            let judge =
                |(outcome, report)| Breach::of_creation_without_memory(outcome, &report, space);
            creations.into_iter().filter_map(judge).collect()
        }
        let mut found = judge(&mut self.subject, self.space);
        found.dedup_by_key(|breach| breach.promise);
        match &mut self.reference {
            Some(reference) if self.base.is_some() => {
                let of_base = judge(reference, self.space);
                self.record_beside_base(found, &of_base, step);
            }
            _ => self.record(found, step),
        }
    }

    /// Does one more operation and adds its result to `step`.
    fn step_into(&mut self, operation: &Operation, step: &mut Step) -> Outcome {
        let Step { outcome, findings, known, in_base, new, fixed, .. } = self.step(operation);
        step.findings.extend(findings);
        step.known.extend(known);
        step.in_base.extend(in_base);
        step.new.extend(new);
        step.fixed.extend(fixed);
        outcome
    }

    /// The largest request that must fit when everything is free, in the form that tests merging
    /// best: the whole space as one exact range, or else the largest root as one block, or else the
    /// whole space in any blocks.
    fn whole_space_request(&self) -> AllocRequest {
        let Space { size, chunk_size, .. } = self.contract.space();
        let root = chunk_size << (size / chunk_size).max(1).ilog2();
        let request = AllocRequest { min_block_size: chunk_size, ..AllocRequest::default() };
        if self.capabilities.contains(Capability::Range) {
            AllocRequest { end: size, size, range: true, ..request }
        } else if self.capabilities.contains(Capability::Contiguous) {
            let flags = crate::GpuBuddyAllocFlag::Contiguous.into();
            AllocRequest { size: root, flags, ..request }
        } else if self.capabilities.contains(Capability::Alignment) {
            AllocRequest { size: root, min_block_size: root, ..request }
        } else {
            AllocRequest { size, ..request }
        }
    }

    /// Checks the whole state against the contract and the reference. Returns the number of blocks.
    fn check_tree(&mut self, step: &mut Step) -> usize {
        let read = self.subject.ask(|subject| (subject.scan(), subject.snapshot()));
        let Some((inconsistencies, snapshot)) = read else { return 0 };
        let mut found = self.contract.check_tree(snapshot.as_ref(), &inconsistencies);
        // What is broken is not to be printed.
        let prints = self.steps >= self.next_print && found.is_empty();
        if let Some(snapshot) = snapshot.as_ref().filter(|_| prints) {
            found = Self::check_print(&mut self.subject, &mut self.contract, snapshot);
            self.bug = self.bug.or(self.subject.report.bug);
            self.next_print = self.steps + PRINT_INTERVAL;
        }
        if self.base.is_some() {
            self.compare_trees(snapshot.as_ref(), step);
            let of_base = self.check_base_tree(prints);
            self.record_beside_base(found, &of_base, step);
        } else {
            self.record(found, step);
            self.compare_trees(snapshot.as_ref(), step);
        }
        snapshot.map_or(0, |snapshot| snapshot.blocks.len())
    }

    /// Makes an allocator print its state, and checks the figures.
    fn check_print<I: Implementation>(
        driver: &mut Driver<I>,
        contract: &mut Contract,
        snapshot: &Snapshot,
    ) -> Vec<Breach> {
        let print = |it: &mut I| it.printed().map(|printed| (printed, it.report()));
        let Some((printed, report)) = driver.ask(print).flatten() else { return Vec::new() };
        driver.report.bug = driver.report.bug.or(report.bug);
        contract.check_printed(&printed, &report, snapshot)
    }

    /// Sorts breaches into known ones and findings.
    fn record(&self, found: Vec<Breach>, step: &mut Step) {
        if self.settings.differences_only {
            return;
        }
        for breach in found {
            let kernel = self.subject.implementation().kernel();
            let known = kernel.and_then(|kernel| known(&breach, kernel));
            step.known.extend(known);
            if known.is_none() || self.settings.strict {
                step.findings.push(Finding::Breach(breach));
            }
        }
    }
}
