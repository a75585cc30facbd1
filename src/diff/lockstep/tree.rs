//! The whole-tree check.

use crate::Snapshot;
use crate::diff::{Breach, Contract};

use super::{Driver, Lockstep, Step};

/// Printing takes longer than most calls, so it happens once in this many operations.
const PRINT_INTERVAL: u64 = 8192;

impl Lockstep {
    /// Checks the whole state against the contract and the reference. Returns the number of blocks.
    pub(super) fn check_tree(&mut self, step: &mut Step) -> usize {
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
    pub(super) fn check_print(
        driver: &mut Driver,
        contract: &mut Contract,
        snapshot: &Snapshot,
    ) -> Vec<Breach> {
        let printed = driver.ask(|it| it.printed().map(|printed| (printed, it.report())));
        let Some((printed, report)) = printed.flatten() else { return Vec::new() };
        driver.report.bug = driver.report.bug.or(report.bug);
        let is_kernel = driver.calls().runs_kernel_code();
        contract.check_printed(&printed, is_kernel, &report, snapshot)
    }
}
