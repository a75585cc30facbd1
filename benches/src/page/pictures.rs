//! The plots.

use gpu_buddy::diff::format_size;

use super::tables::{base, timed};
use crate::fragmentation::{Entry, Left};
use crate::plot::{Axis, Line, Plot};
use crate::run::{CHUNKS, Results};
use crate::scale::{Measured, Point};
use crate::subject::Kind;

/// The file names, and the plots.
pub fn all(results: &Results) -> [(&'static str, Plot); 6] {
    [
        ("pairs.svg", pairs(results)),
        ("failures.svg", failures(results)),
        ("largest.svg", largest(results)),
        ("live.svg", live(results)),
        ("spaces.svg", spaces(results)),
        ("walks.svg", walks(results)),
    ]
}

fn short(number: f64) -> String {
    match number {
        1e9.. => format!("{:.0}G", number / 1e9),
        1e6.. => format!("{:.0}M", number / 1e6),
        1e3.. => format!("{:.0}k", number / 1e3),
        1.0.. => format!("{number:.0}"),
        // Powers of ten are not exact.
        _ => format!("{}", (number * 1e6).round() / 1e6),
    }
}

const RATIO: Axis =
    Axis { label: "time, relative to the raw C", logarithmic: true, from_0: false, format: short };

fn pairs(results: &Results) -> Plot {
    let lines = Kind::ALL.iter().map(|&kind| {
        let points = results.loads.iter().enumerate().filter_map(|(index, load)| {
            let times = load.subjects.iter().find(|times| times.kind == kind)?;
            Some(((index + 1) as f64, times.ratio.median))
        });
        Line { name: kind.name().to_owned(), colour: kind.colour(), points: points.collect() }
    });
    let format = |load: f64| if load.fract() == 0.0 { format!("{load}") } else { String::new() };
    let label = "load, by its number in the table";
    let x = Axis { label, logarithmic: false, from_0: false, format };
    let title = "Time of a free and an allocation, relative to the raw C";
    Plot { title, x, y: RATIO, lines: lines.collect() }
}

fn fills(results: &Results, value: impl Fn(Left) -> f64) -> Vec<Line> {
    let entries: Vec<Entry> =
        results.fills.first().map(|it| it.1.iter().map(|it| it.0).collect()).unwrap_or_default();
    let lines = entries.into_iter().map(|entry| {
        let points = results.fills.iter().filter_map(|(percent, left)| {
            let found = left.iter().find(|(it, _)| it.name() == entry.name())?;
            Some((*percent as f64, value(found.1)))
        });
        // The contiguous C takes the colours of the safe API, which is not shown.
        let colour = match (entry.kind, entry.in_pieces) {
            (Kind::RawC, false) => Kind::Safe.colour(),
            (Kind::RawCTopDown, false) => Kind::SafeTopDown.colour(),
            (kind, _) => kind.colour(),
        };
        Line { name: entry.name(), colour, points: points.collect() }
    });
    lines.collect()
}

fn percent(number: f64) -> String {
    format!("{number:.0} %")
}

const IN_USE: Axis =
    Axis { label: "memory in use", logarithmic: false, from_0: false, format: percent };

fn failures(results: &Results) -> Plot {
    Plot {
        title: "Requests that fail although their size is free",
        x: IN_USE,
        y: Axis { label: "failed requests", logarithmic: false, from_0: true, format: percent },
        lines: fills(results, |left| 100.0 * left.failed as f64 / results.requests as f64),
    }
}

fn largest(results: &Results) -> Plot {
    Plot {
        title: "The largest run that can still be allocated",
        x: IN_USE,
        y: Axis {
            label: "share of the free memory",
            logarithmic: false,
            from_0: true,
            format: percent,
        },
        lines: fills(results, |left| 100.0 * left.largest),
    }
}

/// A line for each subject, with the first chunk size.
fn scale(points: &[(Point, Measured)], base: f64, by: impl Fn(&Point) -> f64) -> Vec<Line> {
    let points = timed(points);
    let lines = Kind::ALL.iter().filter_map(|&kind| {
        let is_it = |point: &Point| point.kind == kind && point.space.chunk_size == CHUNKS[0];
        let points: Vec<_> = points
            .iter()
            .filter(|(point, _)| is_it(point))
            .map(|(point, measured)| (by(point), measured.nanoseconds / base))
            .collect();
        let line = Line { name: kind.name().to_owned(), colour: kind.colour(), points };
        (!line.points.is_empty()).then_some(line)
    });
    lines.collect()
}

fn live(results: &Results) -> Plot {
    Plot {
        title: "Time by the number of live blocks, in a space of 1T",
        x: Axis { label: "live blocks of 4K", logarithmic: true, from_0: false, format: short },
        y: RATIO,
        lines: scale(&results.live, base(results), |point| f64::from(point.live)),
    }
}

fn spaces(results: &Results) -> Plot {
    let format = |bytes: f64| format_size(1 << (bytes.log2().round() as u32).min(63));
    Plot {
        title: "Time by the size of the space, with 10k live blocks",
        x: Axis { label: "size of the space", logarithmic: true, from_0: false, format },
        y: RATIO,
        lines: scale(&results.spaces, base(results), |point| point.space.size as f64),
    }
}

fn walks(results: &Results) -> Plot {
    let colours = [0, 2, 4, 5];
    let lines = results.walks.iter().zip(colours).map(|((walk, costs), colour)| Line {
        name: walk.name.to_owned(),
        colour,
        points: costs.iter().map(|&(holes, steps, _)| (holes as f64, steps as f64)).collect(),
    });
    Plot {
        title: "Steps of one call, by the number of holes or blocks that it meets",
        x: Axis { label: "n", logarithmic: true, from_0: false, format: short },
        y: Axis { label: "steps", logarithmic: true, from_0: false, format: short },
        lines: lines.collect(),
    }
}
