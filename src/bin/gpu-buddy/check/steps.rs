//! The parts of a check that run the two kernels, and the result of each.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use gpu_buddy::module::Build;

use super::build::{Built, with_sanitizer};
use super::jobs::{self, Job, Limit};
use super::judge::{self, Subject};
use super::kunit::Kunit;
use super::report::{Found, Mark, Part, Relation, Report, Step, count};
use super::run::{self, Modules, Results, Run, not_run, plural};
use super::target::Targets;
use super::time::Ratio;
use super::{contract, coverage};
use crate::progress::Progress;

/// The measurements and the replays after the runs take these shares of the time.
const MEASURED: f64 = 0.13;
const JUDGED: f64 = 0.1;

/// Runs all parts, in about `seconds`.
pub fn run(
    report: &mut Report,
    targets: &Targets,
    built: &Built,
    (seconds, seed): (f64, u64),
    place: &Path,
    progress: &Progress,
) -> std::io::Result<()> {
    let modules = built.modules();
    let measured = (seconds * MEASURED).clamp(0.5, 30.0);
    let runs = (seconds - measured - (seconds * JUDGED).min(2.0) - jobs::OVERTIME).max(0.8);
    let out = place.join("out");
    std::fs::create_dir_all(&out)?;
    let started = Instant::now();
    progress.message("running both kernels");
    let results = run::run(&modules, runs, seed, &out, |part| {
        progress.message(format!("{part} done after {:.0} s", started.elapsed().as_secs_f64()));
    })?;
    report.operations = results.operations;
    report.steps.push(kunit(&results, built, &mut report.findings));

    progress.message("replaying the findings on the other kernel");
    let plain = Subject { module: built.patched.clone(), environment: Vec::new() };
    let deadline = started + Duration::from_secs_f64((seconds - measured).max(1.0));
    let judge = contract::Judge { patched: &plain, base: &modules.base, place, deadline };
    let names = (report.patched.name.as_str(), report.base.name.as_str());
    let mut differences = results.differences(names);
    differences.iter_mut().for_each(|found| judge.attribute(found));
    report.steps.push(lockstep(&results, &differences));
    report.steps.push(contract::step(&results, &judge, &differences, &mut report.findings));
    let costs = differences.iter().filter(|found| found.part == Part::Cost).cloned().collect();
    report.findings.extend(differences.into_iter().filter(|found| found.part != Part::Cost));
    let folder = place.join("undefined");
    let place_of_reports = judge::Place { folder: &folder, deadline };
    report.steps.push(undefined(
        &results,
        targets,
        built,
        &modules,
        place_of_reports,
        &mut report.findings,
    ));

    let (step, missed) = coverage::step(
        &targets.patched,
        &targets.base,
        built.coverage.as_deref().map_err(Clone::clone),
    );
    report.steps.push(step);
    report.notes.extend(missed);

    progress.message("measuring");
    let ratios = match results.hang() {
        true => Vec::new(),
        false => time(built, measured, seed)?,
    };
    report.steps.push(cost(&ratios, costs, &mut report.findings));
    Ok(())
}

/// The KUnit suites. The patch is not to blame for a case that also fails on the base.
fn kunit(results: &Results, built: &Built, findings: &mut Vec<Found>) -> Step {
    let Some(ours) = results.kunit(Run::Kunit) else {
        let why = results.failure(Run::Kunit);
        return not_run(Part::Kunit, why.unwrap_or_else(|| "the tree has no KUnit suite".into()));
    };
    if let Some(why) = results.failure(Run::Kunit).filter(|_| ours.death().is_none()) {
        return Step { part: Part::Kunit, mark: Mark::NoResult, summary: why };
    }
    let of_base = results.kunit(Run::BaseKunit).unwrap_or_default();
    let found = |kind: String, relation, lines| Found {
        part: Part::Kunit,
        relation,
        kind,
        lines,
        count: 1,
        trace: None,
        cut_short: false,
    };
    let mut new = Vec::new();
    let mut known = 0;
    let mut add = |suite: &str, kunit: &Kunit, new: &mut Vec<Found>| {
        if let Some(death) = kunit.death() {
            let relation = if of_base.death().is_some() { Relation::InBoth } else { Relation::New };
            new.push(found(suite.to_owned(), relation, vec![death]));
        }
        for (case, messages) in &kunit.failed {
            let in_both = of_base.failed.contains_key(case);
            known += usize::from(in_both);
            let relation = if in_both { Relation::InBoth } else { Relation::New };
            new.push(found(format!("{suite}, {case}"), relation, messages.clone()));
        }
    };
    add("KUnit", &ours, &mut new);
    let mut summary = plural(ours.passed, "case");
    summary.push_str(" passed");
    let mut notes = String::new();
    match (&built.old_suite, results.kunit(Run::OldSuite)) {
        (Some(Err(_)), _) => {
            notes.push_str("; the base's suite does not compile with the patched C");
        }
        (Some(Ok(_)), Some(old)) => {
            add("the base's KUnit suite", &old, &mut new);
            notes.push_str(&format!("; {} of the base's suite", old.passed));
        }
        _ => {}
    }
    let is_new = |found: &&Found| found.relation == Relation::New;
    let failed = new.iter().filter(is_new).count();
    if failed > 0 {
        summary.push_str(&format!(", {failed} failed"));
    }
    if known > 0 {
        summary.push_str(&format!(", {known} failed that also fail on the base"));
    }
    let mark = if failed > 0 { Mark::Failed } else { Mark::Passed };
    findings.extend(new);
    Step { part: Part::Kunit, mark, summary: summary + &notes }
}

fn lockstep(results: &Results, differences: &[Found]) -> Step {
    if let Some(why) = results.failure(Run::Lockstep) {
        return Step { part: Part::Lockstep, mark: Mark::NoResult, summary: why };
    }
    let differences: Vec<_> =
        differences.iter().filter(|found| found.part == Part::Lockstep).collect();
    // A process that died has not reported its operations.
    let operations = match results.operations(Run::Lockstep) {
        0 => "an unknown number of".to_owned(),
        number => count(number),
    };
    let is_new = |found: &&&Found| found.relation == Relation::New;
    let new = differences.iter().filter(is_new).count();
    let (mark, what) = match (differences.len(), new) {
        (0, _) => (Mark::Passed, "the same answers".to_owned()),
        (kinds, 0) => (Mark::Changed, plural(kinds, "kind") + " of different answers"),
        (kinds, new) => {
            let kinds = plural(kinds, "kind");
            let verb = if new == 1 { "breaks" } else { "break" };
            (Mark::Failed, format!("{kinds} of different answers, {new} {verb} a promise"))
        }
    };
    Step { part: Part::Lockstep, mark, summary: format!("{what} in {operations} operations") }
}

/// The reports of the build with sanitizers. The patch is not to blame for reports that the base
/// has too.
fn undefined(
    results: &Results,
    targets: &Targets,
    built: &Built,
    modules: &Modules,
    place: judge::Place<'_>,
    findings: &mut Vec<Found>,
) -> Step {
    let part = Part::UndefinedBehaviour;
    let Some(sanitized) = &modules.sanitized else {
        let why = built.sanitized.as_ref().err().cloned().unwrap_or_default();
        return not_run(part, why.lines().last().unwrap_or_default());
    };
    if let Some(why) = results.failure(Run::Sanitized) {
        return not_run(part, why);
    }
    if results.died(Run::Sanitized) {
        return not_run(part, "its process died");
    }
    let is_report = |found: &Found| {
        found.lines.first().is_some_and(|line| {
            let words = ["undefined behaviour: ", "-overflow", "-use-after-", "attempting "];
            words.iter().any(|word| line.contains(word))
        })
    };
    let mut found: Vec<_> = results.torture_findings(Run::Sanitized, part);
    found.retain(is_report);
    let mut in_both = 0;
    if !found.is_empty() {
        let base = targets.base.build(Build::Sanitized, &place.folder.join("base"));
        let base = base.map_err(|error| error.to_string()).and_then(with_sanitizer);
        if let Ok(base) = base {
            let traces: Vec<_> =
                found.iter().map(|found| found.trace.clone().unwrap_or_default()).collect();
            let in_base = judge::elsewhere(&traces, sanitized, &base, place);
            for (found, in_base) in found.iter_mut().zip(in_base) {
                if in_base == judge::Elsewhere::TheSame {
                    found.relation = Relation::InBoth;
                    in_both += 1;
                }
            }
        }
    }
    let operations = count(results.operations(Run::Sanitized));
    let new = found.len() - in_both;
    let (mark, what) = match (new, in_both) {
        (0, 0) => (Mark::Passed, "no report".to_owned()),
        (0, both) => (Mark::Passed, format!("{}, also in the base", plural(both, "report"))),
        (new, _) => (Mark::Failed, plural(new, "new report")),
    };
    findings.extend(found);
    Step { part, mark, summary: format!("{what} in {operations} operations") }
}

/// Measures the time of both kernels.
fn time(built: &Built, seconds: f64, seed: u64) -> std::io::Result<Vec<Ratio>> {
    let arguments: Vec<OsString> = vec![
        "time".into(),
        built.patched.clone().into(),
        built.base.clone().into(),
        format!("--seconds={seconds:.2}").into(),
        format!("--seed={seed}").into(),
    ];
    let limit = Limit::Processor(Duration::from_secs_f64(seconds + 1.0));
    let job = Job { arguments, environment: Vec::new(), limit, unless: None };
    let done = jobs::run(&[job], Instant::now(), |_| {})?;
    let ratios = done.first().and_then(|done| serde_json::from_str(&done.stdout).ok());
    Ok(ratios.unwrap_or_default())
}

/// Steps per call, which the lockstep compares, and time.
fn cost(ratios: &[Ratio], costs: Vec<Found>, findings: &mut Vec<Found>) -> Step {
    let mut parts = Vec::new();
    let steps = costs.len();
    if steps > 0 {
        parts.push(format!(
            "{} of calls {} more than twice the steps",
            plural(steps, "kind"),
            if steps == 1 { "takes" } else { "take" }
        ));
    }
    let percent = |ratio: &Ratio| {
        let load = &ratio.load;
        let difference = 100.0 * (ratio.median - 1.0);
        let (lower, upper) = (100.0 * (ratio.lower - 1.0), 100.0 * (ratio.upper - 1.0));
        format!("{load} {difference:+.0} % ({lower:+.0} to {upper:+.0})")
    };
    let list = |which: fn(&Ratio) -> bool| {
        ratios.iter().filter(|ratio| which(ratio)).map(percent).collect::<Vec<_>>().join(", ")
    };
    let (slower, faster) = (list(Ratio::is_slower), list(Ratio::is_faster));
    for (what, list) in [("slower", &slower), ("faster", &faster)] {
        if !list.is_empty() {
            parts.push(format!("{what}: {list}"));
        }
    }
    if ratios.is_empty() {
        parts.push("time not measured".to_owned());
    } else if slower.is_empty() && faster.is_empty() {
        let widest = ratios.iter().map(|ratio| ratio.noise).fold(0.0, f64::max);
        parts.push(format!(
            "the same time in {}, noise up to {:.0} %",
            plural(ratios.len(), "workload"),
            100.0 * widest
        ));
    }
    if steps == 0 {
        parts.insert(0, "no call takes more than twice the steps".to_owned());
    }
    findings.extend(costs.into_iter().map(|found| Found { relation: Relation::New, ..found }));
    let mark = match (steps, slower.is_empty() && faster.is_empty()) {
        (0, true) => Mark::Passed,
        (0, false) => Mark::Changed,
        _ => Mark::Failed,
    };
    Step { part: Part::Cost, mark, summary: parts.join("; ") }
}
