//! Decides when to check the whole tree, so that the checks take a bounded part of the time.

use gpu_buddy::diff::{Finding, Lockstep, NotCreated, Trace};

/// If the checks of a trace visit fewer blocks than this, about 0.5 s, the tree is checked after
/// each operation.
const CREDIT: u64 = 4 << 20;

/// Each operation adds this many visits.
const CREDIT_BY_OPERATION: u64 = 64;

/// Decides after which operations the whole tree is checked.
pub struct Checks {
    /// How many blocks may still be visited.
    credit: u64,
    operations: usize,
    /// Operations so far.
    done: usize,
    checked: usize,
    /// The last operation that was checked, by its index.
    last: Option<usize>,
}

impl Checks {
    pub fn new(operations: usize) -> Self {
        Self::with_credit(operations, CREDIT)
    }

    /// The same with another number of visits at the start.
    pub fn with_credit(operations: usize, credit: u64) -> Self {
        Self { credit, operations, done: 0, checked: 0, last: None }
    }

    /// Whether to check after the next operation. A check visits about `blocks` blocks. The last
    /// operation is always checked.
    pub fn next(&mut self, blocks: usize) -> bool {
        self.done += 1;
        self.credit += CREDIT_BY_OPERATION;
        self.credit >= blocks as u64 || self.done == self.operations
    }

    /// Records that the operation with this index was checked, which visited `blocks` blocks.
    /// Returns the operation that was checked before it.
    pub fn checked(&mut self, index: usize, blocks: usize) -> Option<usize> {
        self.credit = self.credit.saturating_sub(blocks as u64);
        self.checked += 1;
        self.last.replace(index)
    }

    /// How many operations were checked, if not all of them.
    pub fn left_out(&self) -> Option<usize> {
        (self.checked < self.done).then_some(self.checked)
    }
}

/// The index of the first operation after which a check finds `finding`. It was found after
/// operation `found`, and not after `clean`.
pub fn first_shown(
    trace: &Trace,
    start: impl Fn() -> Result<Lockstep, NotCreated>,
    clean: Option<usize>,
    found: usize,
    finding: &Finding,
) -> usize {
    let shows = |index: usize| {
        let Ok(mut pair) = start() else { return false };
        pair.set_full_check_interval(0);
        for operation in &trace.operations[..index] {
            pair.step(operation);
        }
        pair.set_full_check_interval(1);
        let step = pair.step(&trace.operations[index]);
        step.findings.iter().any(|other| other.is_like(finding))
    };
    // In most cases the last operation causes it.
    if found == 0 || !shows(found - 1) {
        return found;
    }
    let mut unseen = clean.map_or(0, |clean| clean + 1)..found - 1;
    while !unseen.is_empty() {
        let middle = unseen.start + (unseen.end - unseen.start) / 2;
        if shows(middle) {
            unseen.end = middle;
        } else {
            unseen.start = middle + 1;
        }
    }
    unseen.end
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The visits and the checked operations of a trace whose tree has `blocks` blocks.
    fn visits(operations: usize, blocks: usize) -> (u64, usize) {
        let mut checks = Checks::new(operations);
        let mut visits = 0;
        for index in 0..operations {
            if checks.next(blocks) {
                visits += blocks as u64;
                checks.checked(index, blocks);
            }
        }
        (visits, checks.left_out().unwrap_or(operations))
    }

    #[test]
    fn a_small_tree_is_checked_each_time() {
        assert_eq!(visits(400, 10_000), (4_000_000, 400));
        assert_eq!(visits(1_000_000, 64), (64_000_000, 1_000_000));
    }

    #[test]
    fn the_checks_are_bounded() {
        for (operations, blocks) in [(12_000, 10_000), (100_000, 1_000_000), (3, 1 << 30)] {
            let (visits, checked) = visits(operations, blocks);
            let most = CREDIT + CREDIT_BY_OPERATION * operations as u64 + blocks as u64;
            assert!(visits <= most, "{visits} visits");
            assert!(checked >= 1);
        }
    }
}
