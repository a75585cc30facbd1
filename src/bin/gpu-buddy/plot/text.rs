//! A plot for the terminal: one sparkline for each number.

use std::io::{self, Write};

use gpu_buddy::diff::format_size;
use indicatif::HumanCount;

use super::series::{Sample, Series};
use crate::map::words::short_size;

/// A number over time.
struct Line {
    name: String,
    /// A count of operations, and the number after them.
    points: Vec<(usize, f64)>,
    scale: Scale,
    /// How to format the number.
    write: fn(f64) -> String,
}

/// The value of the highest bar.
#[derive(Clone, Copy)]
enum Scale {
    To(f64),
    /// The largest value.
    Most,
    /// The largest value, on a logarithmic scale from 1.
    Logarithm,
}

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Width of each of the three columns of numbers.
const NUMBER: usize = 8;

pub fn print(out: &mut impl Write, series: &Series, width: usize) -> io::Result<()> {
    let groups = [accounts(series), fragmentation(series), costs(series)];
    let blocks = [
        blocks("free", series, |sample| &sample.free),
        blocks("allocated", series, |sample| &sample.allocated),
    ];
    let groups: Vec<_> = groups.into_iter().chain(blocks).collect();
    let names = groups.iter().flatten().map(|line| line.name.chars().count()).max().unwrap_or(0);
    let bars = width.saturating_sub(names + 1 + 3 * (NUMBER + 1)).clamp(8, 240);
    writeln!(
        out,
        "{:names$} {:bars$} {:>NUMBER$} {:>NUMBER$} {:>NUMBER$}",
        "", "", "least", "most", "end"
    )?;
    for (index, group) in groups.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        for line in group {
            let mut values = line.points.iter().map(|&(_, value)| value);
            let least = values.clone().fold(f64::INFINITY, f64::min);
            let most = values.clone().fold(0.0, f64::max);
            let end = values.next_back().unwrap_or_default();
            write!(out, "{:names$} {}", line.name, sparkline(line, most, series.operations, bars))?;
            for value in [least, most, end] {
                write!(out, " {:>NUMBER$}", (line.write)(value))?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}

/// A line of `width` characters; each shows the highest of its numbers.
fn sparkline(line: &Line, most: f64, operations: usize, width: usize) -> String {
    let place = |done: usize| (done * width / (operations + 1)).min(width - 1);
    let mut highest = vec![None::<f64>; width];
    for &(done, value) in &line.points {
        let highest = &mut highest[place(done)];
        *highest = Some(highest.map_or(value, |before| before.max(value)));
    }
    let mut last = 0.0;
    let bar = |value: Option<f64>| {
        let value = value.unwrap_or(last);
        last = value;
        let share = match line.scale {
            Scale::To(top) => value / top,
            Scale::Most => value / most,
            Scale::Logarithm => value.max(1.0).ln() / most.ln(),
        };
        // No bar for 0.
        match (value > 0.0, share.is_finite()) {
            (false, _) => ' ',
            (true, false) => BARS[0],
            (true, true) => BARS[((share * 8.0) as usize).min(7)],
        }
    };
    highest.into_iter().map(bar).collect()
}

fn size(bytes: f64) -> String {
    short_size(bytes as u64)
}

fn count(count: f64) -> String {
    HumanCount(count as u64).to_string()
}

fn accounts(series: &Series) -> Vec<Line> {
    let columns = |name: &str, value: fn(&super::series::Column) -> (u64, u64)| {
        let points = series.columns.iter().flat_map(|column| {
            let (low, high) = value(column);
            [(column.operations, low as f64), (column.operations, high as f64)]
        });
        bytes(name, series, points.collect())
    };
    let samples = |name: &str, value: fn(&Sample) -> u64| {
        let points = series.samples.iter();
        let points = points.map(|sample| (sample.operations, value(sample) as f64));
        bytes(name, series, points.collect())
    };
    vec![
        columns("free", |column| column.free),
        columns("free, clear", |column| column.clear),
        samples("longest free run", |sample| sample.longest_free_run),
        samples("largest free block", |sample| sample.largest_free_block),
    ]
}

fn bytes(name: &str, series: &Series, points: Vec<(usize, f64)>) -> Line {
    Line { name: name.to_owned(), points, scale: Scale::To(series.size as f64), write: size }
}

/// The names of the lines of the fragmentation index.
pub fn index_names(series: &Series) -> impl Iterator<Item = String> {
    let pages = series.pages.iter().map(|&page| format!("in blocks below {}", format_size(page)));
    std::iter::once("outside the largest".to_owned()).chain(pages)
}

/// Its values, in the same order.
pub fn index_values(sample: &Sample) -> impl Iterator<Item = f64> {
    std::iter::once(sample.outside_largest).chain(sample.unusable.iter().copied())
}

fn fragmentation(series: &Series) -> Vec<Line> {
    let line = |(index, name): (usize, String)| Line {
        name: format!("free, {name}"),
        points: series
            .samples
            .iter()
            .filter_map(|sample| Some((sample.operations, index_values(sample).nth(index)?)))
            .collect(),
        scale: Scale::To(1.0),
        write: |value| format!("{:.0} %", value * 100.0),
    };
    index_names(series).enumerate().map(line).collect()
}

fn costs(series: &Series) -> Vec<Line> {
    let columns = series.columns.iter();
    let points: Vec<_> =
        columns.filter_map(|column| Some((column.operations, column.steps? as f64))).collect();
    if points.is_empty() {
        return Vec::new();
    }
    let name = "steps of a call (log)".to_owned();
    vec![Line { name, points, scale: Scale::Logarithm, write: count }]
}

fn blocks(name: &str, series: &Series, by_order: fn(&Sample) -> &[u64]) -> Vec<Line> {
    let line = |order: usize| Line {
        name: format!("{name} blocks of {}", format_size(series.chunk_size << order)),
        points: series
            .samples
            .iter()
            .map(|sample| (sample.operations, by_order(sample)[order] as f64))
            .collect(),
        scale: Scale::Most,
        write: count,
    };
    let is_used = |line: &Line| line.points.iter().any(|&(_, value)| value > 0.0);
    series.orders().map(line).filter(is_used).collect()
}
