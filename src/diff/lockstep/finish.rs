//! The end of a run.

use crate::AllocRequest;
use crate::diff::{Breach, Capability, Operation, Outcome, Space};

use super::{Driver, Lockstep, Step};

impl Lockstep {
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
        for id in self.subject.calls().allocated() {
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
        fn judge(driver: &mut Driver, space: Space) -> Vec<Breach> {
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
}
