//! A failure with its shrunk trace.

use core::fmt;
use std::time::Instant;

use crate::diff::shrink::{self, renamed};
use crate::diff::trace::FirstFinding;
use crate::diff::{Finding, Operation, Trace};

use super::Report;
use super::episode::{Episode, Runner};

/// A finding with the shortest trace that shows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The finding, in the shrunk trace.
    pub finding: Finding,
    /// The shortest sequence of operations found that shows it. Its last operation shows it or, if
    /// [`at_end`](Self::at_end), the end of the allocator after that.
    pub trace: Trace,
    /// Whether the end of the allocator shows it: everything is freed, the largest allocation that
    /// must then fit is made, and the allocator is torn down.
    pub at_end: bool,
    /// The number of operations before shrinking.
    pub operations: u64,
    /// Whether shrinking ran out of time.
    pub cut_short: bool,
}

impl Failure {
    pub(crate) fn new(found: FirstFinding, trace: Trace, operations: u64, cut_short: bool) -> Self {
        let FirstFinding { finding, at_end, .. } = found;
        Self { finding, trace, at_end, operations, cut_short }
    }

    /// A note for people if the end shows it, with the call if it is known.
    #[must_use]
    pub fn at_end_note(&self) -> Option<String> {
        let by = match &self.finding {
            Finding::Breach(breach) => breach.operation.as_ref(),
            Finding::Divergence(_) => None,
        };
        let by = by.map(|operation| format!(", by: {operation}")).unwrap_or_default();
        self.at_end.then(|| format!("at the end, after everything was freed{by}"))
    }

    /// The operation of the trace that shows it.
    pub(in crate::diff) fn last(&self) -> Option<&Operation> {
        self.trace.operations.last().filter(|_| !self.at_end)
    }
}

/// The finding, the promise, then the trace.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.finding)?;
        if let Finding::Breach(breach) = &self.finding {
            writeln!(f, "promised: {}", breach.promise.explanation())?;
        }
        if let Some(note) = self.at_end_note() {
            writeln!(f, "{note}")?;
        }
        let (length, all) = (self.trace.operations.len(), self.operations);
        let cut_short = if self.cut_short { ", shrinking ran out of time" } else { "" };
        if all > length as u64 {
            writeln!(f, "shrunk from {all} operations to {length}{cut_short}:\n")?;
        } else {
            writeln!(f, "in {length} operations{cut_short}:\n")?;
        }
        self.trace.fmt(f)
    }
}

impl core::error::Error for Failure {}

impl Runner<'_, '_> {
    /// Reproduces the trace of the episode that failed, and shrinks it. `alike` says whether a
    /// shorter trace shows the same failure.
    pub fn shrink(
        &self,
        episode: Episode,
        found: FirstFinding,
        alike: fn(&FirstFinding, &FirstFinding) -> bool,
        watch: &mut dyn FnMut(&Report) -> bool,
    ) -> Failure {
        let deadline = Instant::now() + self.options.shrink;
        let settings = self.settings(episode);
        let first = |trace: &Trace, check_tail_fully| {
            self.pulse.beat();
            trace.run_with(self.start, settings, check_tail_fully, &mut |_| {}).ok().flatten()
        };
        let mut stopped = false;

        let operations = found.operations as u64;
        let mut trace = self.operations(episode, operations);
        let mut found = found;
        loop {
            // With closer checks, a finding may show earlier. Then that one is shrunk.
            let mut check_tail_fully = false;
            while let Some(earlier) = first(&trace, true) {
                let is_earlier = earlier.operations < trace.operations.len();
                trace.operations.truncate(earlier.operations);
                (found, check_tail_fully) = (earlier, true);
                if !is_earlier || Instant::now() >= deadline || !watch(&self.report) {
                    break;
                }
            }
            let shrunk = shrink::shrink(trace, deadline, |trace| {
                stopped |= !watch(&self.report);
                if stopped {
                    return None;
                }
                let seen = first(trace, check_tail_fully)?;
                alike(&seen, &found).then_some(seen.operations)
            });
            trace = renamed(shrunk.trace);
            // The finding as the shrunk trace shows it.
            let seen = first(&trace, true);
            let cut_short = shrunk.cut_short || stopped;
            if check_tail_fully || seen.is_none() || cut_short {
                let seen = seen.or_else(|| first(&trace, false));
                return Failure::new(seen.unwrap_or(found), trace, operations, cut_short);
            }
        }
    }
}
