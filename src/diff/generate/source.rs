//! Where the operations of an episode come from.

use crate::diff::loads::Workload;
use crate::diff::{Block, Capabilities, Capability, Contract, Load, Operation, Outcome, Space};

use super::{Choices, Generator, Seeded};

/// The operations of an episode: of a mixture, or of a driver.
pub(in crate::diff) struct Source {
    kind: Kind,
    /// How many operations are to come, if everything is freed by the last ones and then
    /// torn down.
    left: Option<u64>,
}

enum Kind {
    Mixture(Box<Generator<Seeded>>),
    Load(Box<Workload>),
}

impl Source {
    /// With `ends_after`, everything has been freed after so many operations, and the
    /// allocator torn down in the state that it is in.
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

    /// The next operation, for an allocator with what `contract` knows to be allocated.
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

    /// How many allocations are alive.
    fn alive(&self) -> u64 {
        let alive = match &self.kind {
            Kind::Mixture(generator) => generator.alive(),
            Kind::Load(workload) => workload.alive(),
        };
        alive as u64
    }

    /// Frees one of those that are alive.
    fn free_one(&mut self) -> Operation {
        match &mut self.kind {
            Kind::Mixture(generator) => generator.free(),
            Kind::Load(workload) => workload.free_first(),
        }
    }

    /// What came of the operation that was made last. `blocks` are those of the
    /// allocation, after an allocation or a trim.
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

/// The space of an episode: of a card of that driver, or at random.
pub(in crate::diff) fn space_for(load: Option<Load>, choices: &mut impl Choices) -> Space {
    match load {
        Some(load) => load.draw_space(choices),
        None => super::space(choices),
    }
}
