//! Where the operations of an episode come from.

use crate::diff::loads::Workload;
use crate::diff::{Block, Capabilities, Contract, Load, Operation, Outcome, Space};

use super::{Choices, Generator, Seeded};

/// The operations of an episode: of a mixture, or of a driver.
pub(in crate::diff) enum Source {
    Mixture(Box<Generator<Seeded>>),
    Load(Box<Workload>),
}

impl Source {
    pub fn new(
        load: Option<Load>,
        seed: u64,
        space: Space,
        capabilities: Capabilities,
        faults: f64,
    ) -> Self {
        let choices = Seeded::new(seed);
        match load {
            None => Self::Mixture(Box::new(Generator::new(choices, space, capabilities, faults))),
            Some(load) => {
                Self::Load(Box::new(Workload::new(load, choices, space, capabilities, faults)))
            }
        }
    }

    /// After so many operations everything has been freed, and the allocator torn down in
    /// the state that it is in.
    pub fn end_with_fini(&mut self, operations: u64) {
        match self {
            Self::Mixture(generator) => generator.end_with_fini(operations),
            Self::Load(workload) => workload.end_with_fini(operations),
        }
    }

    /// The next operation, for an allocator with what `contract` knows to be allocated.
    pub fn next(&mut self, contract: Option<&Contract>) -> Operation {
        match self {
            Self::Mixture(generator) => generator.next(contract),
            Self::Load(workload) => workload.next(),
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
        match self {
            Self::Mixture(generator) => generator.observe(operation, outcome, blocks, avail),
            Self::Load(workload) => workload.observe(operation, outcome, blocks, avail),
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
