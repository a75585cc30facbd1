//! Two implementations, the same operations, and the first difference.

use core::fmt;

use crate::{Errno, KernelBug, Snapshot};

use super::contract::{Accounts, Breach, Contract};
use super::known::{KnownBreach, known};
use super::subject::{Driver, needs};
use super::{
    Block, Capabilities, Capability, Id, Implementation, Operation, Outcome, Report, Space,
};

/// How closely two implementations are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comparison {
    /// The same blocks in the same order, and the same state.
    #[default]
    Exact,
    /// The same success or error number, and the same accounts. What hangs on
    /// where the blocks are is not asked for: freeing one of several, trimming,
    /// looking up.
    Observable,
    /// Each keeps the contract; placements and errors may differ.
    Contract,
}

/// The first difference between two implementations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Divergence {
    /// In what they differ.
    pub aspect: Aspect,
    /// What the implementation under test says.
    pub subject: String,
    /// What the reference says.
    pub reference: String,
}

/// In what two implementations differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Aspect {
    /// Whether there can be an allocator of the space.
    Creation,
    /// Success, or the error number; or what a lookup found.
    Outcome,
    /// The blocks of an allocation.
    Blocks,
    /// Free bytes.
    Avail,
    /// Free bytes known to be zeroed.
    ClearAvail,
    /// Whether it ran into a kernel BUG.
    Bug,
    /// The warnings that were raised.
    Warnings,
    /// The objects that the teardown left behind.
    Leaked,
    /// The tree.
    Snapshot,
}

impl Aspect {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Creation => "creation",
            Self::Outcome => "outcome",
            Self::Blocks => "blocks",
            Self::Avail => "avail",
            Self::ClearAvail => "clear_avail",
            Self::Bug => "BUG",
            Self::Warnings => "warnings",
            Self::Leaked => "leaked objects",
            Self::Snapshot => "tree",
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aspect = self.aspect.name();
        write!(f, "divergence in {aspect}: {}, the reference: {}", self.subject, self.reference)
    }
}

/// Something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The two differ.
    Divergence(Divergence),
    /// The one under test broke a promise.
    Breach(Breach),
}

impl Finding {
    /// Whether another finding is of the same kind: the same aspect, or the same
    /// promise.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Divergence(a), Self::Divergence(b)) => a.aspect == b.aspect,
            (Self::Breach(a), Self::Breach(b)) => a.promise == b.promise,
            _ => false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Divergence(divergence) => divergence.fmt(f),
            Self::Breach(broken) => broken.fmt(f),
        }
    }
}

/// What came of one step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// What the implementation under test did.
    pub outcome: Outcome,
    /// What is wrong. Whoever goes on after a divergence compares two different
    /// states.
    pub findings: Vec<Finding>,
    /// Breaches that the C is known for.
    pub known: Vec<&'static KnownBreach>,
    /// The reference took over the state of the one under test, since the
    /// outcome hangs on something that it does not model.
    pub resynced: bool,
}

/// Why there is nothing to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotCreated {
    /// The space is none that an allocator can have: the error number that both gave.
    Refused(Errno),
    /// Only one of the two refused it, or it was refused for no good reason.
    Finding(Box<Finding>),
}

impl NotCreated {
    fn refused(errno: Errno, space: Space) -> Self {
        let Space { size, chunk_size, base } = space;
        let valid = chunk_size.is_power_of_two()
            && chunk_size >= 4096
            && size >= chunk_size
            && base.checked_add(size).is_some();
        if errno == Errno::EINVAL && !valid {
            return Self::Refused(errno);
        }
        match Breach::of_creation(errno, space) {
            Some(broken) => Self::Finding(Box::new(Finding::Breach(broken))),
            None => Self::Refused(errno),
        }
    }
}

impl fmt::Display for NotCreated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(errno) => write!(f, "no allocator has such a space: {errno}"),
            Self::Finding(finding) => finding.fmt(f),
        }
    }
}

impl core::error::Error for NotCreated {}

/// How to judge.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How closely the two are compared.
    pub strength: Comparison,
    /// A whole-tree check after this many operations, and at the end. 1 checks
    /// after each; 0 only at the end. Unless it is 1, a tree of many blocks is
    /// checked less often, so that the checks take the same part of the time.
    pub full_check_interval: u64,
    /// Whether breaches that the C is known for are findings as well.
    pub strict: bool,
    /// Whether only differences are findings, and no breach of the contract is one.
    pub differences_only: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            strength: Comparison::Exact,
            full_check_interval: 256,
            strict: false,
            differences_only: false,
        }
    }
}

/// The C resets the clear state of some blocks at a time. Each call leaves fewer.
const MOST_RESETS: usize = 64;

/// An implementation under test, in step with a reference, under the contract.
pub struct Lockstep<S: Implementation, R: Implementation> {
    subject: Driver<S>,
    reference: Option<Driver<R>>,
    contract: Contract,
    capabilities: Capabilities,
    settings: Settings,
    space: Space,
    steps: u64,
    /// The step of the next whole-tree check.
    next_full_check: u64,
    /// How many blocks the tree had at the last whole-tree check.
    tree_blocks: usize,
    accounts: Accounts,
    /// What the implementation under test said by itself after the last step.
    report: Report,
    /// Used for no allocation so far.
    next_id: Id,
}

impl<S: Implementation, R: Implementation> Lockstep<S, R> {
    /// Both fresh.
    ///
    /// # Errors
    ///
    /// Where not both can be made.
    pub fn new(space: Space, settings: Settings) -> Result<Self, NotCreated> {
        Self::between(S::create(space), R::create(space), space, settings)
    }

    /// Two that have just been made.
    ///
    /// # Errors
    ///
    /// Where not both could be made.
    pub fn between(
        subject: Result<S, Errno>,
        reference: Result<R, Errno>,
        space: Space,
        settings: Settings,
    ) -> Result<Self, NotCreated> {
        match (subject, reference) {
            (Ok(subject), Ok(reference)) => {
                Ok(Self::with(Driver::of(subject), Some(Driver::of(reference)), space, settings))
            }
            (Err(errno), Err(other)) if errno == other => Err(NotCreated::refused(errno, space)),
            (subject, reference) => {
                let text = |error: Option<Errno>| match error {
                    Some(errno) => errno.to_string(),
                    None => "an allocator".to_owned(),
                };
                Err(NotCreated::Finding(Box::new(Finding::Divergence(Divergence {
                    aspect: Aspect::Creation,
                    subject: text(subject.err()),
                    reference: text(reference.err()),
                }))))
            }
        }
    }

    /// Without a reference, under the contract alone.
    ///
    /// # Errors
    ///
    /// Those of [`Implementation::create`].
    pub fn alone(space: Space, settings: Settings) -> Result<Self, NotCreated> {
        Self::only(S::create(space), space, settings)
    }

    /// One that has just been made, without a reference.
    ///
    /// # Errors
    ///
    /// Where it could not be made.
    pub fn only(
        subject: Result<S, Errno>,
        space: Space,
        settings: Settings,
    ) -> Result<Self, NotCreated> {
        match subject {
            Ok(subject) => Ok(Self::with(Driver::of(subject), None, space, settings)),
            Err(errno) => Err(NotCreated::refused(errno, space)),
        }
    }

    fn with(
        subject: Driver<S>,
        reference: Option<Driver<R>>,
        space: Space,
        settings: Settings,
    ) -> Self {
        let mut capabilities = subject.implementation.capabilities();
        if let Some(reference) = &reference {
            // Faults and the teardown may be the subject's alone.
            let alone = Capability::FailNth | Capability::Fini;
            capabilities &= reference.implementation.capabilities() | alone;
        }
        // A kernel that rounds up takes the requests that another one aligns. Where it is
        // the difference that is looked for, they are asked for.
        if settings.differences_only && capabilities.contains(Capability::RoundsUp) {
            capabilities |= Capability::OffsetAlign;
        }
        if settings.strength == Comparison::Observable {
            capabilities &= !(Capability::FreeBlock | Capability::Trim | Capability::BlockAt);
        }
        let accounts = Accounts::of(&subject.implementation);
        let contract = Contract::new(space, capabilities);
        Self {
            subject,
            reference,
            contract,
            capabilities,
            settings,
            space,
            steps: 0,
            next_full_check: settings.full_check_interval,
            tree_blocks: 0,
            accounts,
            report: Report::default(),
            next_id: 0,
        }
    }

    /// Changes how often the whole tree is checked, as in
    /// [`Settings::full_check_interval`].
    pub fn set_full_check_interval(&mut self, operations: u64) {
        self.settings.full_check_interval = operations;
        self.next_full_check = self.steps + operations;
    }

    /// The implementation under test.
    #[must_use]
    pub fn subject(&self) -> &S {
        &self.subject.implementation
    }

    /// How many blocks the tree of the implementation under test had when it was last
    /// checked: what a check costs.
    #[must_use]
    pub fn tree_blocks(&self) -> usize {
        self.tree_blocks
    }

    /// The BUG that the implementation under test has run into.
    #[must_use]
    pub fn bug(&self) -> Option<KernelBug> {
        self.report.bug
    }

    /// What both offer. The rest is skipped, and not compared.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Whether the implementation under test has become unusable: nothing that it
    /// answers from there on is judged.
    #[must_use]
    pub fn is_unusable(&self) -> bool {
        self.contract.is_unusable()
    }

    /// What the implementation under test said after the last step.
    #[must_use]
    pub fn accounts(&self) -> Accounts {
        self.accounts
    }

    /// After an allocation or a trim: the blocks that the implementation under
    /// test gave.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.subject.blocks
    }

    /// Does one operation on both, compares and judges.
    pub fn step(&mut self, operation: &Operation) -> Step {
        let mut step = Step::new(Outcome::Skipped);
        // The subject is asked again as it takes the operation.
        let declines = |side: &Driver<R>| side.implementation.declines(operation).is_some();
        if self.reference.as_ref().is_some_and(declines)
            || !self.capabilities.contains(needs(operation, self.space))
        {
            return step;
        }
        self.steps += 1;
        let was_over = self.contract.is_unusable();
        let deep = self.settings.full_check_interval != 0 && self.steps >= self.next_full_check;
        let before = (deep && Contract::judges_choice(operation))
            .then(|| self.subject.implementation.snapshot())
            .flatten();

        step.outcome = self.subject.apply(operation);
        if step.outcome == Outcome::Skipped {
            return step;
        }
        let accounts = Accounts::of(&self.subject.implementation);
        self.accounts = accounts;
        self.judge(operation, accounts, before.as_ref(), &mut step);
        match (operation, &mut self.reference) {
            // The memory of both fails, if that of the reference can.
            (&Operation::FailNth { nth, times }, Some(reference)) => {
                reference.implementation.fail_nth(nth, times);
            }
            (Operation::FailNth { .. }, None) => {}
            // An unusable allocator answers no more.
            _ if was_over => {}
            _ => self.compare(operation, accounts, &mut step),
        }
        if deep && self.subject.leaked.is_none() {
            self.tree_blocks = self.judge_tree(&mut step);
            let blocks = self.tree_blocks as u64;
            let every = self.settings.full_check_interval;
            // The checks read about one block for every other operation.
            let wait = if every == 1 { 1 } else { every.max(2 * blocks) };
            self.next_full_check = self.steps + wait;
        }
        step
    }

    /// Frees everything and checks that everything is free, down to one
    /// allocation of all of it.
    pub fn finish(&mut self) -> Step {
        let mut step = Step::new(Outcome::Done);
        if self.subject.leaked.is_some() {
            return step;
        }
        self.subject.implementation.fail_nth(1, 0);
        if let Some(reference) = &mut self.reference {
            reference.implementation.fail_nth(1, 0);
        }
        self.contract.set_faulted(false);
        let contract = &mut self.contract;
        let mut broken = Vec::new();
        self.subject.free_all(|implementation, id| {
            broken.extend(contract.free(id, false, Accounts::of(implementation)));
        });
        if let Some(reference) = &mut self.reference {
            reference.free_all(|_, _| {});
        }
        broken.extend(self.contract.finish(Accounts::of(&self.subject.implementation)));
        self.settle(broken, &mut step);
        self.judge_tree(&mut step);
        if self.capabilities.contains(Capability::Range) {
            // No allocation of the trace has this name, which would be its last.
            let whole = Operation::Alloc { id: self.next_id, request: self.contract.whole() };
            let was_over = self.contract.is_unusable();
            step.outcome = self.subject.apply(&whole);
            let accounts = Accounts::of(&self.subject.implementation);
            self.judge(&whole, accounts, None, &mut step);
            if !was_over {
                self.compare(&whole, accounts, &mut step);
            }
            let free = Operation::Free { id: self.next_id - 1, cleared: false };
            self.step_into(&free, &mut step);
        }
        if self.capabilities.contains(Capability::Fini) {
            self.step_into(&Operation::Fini, &mut step);
        }
        step
    }

    /// Does one more operation at the end.
    fn step_into(&mut self, operation: &Operation, step: &mut Step) {
        let Step { findings, known, .. } = self.step(operation);
        step.findings.extend(findings);
        step.known.extend(known);
    }

    /// Holds the outcome of an operation against the contract.
    fn judge(
        &mut self,
        operation: &Operation,
        accounts: Accounts,
        before: Option<&Snapshot>,
        step: &mut Step,
    ) {
        self.report = self.subject.implementation.report();
        let report = &self.report;
        let contract = &mut self.contract;
        contract.set_faulted(report.faulted);
        // A BUG is told with its place, before what the call that it ended returns.
        let bug = report.bug.and_then(|bug| contract.bug(bug));
        let blocks = &self.subject.blocks;
        let outcome = step.outcome.errno().map_or(Ok(()), Err);
        let mut broken = match *operation {
            Operation::Alloc { id, ref request } => {
                self.next_id = self.next_id.max(id.saturating_add(1));
                let outcome = outcome.map(|()| blocks.as_slice());
                // The choice is judged against the state before it.
                let choice = match (before, outcome) {
                    (Some(before), Ok(blocks)) => contract.preferences(request, blocks, before),
                    _ => Vec::new(),
                };
                let mut broken = contract.alloc(id, request, outcome, accounts);
                broken.extend(choice);
                broken
            }
            Operation::AllocOnto { id, ref request } => {
                contract.alloc_onto(id, request, outcome, blocks, accounts)
            }
            Operation::Free { id, cleared } => contract.free(id, cleared, accounts),
            Operation::FreeBlock { id, index, cleared } => {
                contract.free_block(id, index, cleared, accounts)
            }
            Operation::Trim { id, start, new_size } => {
                contract.trim(id, start, new_size, outcome, blocks, accounts)
            }
            Operation::ResetClear { clear } => contract.reset_clear(clear, accounts),
            Operation::BlockAt { offset } => {
                let found = match step.outcome {
                    Outcome::Found(found) => Ok(found),
                    other => Err(other.errno().unwrap_or(Errno::EINVAL)),
                };
                contract.block_at(offset, found, accounts)
            }
            Operation::FailNth { .. } => Vec::new(),
            Operation::Fini => contract.fini(self.subject.leaked.unwrap_or(0), &report.warnings),
        };
        broken.extend(contract.warnings(&report.warnings));
        broken.extend(bug);
        for broken in &mut broken {
            broken.operation.get_or_insert_with(|| operation.clone());
        }
        self.settle(broken, step);
    }

    /// Holds the whole state against the contract, and against the reference.
    /// Returns how many blocks there are.
    fn judge_tree(&mut self, step: &mut Step) -> usize {
        let subject = &self.subject.implementation;
        let mut broken = self.contract.consistent(&subject.scan());
        let snapshot = subject.snapshot();
        if let Some(snapshot) = &snapshot {
            broken.extend(self.contract.snapshot(snapshot));
        }
        self.settle(broken, step);
        let blocks = snapshot.as_ref().map_or(0, |snapshot| snapshot.blocks.len());
        if self.settings.strength != Comparison::Exact {
            return blocks;
        }
        let reference = self.reference.as_ref().and_then(|side| side.implementation.snapshot());
        if let (Some(subject), Some(reference)) = (snapshot, reference)
            && subject != reference
        {
            let (subject, reference) = first_difference(&subject, &reference);
            step.diverge(Aspect::Snapshot, subject, reference);
        }
        blocks
    }

    /// Does the operation on the reference and compares.
    fn compare(&mut self, operation: &Operation, accounts: Accounts, step: &mut Step) {
        let Some(reference) = self.reference.as_mut() else { return };
        // The twin has no teardown.
        let tears_down = reference.implementation.capabilities().contains(Capability::Fini);
        if *operation == Operation::Fini && !tears_down {
            return;
        }
        let outcome = reference.apply(operation);
        if self.settings.strength == Comparison::Contract {
            return;
        }
        if reference.implementation.runs_kernel_code()
            && self.subject.implementation.runs_kernel_code()
        {
            let theirs = reference.implementation.report();
            let ours = &self.report;
            if ours.bug.is_some() != theirs.bug.is_some() {
                let text = |report: &Report| match report.bug {
                    Some(bug) => bug.to_string(),
                    None => "no BUG".to_owned(),
                };
                step.diverge(Aspect::Bug, text(ours), text(&theirs));
                return;
            }
            if ours.warnings.len() != theirs.warnings.len() {
                step.diverge(Aspect::Warnings, warnings(ours), warnings(&theirs));
                return;
            }
            if self.subject.leaked != reference.leaked {
                let text = |leaked: Option<usize>| leaked.unwrap_or(0);
                step.diverge(Aspect::Leaked, text(self.subject.leaked), text(reference.leaked));
                return;
            }
        }
        // What has become unusable, or was torn down, has no state to compare.
        if self.contract.is_unusable() && self.subject.implementation.runs_kernel_code() {
            if outcome != step.outcome {
                step.diverge(Aspect::Outcome, step.outcome, outcome);
            }
            return;
        }
        if outcome != step.outcome {
            step.diverge(Aspect::Outcome, step.outcome, outcome);
            return;
        }
        if self.settings.strength == Comparison::Exact && self.subject.blocks != reference.blocks {
            let (subject, reference) = (list(&self.subject.blocks), list(&reference.blocks));
            step.diverge(Aspect::Blocks, subject, reference);
            return;
        }
        let mut other = Accounts::of(&reference.implementation);
        if let Operation::ResetClear { clear } = *operation
            && other.clear_avail != accounts.clear_avail
        {
            let snapshot = self.subject.implementation.snapshot();
            step.resynced =
                snapshot.is_some_and(|snapshot| reference.implementation.restore(&snapshot));
            // Where the C is the reference: what it missed it finds in the end.
            // Of two kernels, it is a difference.
            let is_oracle = reference.implementation.runs_kernel_code()
                && !self.subject.implementation.runs_kernel_code();
            for _ in 0..MOST_RESETS {
                other = Accounts::of(&reference.implementation);
                if step.resynced || !is_oracle || other.clear_avail == accounts.clear_avail {
                    break;
                }
                reference.implementation.reset_clear(clear);
            }
            step.resynced |= other.clear_avail == accounts.clear_avail;
        }
        if accounts.avail != other.avail {
            step.diverge(Aspect::Avail, accounts.avail, other.avail);
        }
        if self.capabilities.contains(Capability::Clear)
            && accounts.clear_avail != other.clear_avail
        {
            step.diverge(Aspect::ClearAvail, accounts.clear_avail, other.clear_avail);
        }
    }

    /// Sorts breaches into those that are known and findings.
    fn settle(&self, broken: Vec<Breach>, step: &mut Step) {
        if self.settings.differences_only {
            return;
        }
        for broken in broken {
            let kernel = self.subject.implementation.kernel();
            let known = kernel.and_then(|kernel| known(&broken, kernel));
            step.known.extend(known);
            if known.is_none() || self.settings.strict {
                step.findings.push(Finding::Breach(broken));
            }
        }
    }
}

impl Step {
    fn new(outcome: Outcome) -> Self {
        Self { outcome, findings: Vec::new(), known: Vec::new(), resynced: false }
    }

    fn diverge(&mut self, aspect: Aspect, subject: impl ToString, reference: impl ToString) {
        let (subject, reference) = (subject.to_string(), reference.to_string());
        self.findings.push(Finding::Divergence(Divergence { aspect, subject, reference }));
    }
}

/// Warnings, for people.
fn warnings(report: &Report) -> String {
    let warnings: Vec<_> = report.warnings.iter().map(ToString::to_string).collect();
    if warnings.is_empty() { "no warning".to_owned() } else { warnings.join("; ") }
}

/// Blocks, for people.
pub(super) fn list(blocks: &[Block]) -> String {
    let blocks: Vec<_> = blocks.iter().map(ToString::to_string).collect();
    format!("[{}]", blocks.join(", "))
}

/// The first block in which two states differ, or their accounts.
pub(super) fn first_difference(subject: &Snapshot, reference: &Snapshot) -> (String, String) {
    let mut pairs = subject.blocks.iter().zip(&reference.blocks);
    match pairs.find(|(subject, reference)| subject != reference) {
        Some((subject, reference)) => (format!("{subject:?}"), format!("{reference:?}")),
        None => {
            let text = |snapshot: &Snapshot| {
                let Snapshot { avail, clear_avail, .. } = snapshot;
                format!(
                    "{} blocks, avail {avail}, clear_avail {clear_avail}",
                    snapshot.blocks.len()
                )
            };
            (text(subject), text(reference))
        }
    }
}
