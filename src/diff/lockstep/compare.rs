//! The same operation on the reference, and what differs.

use crate::Snapshot;
use crate::diff::{
    Accounts, Aspect, Block, Capability, Comparison, Implementation, Operation, Outcome, Report,
    Step, cost,
};

use super::Lockstep;

/// The C resets the clear state of some blocks at a time. Each call leaves fewer.
const MOST_RESETS: usize = 64;

impl<S: Implementation, R: Implementation> Lockstep<S, R> {
    /// Does the operation on the reference and compares. Returns what came of it there.
    pub(super) fn compare(&mut self, operation: &Operation, step: &mut Step) -> Option<Outcome> {
        let reference = self.reference.as_mut()?;
        // The twin has no teardown.
        let tears_down = reference.implementation().capabilities().contains(Capability::Fini);
        if *operation == Operation::Fini && !tears_down {
            return None;
        }
        let outcome = reference.apply(operation);
        if self.settings.comparison != Comparison::Contract {
            self.compare_outcome(operation, outcome, step);
        }
        Some(outcome)
    }

    fn compare_outcome(&mut self, operation: &Operation, outcome: Outcome, step: &mut Step) {
        let Some(reference) = self.reference.as_mut() else { return };
        let both_are_kernels = reference.implementation().runs_kernel_code()
            && self.subject.implementation().runs_kernel_code();
        if both_are_kernels
            && let Some((aspect, ours, theirs)) =
                difference_in_reports(&self.subject.report, &reference.report)
        {
            return step.diverge(aspect, ours, theirs);
        }
        if outcome != step.outcome {
            return step.diverge(Aspect::Outcome, step.outcome, outcome);
        }
        // What has become unusable, or was torn down, has no state to compare.
        if self.contract.is_unusable() && self.subject.implementation().runs_kernel_code() {
            return self.compare_costs(operation, step);
        }
        let exact = self.settings.comparison == Comparison::Exact;
        if exact && self.subject.blocks != reference.blocks {
            let (subject, reference) = (list(&self.subject.blocks), list(&reference.blocks));
            return step.diverge(Aspect::Blocks, subject, reference);
        }
        if let Operation::ResetClear { clear } = *operation
            && reference.accounts.clear_avail != self.subject.accounts.clear_avail
        {
            self.repeat_reset(clear);
        }
        let Some(reference) = &self.reference else { return };
        let (ours, theirs) = (self.subject.accounts, reference.accounts);
        if ours.avail != theirs.avail {
            step.diverge(Aspect::Avail, ours.avail, theirs.avail);
        }
        if self.capabilities.contains(Capability::Clear) && ours.clear_avail != theirs.clear_avail {
            step.diverge(Aspect::ClearAvail, ours.clear_avail, theirs.clear_avail);
        }
        self.compare_costs(operation, step);
    }

    /// Whatever else differs comes first, since it may be why the cost does.
    fn compare_costs(&self, operation: &Operation, step: &mut Step) {
        if let (Some(steps), Some(base)) = self.costs()
            && cost::is_excessive(operation, steps, base)
        {
            step.diverge(Aspect::Cost, format!("{steps} steps"), format!("{base} steps"));
        }
    }

    /// If the C is the oracle for an implementation that misses nothing, it is asked again:
    /// what it has missed it finds in the end.
    fn repeat_reset(&mut self, clear: bool) {
        let expected = self.subject.accounts.clear_avail;
        let is_kernel = self.subject.implementation().runs_kernel_code();
        let Some(reference) = &mut self.reference else { return };
        if is_kernel || !reference.implementation().runs_kernel_code() {
            return;
        }
        for _ in 0..MOST_RESETS {
            if reference.accounts.clear_avail == expected {
                break;
            }
            reference.implementation_mut().reset_clear(clear);
            reference.accounts = Accounts::of(reference.implementation());
        }
    }

    /// Compares the trees.
    pub(super) fn compare_trees(&mut self, subject: Option<&Snapshot>, step: &mut Step) {
        if self.settings.comparison != Comparison::Exact {
            return;
        }
        let reference = self.reference.as_ref();
        let reference = reference.and_then(|driver| driver.implementation().snapshot());
        if let (Some(subject), Some(reference)) = (subject, reference)
            && *subject != reference
        {
            let (subject, reference) = first_difference(subject, &reference);
            step.diverge(Aspect::Snapshot, subject, reference);
        }
    }
}

/// In what two kernels differ that say something by themselves.
fn difference_in_reports(ours: &Report, theirs: &Report) -> Option<(Aspect, String, String)> {
    if ours.bug.is_some() != theirs.bug.is_some() {
        let text = |report: &Report| match report.bug {
            Some(bug) => bug.to_string(),
            None => "no BUG".to_owned(),
        };
        return Some((Aspect::Bug, text(ours), text(theirs)));
    }
    if ours.warnings.len() != theirs.warnings.len() {
        return Some((Aspect::Warnings, warnings(ours), warnings(theirs)));
    }
    (ours.leaked != theirs.leaked)
        .then(|| (Aspect::Leaked, ours.leaked.to_string(), theirs.leaked.to_string()))
}

fn warnings(report: &Report) -> String {
    let warnings: Vec<_> = report.warnings.iter().map(ToString::to_string).collect();
    if warnings.is_empty() { "no warning".to_owned() } else { warnings.join("; ") }
}

/// Blocks, for people.
pub(in crate::diff) fn list(blocks: &[Block]) -> String {
    let blocks: Vec<_> = blocks.iter().map(ToString::to_string).collect();
    format!("[{}]", blocks.join(", "))
}

/// The first block in which two states differ, or their accounts.
pub(in crate::diff) fn first_difference(
    subject: &Snapshot,
    reference: &Snapshot,
) -> (String, String) {
    let mut pairs = subject.blocks.iter().zip(&reference.blocks);
    match pairs.find(|(subject, reference)| subject != reference) {
        Some((subject, reference)) => (format!("{subject:?}"), format!("{reference:?}")),
        None => {
            let text = |snapshot: &Snapshot| {
                let Snapshot { avail, clear_avail, blocks, .. } = snapshot;
                format!("{} blocks, avail {avail}, clear_avail {clear_avail}", blocks.len())
            };
            (text(subject), text(reference))
        }
    }
}
