//! Prints the cost of each call of a trace.

use std::io::{Write, stdout};

use gpu_buddy::diff::{Aspect, Finding, Lockstep, NotCreated, Operation, Outcome, Settings, Trace};
use indicatif::HumanCount;

use crate::kernel::{Against, Pair};
use crate::{Failure, Verdict};

/// Prints each call of a trace with its cost, and the cost in the base if there is one. Nothing
/// else is checked, so that a long trace takes little longer than the C itself.
pub fn play(trace: &Trace, pair: Pair) -> Result<Result<Verdict, Failure>, NotCreated> {
    let settings =
        Settings { full_check_interval: 0, differences_only: true, ..Settings::default() };
    let against = match pair.against {
        Against::Reference => Against::Contract,
        other => other,
    };
    Ok(play_on(trace, Pair { against, ..pair }.start(trace.space, settings)?))
}

fn play_on(trace: &Trace, mut pair: Lockstep) -> Result<Verdict, Failure> {
    let mut out = stdout().lock();
    write!(out, "{}", Trace { space: trace.space, operations: Vec::new() })?;
    let mut verdict = Verdict::Passed;
    let (mut total, mut calls) = (0, 0);
    let mut most: Option<(u64, &Operation)> = None;
    for operation in &trace.operations {
        let step = pair.step(operation);
        let (steps, base) = pair.costs();
        for cost in [Some(steps), base.map(Some)].into_iter().flatten() {
            let text = cost.map_or_else(|| "-".to_owned(), |cost| HumanCount(cost).to_string());
            write!(out, "{text:>14}")?;
        }
        write!(out, "  {operation}")?;
        match (pair.bug(), step.outcome) {
            (Some(bug), _) => write!(out, "  -> {bug}")?,
            (None, Outcome::Done) => {}
            (None, outcome) => write!(out, "  -> {outcome}")?,
        }
        writeln!(out)?;
        if let Some(steps) = steps {
            total += steps;
            calls += 1;
            most = most.filter(|&(most, _)| most >= steps).or(Some((steps, operation)));
        }
        for finding in &step.findings {
            writeln!(out, "  ** {finding}")?;
        }
        if pair.bug().is_some() || !step.findings.is_empty() {
            verdict = Verdict::Failed;
        }
        let is_cost = |finding: &Finding| matches!(finding, Finding::Divergence(it) if it.aspect == Aspect::Cost);
        if pair.bug().is_some() || !step.findings.iter().all(is_cost) {
            // The two states differ from here on.
            break;
        }
    }
    if let Some((steps, operation)) = most {
        let (total, calls, steps) = (HumanCount(total), HumanCount(calls), HumanCount(steps));
        writeln!(out, "{total} steps in {calls} calls; at most {steps}: {operation}")?;
    }
    Ok(verdict)
}
