//! The tables.

use std::fmt::Write;

use gpu_buddy::diff::{Churn, format_size};

use super::ratio;
use crate::fragmentation::{Entry, Left};
use crate::instructions::{Counted, PARTS, RAW_PARTS};
use crate::run::{CHUNKS, Results};
use crate::scale::{Measured, Point};
use crate::subject::Kind;

/// A table in Markdown. The first column is text, the others are numbers.
fn table(head: &[String], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head);
    text += &format!("| --- |{}\n", " ---: |".repeat(head.len() - 1));
    rows.into_iter().for_each(|row| text += &line(&row));
    text
}

fn head(first: &str, others: impl IntoIterator<Item = String>) -> Vec<String> {
    [first.to_owned()].into_iter().chain(others).collect()
}

/// A number with separators of thousands.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Breaks a paragraph into lines.
pub fn wrapped(paragraph: &str) -> String {
    const WIDTH: usize = 100;
    let (mut text, mut column) = (String::new(), 0);
    for word in paragraph.split(' ') {
        if column > 0 && column + 1 + word.len() > WIDTH {
            text.push('\n');
            column = 0;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text += word;
        column += word.len();
    }
    text
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

pub fn loads(results: &Results) -> String {
    let columns = ["raw C, ns", "steps of the C"].map(str::to_owned);
    let rows = results.loads.iter().enumerate().map(|(index, load)| {
        let raw = load.subjects.first().map(|it| format!("{:.0}", it.nanoseconds));
        let steps = load.steps.map(|steps| format!("{steps:.1}"));
        vec![format!("{}. {}", index + 1, load.churn.name), or_dash(raw), or_dash(steps)]
    });
    table(&head("load", columns), rows)
}

pub fn ratios(results: &Results) -> String {
    let columns = results.loads.iter().enumerate().map(|(index, _)| format!("load {}", index + 1));
    let rows = Kind::ALL.iter().skip(1).map(|&kind| {
        let cells = results.loads.iter().map(|load| {
            let times = load.subjects.iter().find(|times| times.kind == kind);
            or_dash(times.map(|times| {
                let it = times.ratio;
                format!("**{}** ({} to {})", ratio(it.median), ratio(it.lower), ratio(it.upper))
            }))
        });
        head(kind.name(), cells)
    });
    table(&head("", columns), rows)
}

pub fn steps(results: &Results) -> String {
    let live = results.steps.iter().flat_map(|(_, steps)| steps.iter().map(|it| it.0)).max();
    let all: Vec<u32> = match results.steps.iter().find(|it| it.1.last().map(|it| it.0) == live) {
        Some((_, steps)) => steps.iter().map(|it| it.0).collect(),
        None => Vec::new(),
    };
    let rows = results.steps.iter().map(|(churn, steps)| {
        let cell =
            |live: &u32| steps.iter().find(|it| it.0 == *live).map(|it| format!("{:.1}", it.1));
        let name = churn.name.split_once(", ").map_or(churn.name, |(_, name)| name);
        head(name, all.iter().map(|live| or_dash(cell(live))))
    });
    table(&head("sizes", all.iter().map(|&live| count(live.into()))), rows)
}

/// Where the instructions go.
#[must_use]
pub fn costs(instructions: &[(Churn, [Counted; 2])]) -> String {
    if instructions.is_empty() {
        return "Not counted: valgrind is not installed.\n".to_owned();
    }
    let mut text = String::new();
    for (churn, [raw, safe]) in instructions {
        let part = |counted: &Counted, part: &str| counted.parts.get(part).copied().unwrap_or(0.0);
        let row = |name: &str, raw: f64, safe: f64| {
            vec![
                name.to_owned(),
                format!("{raw:.0}"),
                format!("{safe:.0}"),
                format!("{}", (safe - raw).round() as i64),
            ]
        };
        let over_arena: f64 = RAW_PARTS.iter().map(|name| part(safe, name)).sum();
        let parts = PARTS.iter().map(|name| row(name, part(raw, name), part(safe, name)));
        let all = row("**all**", raw.total(), safe.total());
        let of_it = vec![
            "of it, raw calls over the crate's own memory".to_owned(),
            String::new(),
            format!("{over_arena:.0}"),
            String::new(),
        ];
        let rows = parts.chain([all, of_it]);
        let columns = ["raw C", "safe API", "more"].map(str::to_owned);
        text += &table(&head(churn.name, columns), rows);
        let names: Vec<_> = safe
            .functions
            .iter()
            .take(8)
            .map(|(name, cost)| format!("`{}` {cost:.0}", name.replace("gpu_buddy::", "")))
            .collect();
        let names = names.join(", ");
        let line = format!("The safe API by function, outside the C: {names}.");
        let _ = writeln!(text, "\n{}\n", wrapped(&line));
    }
    text
}

fn entries(results: &Results) -> Vec<Entry> {
    let first = results.fills.first().map(|(_, left)| left.iter().map(|it| it.0).collect());
    first.unwrap_or_default()
}

fn find(left: &[(Entry, Left)], name: &str) -> Option<Left> {
    left.iter().find(|(entry, _)| entry.name() == name).map(|it| it.1)
}

pub fn fills(results: &Results, value: impl Fn(Left, u64) -> f64) -> String {
    let columns = results.fills.iter().map(|(percent, _)| format!("{percent} % in use"));
    let rows = entries(results).into_iter().map(|entry| {
        let cells = results.fills.iter().map(|(_, left)| {
            let left = find(left, &entry.name());
            or_dash(left.map(|left| format!("{:.1}", value(left, results.requests))))
        });
        head(&entry.name(), cells)
    });
    table(&head("", columns), rows)
}

pub fn drivers(results: &Results) -> String {
    let columns = results
        .drivers
        .iter()
        .map(|(name, requests, _)| format!("{name}, {} requests", count(*requests)));
    let rows = entries(results).into_iter().map(|entry| {
        let cells = results.drivers.iter().map(|(_, requests, left)| {
            or_dash(find(left, &entry.name()).map(|left| {
                let failed = 100.0 * left.failed as f64 / *requests as f64;
                format!("{failed:.2} % ({:.0} %)", 100.0 * left.largest)
            }))
        });
        head(&entry.name(), cells)
    });
    table(&head("failed", columns), rows)
}

/// The number of live blocks of the first point.
pub fn first_live(results: &Results) -> u32 {
    results.live.first().map_or(0, |(point, _)| point.live)
}

/// The time that the points of scale are relative to.
pub fn base(results: &Results) -> f64 {
    results.live.first().map_or(1.0, |(_, measured)| measured.nanoseconds)
}

/// A table of points: a row for each subject and chunk size, a column for each value of `by`.
fn points(
    points: &[(Point, Measured)],
    by: impl Fn(&Point) -> u64,
    label: impl Fn(u64) -> String,
    cell: impl Fn(&Measured) -> Option<String>,
) -> String {
    let mut columns: Vec<u64> = points.iter().map(|(point, _)| by(point)).collect();
    columns.sort_unstable();
    columns.dedup();
    let kinds = || Kind::ALL.iter().copied().chain([Kind::Counted]);
    let keys = CHUNKS.into_iter().flat_map(|chunk| kinds().map(move |kind| (kind, chunk)));
    let rows = keys.filter_map(|(kind, chunk)| {
        let cells = columns.iter().map(|&column| {
            let is_it = |point: &Point| {
                point.kind == kind && point.space.chunk_size == chunk && by(point) == column
            };
            points.iter().find(|(point, _)| is_it(point)).and_then(|(_, it)| cell(it))
        });
        let cells: Vec<Option<String>> = cells.collect();
        let name = format!("{}, {} chunks", kind.name(), format_size(chunk));
        let any = cells.iter().any(Option::is_some);
        any.then(|| head(&name, cells.into_iter().map(or_dash)))
    });
    table(&head("", columns.iter().map(|&column| label(column))), rows)
}

pub fn live(results: &Results, cell: impl Fn(&Measured, f64) -> String) -> String {
    let base = base(results);
    let timed: Vec<_> = timed(&results.live);
    points(&timed, |point| point.live.into(), count, |it| Some(cell(it, base)))
}

pub fn spaces(results: &Results) -> String {
    let base = base(results);
    let timed: Vec<_> = timed(&results.spaces);
    points(&timed, |point| point.space.size, size, |it| Some(ratio(it.nanoseconds / base)))
}

/// The laboratory is not timed.
pub fn timed(points: &[(Point, Measured)]) -> Vec<(Point, Measured)> {
    points.iter().filter(|(point, _)| point.kind != Kind::Counted).copied().collect()
}

pub fn live_steps(results: &Results) -> String {
    let cell = |it: &Measured| it.steps.map(|steps| format!("{steps:.1}"));
    let by_live =
        points(&results.live, |point| point.live.into(), |it| format!("{} live", count(it)), cell);
    let by_space = points(&results.spaces, |point| point.space.size, size, cell);
    format!("{by_live}\n{by_space}")
}

pub fn bytes(results: &Results) -> String {
    // A few blocks have less than the pages that a process takes for other reasons.
    let many: Vec<_> =
        timed(&results.live).into_iter().filter(|(it, _)| it.live >= 100_000).collect();
    if many.is_empty() {
        return "Not measured: too few blocks.\n".to_owned();
    }
    points(&many, |point| point.live.into(), count, |it| Some(format!("{:.0}", it.bytes)))
}

fn size(bytes: u64) -> String {
    format_size(bytes)
}

pub fn walks(results: &Results) -> String {
    let mut text = String::new();
    for (walk, _) in &results.walks {
        let name = walk.name;
        let _ = writeln!(
            text,
            "- [`{name}`](performance/{name}.trace): {}. {}.",
            walk.call, walk.functions
        );
    }
    text.push('\n');
    let (Some((least, ..)), Some((most, ..))) = (
        results.walks.first().and_then(|it| it.1.first()),
        results.walks.first().and_then(|it| it.1.last()),
    ) else {
        return text;
    };
    let columns = [
        format!("steps, n = {}", count(*least)),
        format!("steps, n = {}", count(*most)),
        "milliseconds".to_owned(),
        "steps for twice n".to_owned(),
    ];
    let rows = results.walks.iter().filter_map(|(walk, costs)| {
        let (_, first, _) = *costs.first()?;
        let &[(_, half, _), (_, steps, time)] = costs.last_chunk()?;
        let growth = format!("x {:.1}", steps as f64 / half as f64);
        Some(vec![
            format!("`{}`", walk.name),
            count(first),
            count(steps),
            format!("{:.2}", time / 1e6),
            growth,
        ])
    });
    text + &table(&head("call", columns), rows)
}
