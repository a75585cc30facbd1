//! The report of a run.

use core::fmt;
use std::collections::BTreeMap;

use crate::diff::cost::Costs;
use crate::diff::{Capabilities, Finding, Step, Tally};

use super::Episode;

/// The counts of a run so far. [`Display`](fmt::Display) gives a few lines.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Operations done.
    pub operations: u64,
    /// Allocators made.
    pub allocators: u64,
    /// Invalid spaces, which were refused.
    pub refused: u64,
    /// Spaces that the implementation does not support.
    pub declined: u64,
    /// Known breaches of the C, by name.
    pub known: BTreeMap<&'static str, u64>,
    /// Between two kernels: breaches of both, by promise.
    pub in_base: BTreeMap<&'static str, u64>,
    /// Between two kernels: breaches of the base alone, by promise.
    pub fixed: BTreeMap<&'static str, u64>,
    /// How often each kind of operation and outcome occurred.
    pub tally: Tally,
    /// The most expensive calls, if [`Options::costs`](super::Options::costs) is set.
    pub costs: Costs,
    /// The capabilities that were not used, because one of the two lacks them.
    pub not_compared: Capabilities,
    /// The current episode.
    pub episode: Option<Episode>,
    /// Whether a failing trace is being shrunk.
    pub shrinking: bool,
}

/// A run ends if the first spaces, this many, gave no allocator.
const MOST_REFUSED: u64 = 1000;

impl Report {
    /// Whether it seems that no space gives an allocator.
    pub(in crate::diff) fn has_no_space(&self) -> bool {
        self.allocators == 0 && self.refused + self.declined >= MOST_REFUSED
    }

    /// Counts the breaches of a step. Returns its findings.
    pub(in crate::diff) fn record(&mut self, step: Step) -> Vec<Finding> {
        for known in step.known {
            *self.known.entry(known.name).or_default() += 1;
        }
        for (promises, counts) in [(step.in_base, &mut self.in_base), (step.fixed, &mut self.fixed)]
        {
            for promise in promises {
                *counts.entry(promise.name()).or_default() += 1;
            }
        }
        step.findings
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
        for (count, what) in [(self.refused, "invalid"), (self.declined, "unsupported")] {
            if count > 0 {
                write!(f, ", {count} {what} {}", if count == 1 { "space" } else { "spaces" })?;
            }
        }
        if !self.not_compared.is_empty() {
            let names: Vec<_> = self.not_compared.iter().map(|c| format!("{c:?}")).collect();
            write!(f, "\nnot compared: {}", names.join(", "))?;
        }
        Ok(())
    }
}
