//! Does the same operation on the reference, and compares.

use crate::Snapshot;
use crate::diff::{
    Aspect, Block, Capability, Comparison, Operation, Outcome, Report, Step, cost, format_size,
};

use super::Lockstep;

/// A limit for repeated resets. Each call of the C misses fewer blocks than the one before.
const MOST_RESETS: usize = 64;

impl Lockstep {
    /// Does the operation on the reference and compares. Returns its outcome there.
    pub(super) fn compare(&mut self, operation: &Operation, step: &mut Step) -> Option<Outcome> {
        let reference = self.reference.as_mut()?;
        // The reference model has no teardown.
        let tears_down = reference.calls().capabilities().contains(Capability::Fini);
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
        if self.base.is_some()
            && let Some((aspect, ours, theirs)) =
                difference_in_reports(&self.subject.report, &reference.report)
        {
            return step.diverge(aspect, ours, theirs);
        }
        if outcome != step.outcome {
            return step.diverge(Aspect::Outcome, step.outcome, outcome);
        }
        // After a BUG or a teardown there is no state to compare.
        if self.contract.is_unusable() && self.subject.calls().runs_kernel_code() {
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

    /// Reported last: another difference may be the cause of this one.
    fn compare_costs(&self, operation: &Operation, step: &mut Step) {
        if let (Some(steps), Some(base)) = self.costs()
            && cost::is_excessive(operation, steps, base)
        {
            step.diverge(Aspect::Cost, format!("{steps} steps"), format!("{base} steps"));
        }
    }

    /// `gpu_buddy_reset_clear()` misses some blocks. If the C is the reference of an implementation
    /// that misses none, it is called again until it has reached all.
    fn repeat_reset(&mut self, clear: bool) {
        let expected = self.subject.accounts.clear_avail;
        let is_kernel = self.subject.calls().runs_kernel_code();
        let Some(reference) = &mut self.reference else { return };
        if is_kernel || !reference.calls().runs_kernel_code() {
            return;
        }
        for _ in 0..MOST_RESETS {
            if reference.accounts.clear_avail == expected {
                break;
            }
            reference.calls_mut().reset_clear(clear);
            reference.accounts = reference.calls().accounts();
        }
    }

    /// Compares the trees.
    pub(super) fn compare_trees(&mut self, subject: Option<&Snapshot>, step: &mut Step) {
        if self.settings.comparison != Comparison::Exact {
            return;
        }
        let reference = self.reference.as_ref();
        let reference = reference.and_then(|driver| driver.calls().snapshot());
        if let (Some(subject), Some(reference)) = (subject, reference)
            && *subject != reference
        {
            let (subject, reference) = first_difference(subject, &reference);
            step.diverge(Aspect::Snapshot, subject, reference);
        }
    }
}

/// The first difference in what two kernels report by themselves: BUGs, warnings, leaks.
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

/// Formats blocks for people.
pub(in crate::diff) fn list(blocks: &[Block]) -> String {
    let blocks: Vec<_> = blocks.iter().map(ToString::to_string).collect();
    format!("[{}]", blocks.join(", "))
}

/// The first block that differs between two states, or else their accounts.
pub(in crate::diff) fn first_difference(
    subject: &Snapshot,
    reference: &Snapshot,
) -> (String, String) {
    let mut pairs = subject.blocks.iter().zip(&reference.blocks);
    match pairs.find(|(subject, reference)| subject != reference) {
        Some((block, other)) => (block_in_words(subject, block), block_in_words(reference, other)),
        None => (accounts(subject), accounts(reference)),
    }
}

fn block_in_words(snapshot: &Snapshot, block: &crate::BlockInfo) -> String {
    use crate::BlockState;

    let size = format_size(snapshot.block_size(block));
    let state = match (block.state, block.clear) {
        (BlockState::Split, _) => "split",
        (BlockState::Free, false) => "free and dirty",
        (BlockState::Free, true) => "free and clear",
        (BlockState::Allocated, false) => "allocated and dirty",
        (BlockState::Allocated, true) => "allocated and clear",
    };
    format!("the block of {size} at {} is {state}", format_size(block.offset))
}

fn accounts(snapshot: &Snapshot) -> String {
    let Snapshot { avail, clear_avail, blocks, .. } = snapshot;
    let (avail, clear_avail) = (format_size(*avail), format_size(*clear_avail));
    format!("{} blocks, avail is {avail}, clear_avail is {clear_avail}", blocks.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlockInfo, BlockState};

    #[test]
    fn differences_are_in_words() {
        let block = |offset, state, clear| BlockInfo { offset, order: 1, state, clear };
        let first = block(0, BlockState::Split, false);
        let second = block(8192, BlockState::Allocated, true);
        let blocks = vec![first, second];
        let one = Snapshot { chunk_size: 4096, size: 16384, avail: 8192, clear_avail: 0, blocks };
        let mut other = one.clone();
        other.blocks[1] = block(16384, BlockState::Free, false);
        let words = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        let expected = words(
            "the block of 8K at 8K is allocated and clear",
            "the block of 8K at 16K is free and dirty",
        );
        assert_eq!(first_difference(&one, &other), expected);
        other = Snapshot { clear_avail: 4096, ..one.clone() };
        let expected = words(
            "2 blocks, avail is 8K, clear_avail is 0",
            "2 blocks, avail is 8K, clear_avail is 4K",
        );
        assert_eq!(first_difference(&one, &other), expected);
    }
}
