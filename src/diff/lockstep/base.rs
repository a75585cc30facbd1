//! One kernel as the base of another. A promise that both break in the same call is an old breach;
//! one that only one of them breaks is new or fixed. This needs no list of known breaches.

use crate::Snapshot;
use crate::diff::{Breach, Finding, Observation, Operation, Outcome, Promise, Step};

use super::Driver;
use super::Lockstep;

impl Lockstep {
    /// Whether subject and reference are both kernels, so that the reference's own breaches count
    /// too.
    pub(super) fn has_base(driver: &Driver, reference: Option<&Driver>) -> bool {
        driver.calls().runs_kernel_code()
            && reference.is_some_and(|driver| driver.calls().runs_kernel_code())
    }

    /// The promises that the base broke in this operation, which it has just done.
    pub(super) fn check_base(
        &mut self,
        operation: &Operation,
        outcome: Outcome,
        before: Option<&Snapshot>,
    ) -> Vec<Breach> {
        let (Some(base), Some(reference)) = (&mut self.base, &self.reference) else {
            return Vec::new();
        };
        let seen = Observation {
            outcome,
            blocks: &reference.blocks,
            accounts: reference.accounts,
            report: &reference.report,
            before,
        };
        base.check(operation, &seen)
    }

    /// The breaches in the tree of the base.
    pub(super) fn check_base_tree(&mut self, prints: bool) -> Vec<Breach> {
        let (Some(base), Some(reference)) = (&mut self.base, &mut self.reference) else {
            return Vec::new();
        };
        let read = reference.ask(|base| (base.scan(), base.snapshot()));
        let Some((inconsistencies, snapshot)) = read else { return Vec::new() };
        let mut found = base.check_tree(snapshot.as_ref(), &inconsistencies);
        if let Some(snapshot) = snapshot.filter(|_| prints && found.is_empty()) {
            found = Self::check_print(reference, base, &snapshot);
        }
        found
    }

    /// Sorts the breaches of both. `in_base` are those of the reference.
    pub(super) fn record_beside_base(
        &self,
        found: Vec<Breach>,
        in_base: &[Breach],
        step: &mut Step,
    ) {
        let has = |breaches: &[Breach], promise: Promise| {
            breaches.iter().any(|breach| breach.promise == promise)
        };
        let fixed = in_base.iter().map(|breach| breach.promise);
        step.fixed.extend(fixed.filter(|&promise| !has(&found, promise)));
        for breach in found {
            if has(in_base, breach.promise) {
                step.in_base.push(breach.promise);
                if !self.settings.strict {
                    continue;
                }
            } else {
                step.new.push(breach.promise);
            }
            if !self.settings.differences_only {
                step.findings.push(Finding::Breach(breach));
            }
        }
        for finding in &mut step.findings {
            if let Finding::Divergence(divergence) = finding {
                divergence.new.clone_from(&step.new);
                divergence.fixed.clone_from(&step.fixed);
            }
        }
    }
}
