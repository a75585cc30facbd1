//! Formats a finding as plain text for a mail.

use std::fmt::Write as _;

use super::calls;
use super::entry::{Finding, Kind, Release, Run, Section, Sure};

/// Line width of the mail.
pub const WIDTH: usize = 72;

/// The width of the names of facts.
const MARGIN: usize = 12;

/// The whole text.
pub fn text(finding: &Finding) -> String {
    let mut page = format!("{}\n\n", fill(finding.title, 0));
    let mut fact = |name: &str, value: &str| {
        let value = fill(value, MARGIN);
        // Writing to a string cannot fail.
        let _ = writeln!(page, "{name:MARGIN$}{}", value.trim_start());
    };
    fact("Name", finding.name);
    fact("Kind", &format!("{}, {}", kind(finding.kind), sure(finding.sure)));
    let shown = versions(&finding.shown_by);
    let none = "none of the tested releases".to_owned();
    fact("Shown by", &if shown.is_empty() { none } else { format!("Linux {shown}") });
    if let Some(history) = finding.history {
        fact("History", history);
    }
    let not = versions(&finding.not_by);
    if !not.is_empty() {
        fact("Not in", &not);
    }
    let of = finding.shown_by.first().or(finding.not_by.first());
    for place in &finding.rests_on {
        fact("Reference", place);
    }
    if let (false, Some(of)) = (finding.rests_on.is_empty(), of) {
        fact("", &format!("(lines of {})", of.version));
    }
    for section in &finding.sections {
        page += &format!("\n{}\n\n{}", heading(section.title), plain(section));
        if section.title == "Trace"
            && let Some(trace) = finding.trace.and_then(|trace| trace.parse().ok())
        {
            page += "\nThe same in C (4K is SZ_4K; each list is empty at first):\n\n";
            for line in calls::in_c(&trace) {
                let _ = writeln!(page, "    {line}");
            }
        }
    }
    page + &reproduce(finding)
}

/// The kind, in words for maintainers.
fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Bug => "a bug",
        Kind::Quirk => "a quirk, not necessarily a bug",
        Kind::Documentation => "a gap in the documentation; the code may be right",
    }
}

fn sure(sure: Sure) -> &'static str {
    match sure {
        Sure::Certain => "certain",
        Sure::ByDesign => "by design",
        Sure::Judgement => "a matter of judgement",
    }
}

fn versions(releases: &[Release]) -> String {
    let version = |release: &Release| match release.why {
        Some(why) => format!("{} ({why})", release.version),
        None => release.version.to_owned(),
    };
    releases.iter().map(version).collect::<Vec<_>>().join(", ")
}

fn heading(title: &str) -> String {
    format!("{title}\n{}", "-".repeat(title.len()))
}

/// A section without Markdown.
fn plain(section: &Section) -> String {
    let mut text = String::new();
    let mut fenced = false;
    for line in section.text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if line.starts_with("![") {
            // A mail has no pictures.
        } else if fenced {
            let _ = writeln!(text, "{}", format!("    {line}").trim_end());
        } else {
            let _ = writeln!(text, "{}", line.replace('`', ""));
        }
    }
    // Removing a picture leaves an empty line too many.
    format!("{}\n", text.trim_end().replace("\n\n\n", "\n\n"))
}

/// How to reproduce the finding with this command.
fn reproduce(finding: &Finding) -> String {
    let Some(run) = finding.run else { return String::new() };
    let name = finding.name;
    let commands = match run {
        Run::Replay => vec![
            format!("gpu-buddy finding {name} --trace > a.trace"),
            "gpu-buddy replay --strict --against contract a.trace".into(),
        ],
        Run::Cost => vec![
            format!("gpu-buddy finding {name} --trace > a.trace"),
            "gpu-buddy replay --cost a.trace".into(),
        ],
        Run::Binding => vec!["gpu-buddy binding".into()],
        // No command runs such a build; only a test does.
        Run::Sanitizer => return String::new(),
    };
    let mut text = format!("\n{}\n\n", heading("To reproduce"));
    for command in commands {
        let _ = writeln!(text, "    {command}");
    }
    if let Some(shows) = finding.shows.first() {
        let _ = writeln!(text, "\nThe output of a kernel that has it contains:\n\n    {shows}");
    }
    if run != Run::Binding {
        text += "\n--kernel PATH selects another kernel tree, --kernel REV@PATH a revision.\n";
    }
    text
}

/// Breaks a text into lines, each indented by a margin.
fn fill(text: &str, margin: usize) -> String {
    let mut lines = Vec::new();
    let mut line = " ".repeat(margin);
    for word in text.split_whitespace() {
        if line.len() > margin && line.trim_end().len() + 1 + word.len() > WIDTH {
            lines.push(line);
            line = " ".repeat(margin);
        }
        if line.len() > margin {
            line.push(' ');
        }
        line += word;
    }
    lines.push(line);
    lines.join("\n")
}
