//! What a run has done.

use core::fmt;
use std::collections::BTreeMap;

use crate::diff::cost::Costs;
use crate::diff::{Capabilities, Finding, Step, Tally};

use super::Episode;

/// What a run has done so far. [`Display`](fmt::Display) gives a few lines.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Operations done.
    pub operations: u64,
    /// Allocators made.
    pub allocators: u64,
    /// Spaces that no allocator could be made of.
    pub refused: u64,
    /// Spaces that the implementation does not support.
    pub declined: u64,
    /// Breaches that the C is known for, by name.
    pub known: BTreeMap<&'static str, u64>,
    /// Between two kernels: breaches that are present in the base, by the promise.
    pub in_base: BTreeMap<&'static str, u64>,
    /// Between two kernels: breaches of the base alone.
    pub fixed: BTreeMap<&'static str, u64>,
    /// What was met.
    pub tally: Tally,
    /// The most expensive calls, if they are kept.
    pub costs: Costs,
    /// What was neither asked for nor compared, since one of the two does not offer it.
    pub not_compared: Capabilities,
    /// The episode that is worked on.
    pub episode: Option<Episode>,
    /// Something broke, and its trace is being made short.
    pub shrinking: bool,
}

impl Report {
    /// Counts what came of a step. Returns what is wrong.
    pub(in crate::diff) fn record(&mut self, step: Step) -> Option<Finding> {
        for known in step.known {
            *self.known.entry(known.name).or_default() += 1;
        }
        for (promises, counts) in [(step.in_base, &mut self.in_base), (step.fixed, &mut self.fixed)]
        {
            for promise in promises {
                *counts.entry(promise.name()).or_default() += 1;
            }
        }
        step.findings.into_iter().next()
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.allocators += other.allocators;
        self.refused += other.refused;
        self.declined += other.declined;
        self.not_compared |= other.not_compared;
        self.tally.add(&other.tally);
        self.costs.add(&other.costs);
        for (counts, others) in [
            (&mut self.known, &other.known),
            (&mut self.in_base, &other.in_base),
            (&mut self.fixed, &other.fixed),
        ] {
            for (name, count) in others {
                *counts.entry(name).or_default() += count;
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} operations on {} allocators", self.operations, self.allocators)?;
        for (count, what) in [(self.refused, "impossible"), (self.declined, "unsupported")] {
            if count > 0 {
                write!(f, ", {count} {what} spaces")?;
            }
        }
        if !self.not_compared.is_empty() {
            let names: Vec<_> = self.not_compared.iter().map(|c| format!("{c:?}")).collect();
            write!(f, "\nnot compared: {}", names.join(", "))?;
        }
        Ok(())
    }
}
