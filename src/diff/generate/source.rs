//! The source of an episode's operations.

use crate::diff::loads::Workload;
use crate::diff::{Block, Capabilities, Capability, Contract, Load, Operation, Outcome, Space};

use super::{Generator, Seeded};

/// The operations of an episode: a random mixture, or the load of a driver.
pub(in crate::diff) struct Source {
    kind: Kind,
    /// How many operations are left, if the last ones free everything and tear the allocator down.
    left: Option<u64>,
}

enum Kind {
    Mixture(Box<Generator<Seeded>>),
    Load(Box<Workload>),
}

impl Source {
    /// With `ends_after`, everything is freed and the allocator torn down within this many
    /// operations. Its memory may be set to fail then.
    pub fn new(
        load: Option<Load>,
        seed: u64,
        space: Space,
        capabilities: Capabilities,
        faults: f64,
        ends_after: Option<u64>,
    ) -> Self {
        let choices = Seeded::new(seed);
        let kind = match load {
            None => Kind::Mixture(Box::new(Generator::new(choices, space, capabilities, faults))),
            Some(load) => {
                Kind::Load(Box::new(Workload::new(load, choices, space, capabilities, faults)))
            }
        };
        let left = ends_after.filter(|_| capabilities.contains(Capability::Fini));
        Self { kind, left }
    }

    /// The next operation. `contract` knows what is allocated.
    pub fn next(&mut self, contract: Option<&Contract>) -> Operation {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
            match (*left, self.alive()) {
                (0, 0) => return Operation::Fini,
                (_, 0) => {}
                (left, alive) if left <= alive => return self.free_one(),
                _ => {}
            }
        }
        match &mut self.kind {
            Kind::Mixture(generator) => generator.next(contract),
            Kind::Load(workload) => workload.next(),
        }
    }

    /// The number of allocations that are alive.
    fn alive(&self) -> u64 {
        let alive = match &self.kind {
            Kind::Mixture(generator) => generator.alive(),
            Kind::Load(workload) => workload.alive(),
        };
        alive as u64
    }

    /// Frees one allocation.
    fn free_one(&mut self) -> Operation {
        match &mut self.kind {
            Kind::Mixture(generator) => generator.free(),
            Kind::Load(workload) => workload.free_first(),
        }
    }

    /// Records the outcome of the last operation. `blocks` are those of the allocation, after an
    /// allocation or a trim.
    pub fn observe(
        &mut self,
        operation: &Operation,
        outcome: Outcome,
        blocks: &[Block],
        avail: u64,
    ) {
        match &mut self.kind {
            Kind::Mixture(generator) => generator.observe(operation, outcome, blocks, avail),
            Kind::Load(workload) => workload.observe(operation, outcome, blocks, avail),
        }
    }
}
