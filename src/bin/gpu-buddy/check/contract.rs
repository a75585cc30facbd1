//! The breaches of the contract in each kernel: new, fixed, or in both.

use std::path::Path;
use std::time::Instant;

use super::judge::{self, Elsewhere, Place, Subject};
use super::report::{Found, Mark, Part, Relation, Step, count};
use super::run::{BREAKS, KEEPS, Results, Run, plural};

/// Replays the findings of one kernel on the other.
pub struct Judge<'a> {
    pub patched: &'a Subject,
    pub base: &'a Subject,
    pub place: &'a Path,
    /// A finding that is not replayed by then counts as new.
    pub deadline: Instant,
}

/// The runs under the contract alone, with failing memory, and with threads.
pub fn step(
    results: &Results,
    judge: &Judge<'_>,
    differences: &[Found],
    findings: &mut Vec<Found>,
) -> Step {
    let part = Part::Contract;
    let failures: Vec<_> = [Run::Contract, Run::Faults, Run::Threads]
        .into_iter()
        .filter_map(|run| results.failure(run))
        .collect();
    let mut found = judge.sort(
        [Run::Contract, Run::Faults].map(|run| results.torture_findings(run, part)).concat(),
        [Run::BaseContract, Run::BaseFaults]
            .map(|run| results.torture_findings(run, part))
            .concat(),
    );
    let of_threads = results.torture_findings(Run::Threads, part).into_iter();
    found.extend(
        of_threads.map(|found| Found { kind: format!("threads: {}", found.kind), ..found }),
    );
    let known = judge.known();
    let has_time = Instant::now() < judge.deadline;
    let in_both = known.iter().filter(|found| found.relation == Relation::InBoth).count();
    found.extend(known);
    // The lockstep has reported these already.
    found.retain(|found| !differences.iter().any(|other| is_told(found, other)));

    let of = |relation| found.iter().filter(move |found| found.relation == relation).count();
    let (new, fixed) = (of(Relation::New), of(Relation::Fixed));
    let (both, mut parts) = (of(Relation::InBoth) - in_both, Vec::new());
    parts.push(match new {
        0 => "no new breach".to_owned(),
        new => plural(new, "new breach").replace("breachs", "breaches"),
    });
    if fixed > 0 {
        parts.push(format!("{fixed} fixed"));
    }
    if both > 0 {
        parts.push(format!("{both} in both"));
    }
    if in_both > 0 {
        parts.push(format!("{} in both", plural(in_both, "known quirk")));
    }
    if !has_time {
        parts.push("not all known quirks replayed".to_owned());
    }
    parts.extend(failures.iter().cloned());
    let operations = [Run::Contract, Run::Faults, Run::Threads].map(|run| results.operations(run));
    let operations = count(operations.into_iter().sum());
    let mark = match (new > 0, failures.is_empty(), fixed > 0) {
        (true, ..) => Mark::Failed,
        (_, false, _) => Mark::NoResult,
        (.., true) => Mark::Changed,
        _ => Mark::Passed,
    };
    findings.extend(found);
    Step { part, mark, summary: format!("{} in {operations} operations", parts.join(", ")) }
}

/// Whether the lockstep shows this breach too: the same promise in the same kind of call.
fn is_told(found: &Found, other: &Found) -> bool {
    let call = |kind: &str| kind.rsplit_once(": ").map(|(call, _)| call.to_owned());
    let promise = found.kind.rsplit_once(": ").map_or("", |(_, promise)| promise);
    found.relation == other.relation
        && call(&found.kind) == call(&other.kind)
        && other.lines.iter().any(|line| {
            (line.starts_with(BREAKS) || line.starts_with(KEEPS)) && line.contains(promise)
                || found.lines.first() == Some(line)
        })
}

impl Judge<'_> {
    /// Replays the findings of each kernel on the other.
    fn sort(&self, patched: Vec<Found>, base: Vec<Found>) -> Vec<Found> {
        let folder = self.place.join("judge");
        let place = Place { folder: &folder, deadline: self.deadline };
        let traces = |found: &[Found]| -> Vec<String> {
            found.iter().map(|found| found.trace.clone().unwrap_or_default()).collect()
        };
        let (ours, theirs) = (distinct(patched), distinct(base));
        let in_base = judge::elsewhere(&traces(&ours), self.patched, self.base, place);
        let mut found: Vec<_> = ours
            .into_iter()
            .zip(in_base)
            .map(|(mut found, in_base)| {
                // Without a trace: whether the base died too.
                let both_died = found.trace.is_none()
                    && theirs.iter().any(|other| other.trace.is_none() && other.dies());
                if in_base == Elsewhere::TheSame || both_died {
                    found.relation = Relation::InBoth;
                }
                if in_base == Elsewhere::NotKnown {
                    found.lines.push("not replayed on the base: out of time".to_owned());
                }
                found
            })
            .collect();
        let in_patched = judge::elsewhere(&traces(&theirs), self.base, self.patched, place);
        let fixed =
            theirs.into_iter().zip(in_patched).filter(|(_, here)| *here == Elsewhere::Nothing);
        found.extend(fixed.map(|(found, _)| Found { relation: Relation::Fixed, ..found }));
        found
    }

    /// Finds out which of the two kernels crashes or hangs in the lockstep.
    pub fn attribute(&self, found: &mut Found) {
        if !found.dies() {
            return;
        }
        let folder = self.place.join("deaths");
        let place = Place { folder: &folder, deadline: self.deadline };
        let dies =
            |subject| found.trace.as_ref().is_some_and(|trace| judge::dies(trace, subject, place));
        (found.relation, found.lines) = match (dies(self.patched), dies(self.base)) {
            (true, true) => (Relation::InBoth, found.lines.clone()),
            (true, false) => (Relation::New, found.lines.clone()),
            (false, true) => {
                (Relation::Fixed, vec![format!("the base: {}", found.lines.join("; "))])
            }
            // The runs of each kernel alone decide.
            (false, false) => {
                let which = "in one of the two kernels; alone, neither shows it".to_owned();
                (Relation::Different, [found.lines.clone(), vec![which]].concat())
            }
        };
    }

    /// The known findings that these two kernels show.
    fn known(&self) -> Vec<Found> {
        let folder = self.place.join("known");
        let place = Place { folder: &folder, deadline: self.deadline };
        let known = judge::corpus(self.patched, self.base, place);
        known
            .into_iter()
            .map(|known| Found {
                part: Part::Contract,
                relation: known.relation,
                kind: format!("known: {}", known.name),
                lines: known.lines,
                count: 1,
                // With its comments, which explain it.
                trace: Some(known.trace.to_owned()),
                cut_short: false,
            })
            .collect()
    }
}

/// One of each kind.
fn distinct(found: Vec<Found>) -> Vec<Found> {
    let mut kept: Vec<Found> = Vec::new();
    for found in found {
        match kept.iter_mut().find(|other| other.kind == found.kind) {
            Some(same) => same.count += found.count,
            None => kept.push(found),
        }
    }
    kept
}
