//! A run that continues after a finding, and keeps one finding of each kind.

use std::collections::BTreeMap;

use super::{Failure, Options, Pulse, Report, Runner};
use crate::diff::generate::Seeded;
use crate::diff::{
    Aspect, Finding, FirstFinding, Lockstep, NotCreated, Operation, Settings, Space, compare,
};

/// Findings of one kind.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Collected {
    /// The call that shows it and the aspect, such as `alloc range, clear: blocks`.
    pub kind: String,
    /// How often it occurred.
    pub count: u64,
    /// The first one, with a short trace.
    pub failure: Failure,
}

impl From<Failure> for Collected {
    fn from(failure: Failure) -> Self {
        Self { kind: failure.kind(), count: 1, failure }
    }
}

/// Runs the pairs that `start` creates until [`Options::operations`] are done or `watch` returns
/// false, and keeps one finding of each kind. Calls `found` with each new one.
pub fn collect(
    options: &Options,
    start: impl Fn(Space, Settings) -> Result<Lockstep, NotCreated>,
    mut found: impl FnMut(&Collected),
    mut watch: impl FnMut(&Report) -> bool,
) -> (Report, Vec<Collected>) {
    let pulse = &Pulse::default();
    let mut runner = Runner::new(options, &start, pulse);
    let mut choices = Seeded::new(options.seed);
    let mut kinds = Kinds::default();
    while let Some((episode, first)) = runner.next_finding(&mut choices, &mut watch) {
        let operations = runner.operations(episode, first.operations as u64).operations;
        let last = if first.at_end { None } else { operations.last() };
        let kind = kind(&first.finding, last);
        if kinds.meet(&kind) {
            continue;
        }
        // Other kinds are findings of their own.
        let alike = FirstFinding::is_same;
        // The run goes on, so `watch` must not end the shrinking.
        let failure = runner.shrink(episode, first, alike, &mut |report| {
            watch(report);
            true
        });
        kinds.add(kind, failure).map(&mut found);
    }
    (runner.report, kinds.collected)
}

/// Findings by kind: the kind when found, and the kind after shrinking.
#[derive(Default)]
struct Kinds {
    collected: Vec<Collected>,
    /// For each kind, the index of the finding that it was shrunk to.
    met: BTreeMap<String, usize>,
}

impl Kinds {
    /// Counts a kind. Returns false if it is new.
    fn meet(&mut self, kind: &str) -> bool {
        let Some(&index) = self.met.get(kind) else { return false };
        self.collected[index].count += 1;
        true
    }

    /// Records what a new kind was shrunk to. Returns the finding if that is new too.
    fn add(&mut self, met: String, failure: Failure) -> Option<&Collected> {
        let kind = failure.kind();
        let same = self.collected.iter().position(|collected| collected.kind == kind);
        let index = same.unwrap_or(self.collected.len());
        match same {
            Some(index) => self.collected[index].count += 1,
            None => self.collected.push(Collected { kind: kind.clone(), count: 1, failure }),
        }
        self.met.insert(met, index);
        self.met.insert(kind, index);
        same.is_none().then(|| &self.collected[index])
    }
}

impl Failure {
    /// The call that shows it and the aspect, such as `alloc range, clear: blocks`.
    #[must_use]
    pub fn kind(&self) -> String {
        kind(&self.finding, self.last())
    }
}

fn kind(finding: &Finding, last: Option<&Operation>) -> String {
    // A finding at the end is not caused by the last call.
    let is_of_end = match finding {
        Finding::Divergence(divergence) => {
            divergence.aspect == Aspect::Leaked
                || (last.is_none() && divergence.aspect != Aspect::Creation)
        }
        Finding::Breach(breach) => last.is_none() && !breach.is_of_creation(),
    };
    let last = if is_of_end { Some(&Operation::Fini) } else { last };
    format!("{}: {}", compare::call(last), finding.kind())
}
