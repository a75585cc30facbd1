//! Prints the report of a check, for people and for other tools.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::report::{Found, Mark, Part, Relation, Report, Step, Verdict};

/// Maximum number of notes on the screen; --json and --markdown have all.
const NOTES: usize = 5;

/// A longer trace is not shown on the screen.
const MOST_LINES: usize = 14;

pub fn json(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, report)?;
    writeln!(out)
}

/// For the screen, with colours on a terminal.
pub fn text(report: &Report) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{} against {}\n", report.patched.name, report.base.name)?;
    for step in &report.steps {
        let (word, style) = mark(step.mark);
        writeln!(out, "{style}{word:>8}{style:#}  {:20} {}", step.part.name(), step.summary)?;
    }
    if !report.steps.is_empty() {
        writeln!(out)?;
    }
    let mut number = 0;
    for (relation, word) in RELATIONS {
        let mut found: Vec<_> =
            report.findings.iter().filter(|found| found.relation == relation).collect();
        // The shortest traces first.
        found.sort_by_key(|found| found.trace.as_ref().map_or(usize::MAX, String::len));
        let shown = if relation == Relation::New { 3 } else { 2 };
        for found in found.iter().take(shown) {
            number += 1;
            finding(&mut out, number, word, found)?;
        }
        if found.len() > shown {
            writeln!(out, "{} more {word}; --json lists all\n", found.len() - shown)?;
        }
    }
    for note in report.notes.iter().take(NOTES) {
        writeln!(out, "note: {note}")?;
    }
    if report.notes.len() > NOTES {
        writeln!(out, "note: {} more; --json lists all", report.notes.len() - NOTES)?;
    }
    if !report.notes.is_empty() {
        writeln!(out)?;
    }
    let style = match report.verdict {
        Verdict::Broken | Verdict::Incomplete => colour(AnsiColor::Red),
        Verdict::BehaviourChanges => colour(AnsiColor::Yellow),
        _ => colour(AnsiColor::Green),
    };
    writeln!(out, "{style}{}{style:#}", report.sentence)?;
    writeln!(out, "{:.1} s; --seed {} repeats it", report.seconds, report.seed)
}

/// Most important first. Findings in both kernels are only counted.
pub const RELATIONS: [(Relation, &str); 3] =
    [(Relation::New, "NEW"), (Relation::Different, "different"), (Relation::Fixed, "fixed")];

pub fn mark(mark: Mark) -> (&'static str, Style) {
    match mark {
        Mark::Passed => ("ok", colour(AnsiColor::Green)),
        Mark::Changed => ("changed", colour(AnsiColor::Yellow)),
        Mark::Failed => ("FAILED", colour(AnsiColor::Red)),
        Mark::NotRun => ("not run", Style::new().dimmed()),
        Mark::NoResult => ("ERROR", colour(AnsiColor::Red)),
    }
}

fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(colour.into())).bold()
}

fn finding(out: &mut impl Write, number: usize, word: &str, found: &Found) -> io::Result<()> {
    let times =
        if found.count > 1 { format!(", seen {} times", found.count) } else { String::new() };
    writeln!(out, "{number}. {word}: {}{times}", found.kind)?;
    for line in found.lines.iter().take(MOST_LINES) {
        writeln!(out, "   {line}")?;
    }
    match &found.trace {
        Some(trace) if trace.lines().count() <= MOST_LINES => {
            trace.lines().try_for_each(|line| writeln!(out, "       {line}"))?;
        }
        Some(trace) => {
            let lines = trace.lines().count();
            writeln!(out, "       (a trace of {lines} lines: see --json)")?;
        }
        None => {}
    }
    writeln!(out)
}

/// For a mail or a merge request.
pub fn markdown(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "**{}**\n", report.sentence)?;
    writeln!(out, "`{}` against `{}`\n", report.patched.name, report.base.name)?;
    writeln!(out, "| part | | |\n| --- | --- | --- |")?;
    for step in &report.steps {
        let summary = step.summary.replace('|', "\\|").replace('\n', " ");
        writeln!(out, "| {} | {} | {summary} |", step.part.name(), mark(step.mark).0)?;
    }
    for (relation, word) in RELATIONS {
        for found in report.findings.iter().filter(|found| found.relation == relation) {
            writeln!(out, "\n<details><summary>{word}: {}</summary>\n\n```", found.kind)?;
            found.lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            if let Some(trace) = &found.trace {
                writeln!(out, "\n{}", trace.trim_end())?;
            }
            writeln!(out, "```\n\n</details>")?;
        }
    }
    if !report.notes.is_empty() {
        writeln!(out)?;
    }
    report.notes.iter().try_for_each(|note| writeln!(out, "- {note}"))?;
    writeln!(out, "\ngpu-buddy {}, seed {}", env!("CARGO_PKG_VERSION"), report.seed)?;
    for kernel in [&report.patched, &report.base] {
        writeln!(out, "\n{}:\n", kernel.name)?;
        kernel
            .sha256
            .iter()
            .try_for_each(|(path, digest)| writeln!(out, "    {digest}  {path}"))?;
    }
    Ok(())
}

/// KTAP version 1, with a test for each part.
pub fn ktap(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: gpu-buddy-check")?;
    writeln!(out, "    1..{}", Part::ALL.len())?;
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (number, part) in (1..).zip(Part::ALL) {
        let name = part.name().replace(' ', "_");
        let Some(Step { mark, summary, .. }) = report.steps.iter().find(|step| step.part == part)
        else {
            skipped += 1;
            writeln!(out, "    ok {number} {name} # SKIP {}", report.sentence)?;
            continue;
        };
        for found in report.findings.iter().filter(|found| found.part == part) {
            if found.relation == Relation::InBoth {
                continue;
            }
            let word = RELATIONS.iter().find(|pair| pair.0 == found.relation).map_or("", |it| it.1);
            writeln!(out, "    # {name}: {word}: {}", found.kind)?;
            let trace = found.trace.iter().flat_map(|trace| trace.lines());
            for line in found.lines.iter().map(String::as_str).chain(trace) {
                writeln!(out, "    # {name}: {line}")?;
            }
        }
        writeln!(out, "    # {name}: {summary}")?;
        match mark {
            Mark::Failed | Mark::NoResult => {
                failed += 1;
                writeln!(out, "    not ok {number} {name}")?;
            }
            Mark::NotRun => {
                skipped += 1;
                writeln!(out, "    ok {number} {name} # SKIP {summary}")?;
            }
            Mark::Passed | Mark::Changed => {
                passed += 1;
                writeln!(out, "    ok {number} {name}")?;
            }
        }
    }
    let total = Part::ALL.len();
    writeln!(out, "# {}; seed {}", report.sentence, report.seed)?;
    writeln!(out, "# gpu-buddy-check: pass:{passed} fail:{failed} skip:{skipped} total:{total}")?;
    writeln!(out, "{} 1 gpu-buddy-check", if report.passed() { "ok" } else { "not ok" })
}
