//! A plot as SVG.

use std::io;

use gpu_buddy::diff::format_size;
use indicatif::HumanCount;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::series::{COLUMNS, Sample, Series};
use super::text::{index_names, index_values};
use crate::map::words::{short_count, short_size};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<T = ()> = Result<T, DrawingAreaErrorKind<io::Error>>;

const WIDTH: u32 = 1120;
const MARGIN: u32 = 16;
/// Width of the numbers on the left.
const LABELS: u32 = 64;
/// Height of the title of a panel, and of the numbers below it.
const HEAD: u32 = 30;
const FOOT: u32 = 24;
const BYTES: u32 = 220;
const INDEX: u32 = 130;
const STEPS: u32 = 130;
/// Height of the row of an order.
const ROW: u32 = 12;

/// Maximum number of rectangles for orders in a picture: about 750 KB.
const RECTANGLES: usize = 10_000;

/// Number of shades of a count, from 1 to the maximum.
const SHADES: u32 = 5;

const INK: RGBColor = RGBColor(0x1f, 0x23, 0x28);
const DIM: RGBColor = RGBColor(0x59, 0x63, 0x6e);
const GRID: RGBColor = RGBColor(0xd8, 0xde, 0xe4);
const FREE: RGBColor = RGBColor(0xc9, 0x7b, 0x00);
const CLEAR: RGBColor = RGBColor(0x00, 0x9e, 0x73);
const RUN: RGBColor = RGBColor(0x8e, 0x4e, 0xc6);
const LARGEST: RGBColor = RGBColor(0x40, 0x46, 0x4d);
const ALLOCATED: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const PAGES: [RGBColor; 2] = [RGBColor(0xd5, 0x5e, 0x00), RGBColor(0x01, 0x7a, 0xa8)];

/// The colours above are the light theme. Each is used for one thing only, so that the style can
/// select by colour. Lines also differ in their dashes.
const STYLE: &str = "\
.gpu-buddy-plot{max-width:100%;height:auto}\
.gpu-buddy-plot text{font-family:system-ui,sans-serif}\
.gpu-buddy-plot [stroke='#009E73']{stroke-dasharray:7 3}\
.gpu-buddy-plot [stroke='#8E4EC6']{stroke-dasharray:2 2}\
.gpu-buddy-plot [stroke='#D55E00']{stroke-dasharray:7 3}\
.gpu-buddy-plot [stroke='#017AA8']{stroke-dasharray:2 2}\
@media(prefers-color-scheme:dark){\
.gpu-buddy-plot [fill='#FFFFFF']{fill:#0d1117}.gpu-buddy-plot [fill='#1F2328']{fill:#e6edf3}\
.gpu-buddy-plot [fill='#59636E']{fill:#9198a1}.gpu-buddy-plot [stroke='#59636E']{stroke:#9198a1}\
.gpu-buddy-plot [stroke='#D8DEE4']{stroke:#2b3138}.gpu-buddy-plot [stroke='#C97B00']{stroke:#f2b134}\
.gpu-buddy-plot [fill='#C97B00']{fill:#f2b134}.gpu-buddy-plot [stroke='#009E73']{stroke:#3ad6a4}\
.gpu-buddy-plot [stroke='#8E4EC6']{stroke:#c79bf2}.gpu-buddy-plot [stroke='#40464D']{stroke:#d0d7de}\
.gpu-buddy-plot [fill='#0072B2']{fill:#56b4e9}.gpu-buddy-plot [stroke='#0072B2']{stroke:#56b4e9}\
.gpu-buddy-plot [stroke='#D55E00']{stroke:#ff8c4b}.gpu-buddy-plot [stroke='#017AA8']{stroke:#56c8f0}}";

/// Draws a plot, with some lines below the title.
pub fn svg(series: &Series, title: &str, lines: &[String]) -> Drawn<String> {
    // XML has no control characters.
    let clean = |text: &str| text.replace(char::is_control, " ");
    let lines: Vec<_> = lines.iter().map(|line| clean(line)).collect();
    let rows = series.orders().len() as u32 * ROW;
    let head = MARGIN + 40 + 18 * lines.len() as u32;
    let panels = [BYTES, INDEX, rows, rows, STEPS].map(|height| height + HEAD + FOOT);
    let height = head + panels.iter().sum::<u32>() + MARGIN;
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        root.draw_text(&clean(title), &font(22, &INK), (MARGIN as i32, MARGIN as i32))?;
        for (index, line) in lines.iter().enumerate() {
            let y = (MARGIN + 30 + 18 * index as u32) as i32;
            root.draw_text(line, &font(16, &DIM), (MARGIN as i32, y))?;
        }
        let mut top = head;
        let mut next = panels.iter().map(|&height| {
            let panel = root.clone().shrink((MARGIN, top), (WIDTH - 2 * MARGIN, height));
            top += height;
            panel
        });
        let mut panel = || next.next().unwrap_or_else(|| root.clone());
        bytes(&panel(), series)?;
        index(&panel(), series)?;
        blocks(&panel(), series, "Free", FREE, |sample| &sample.free)?;
        blocks(&panel(), series, "Allocated", ALLOCATED, |sample| &sample.allocated)?;
        steps(&panel(), series)?;
        root.present()?;
    }
    Ok(with_style(&text, &clean(title), &lines.join(". ")))
}

/// Adds what plotters does not write: a theme, and a description for screen readers.
fn with_style(text: &str, title: &str, description: &str) -> String {
    use svg::node::element::{Description, Style, Title};
    let title = Title::new(title).set("id", "plot-title");
    let description =
        Description::new().set("id", "plot-desc").add(svg::node::Text::new(description));
    let style = Style::new(STYLE);
    let (tag, rest) = text.split_once('>').unwrap_or((text, ""));
    format!(
        "{tag} class=\"gpu-buddy-plot\" role=\"img\" aria-labelledby=\"plot-title plot-desc\">\
         {title}{description}{style}{}",
        rest.replace(" stroke=\"none\"/>", "/>")
    )
}

fn font(size: u32, colour: &RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(colour)
}

/// Draws the title of a panel, and its lines by name.
fn head(area: &Area<'_>, title: &str, lines: &[(String, RGBColor, u32)]) -> Drawn {
    area.draw_text(title, &font(17, &INK), (0, 4))?;
    let mut x = (16 + 7 * title.len() as i32).max(LABELS as i32 + 4);
    for (name, colour, width) in lines {
        let line = PathElement::new([(x, 12), (x + 28, 12)], colour.stroke_width(*width));
        area.draw(&line)?;
        area.draw_text(name, &font(16, &DIM), (x + 34, 4))?;
        x += 34 + 7 * name.len() as i32 + 20;
    }
    Ok(())
}

/// An axis from 0, with numbers at these positions.
struct Axis {
    inner: RangedCoordf64,
    ticks: Vec<f64>,
}

impl Axis {
    fn new(end: f64, ticks: Vec<f64>) -> Self {
        Self { inner: (0.0..end).into(), ticks }
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.inner.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> core::ops::Range<f64> {
        self.inner.range()
    }
}

/// An empty panel: its vertical axis, the format and count of its numbers, and whether each has a
/// line.
macro_rules! panel {
    ($area:expr, $series:expr, $y:expr, $label:expr, $labels:expr, $mesh:expr) => {{
        let operations = $series.operations.max(1) as f64;
        let mut chart = ChartBuilder::on($area)
            .margin_top(HEAD)
            .margin_right(8)
            .x_label_area_size(FOOT)
            .y_label_area_size(LABELS)
            .build_cartesian_2d(0.0..operations, $y)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(10)
            .y_labels($labels)
            .light_line_style(TRANSPARENT)
            .bold_line_style(if $mesh { GRID.into() } else { ShapeStyle::from(TRANSPARENT) })
            .axis_style(DIM)
            .label_style(font(14, &DIM))
            .x_label_formatter(&|x| HumanCount(*x as u64).to_string())
            .y_label_formatter(&$label)
            .draw()?;
        chart
    }};
}

fn bytes(area: &Area<'_>, series: &Series) -> Drawn {
    let named = |name: &str, colour, width| (name.to_owned(), colour, width);
    head(
        area,
        "Memory",
        &[
            named("free", FREE, 3),
            named("free and clear", CLEAR, 2),
            named("longest free run", RUN, 2),
            named("largest free block", LARGEST, 1),
        ],
    )?;
    let size = series.size as f64;
    let quarters = (0..=4).map(|quarter| size / 4.0 * f64::from(quarter)).collect();
    let axis = Axis::new(size, quarters);
    let mut chart = panel!(area, series, axis, |bytes: &f64| short_size(*bytes as u64), 5, true);
    let columns = |value: fn(&super::series::Column) -> (u64, u64)| {
        series.columns.iter().flat_map(move |column| {
            let (low, high) = value(column);
            let point = |value: u64| (column.operations as f64, value as f64);
            // If both numbers are equal, they are one point.
            [Some(point(low)), (low != high).then(|| point(high))].into_iter().flatten()
        })
    };
    let samples = |value: fn(&Sample) -> u64| {
        series.samples.iter().map(move |it| (it.operations as f64, value(it) as f64))
    };
    chart.draw_series(LineSeries::new(columns(|it| it.free), FREE.stroke_width(3)))?;
    chart.draw_series(LineSeries::new(columns(|it| it.clear), CLEAR.stroke_width(2)))?;
    chart.draw_series(LineSeries::new(samples(|it| it.longest_free_run), RUN.stroke_width(2)))?;
    chart.draw_series(LineSeries::new(samples(|it| it.largest_free_block), LARGEST))?;
    Ok(())
}

fn index(area: &Area<'_>, series: &Series) -> Drawn {
    let style = |index: usize| match index.checked_sub(1) {
        None => (LARGEST, 1),
        Some(page) => (PAGES[page % PAGES.len()], 2),
    };
    let named = index_names(series).enumerate().map(|(index, name)| {
        let (colour, width) = style(index);
        (name, colour, width)
    });
    head(area, "Fragmentation: share of the free memory that is", &named.collect::<Vec<_>>())?;
    let percent = |share: &f64| format!("{:.0} %", share * 100.0);
    let mut chart = panel!(area, series, 0.0..1.0, percent, 5, true);
    for index in 0..=series.pages.len() {
        let (colour, width) = style(index);
        let points = series.samples.iter().filter_map(|sample| {
            Some((sample.operations as f64, index_values(sample).nth(index)?))
        });
        chart.draw_series(LineSeries::new(points, colour.stroke_width(width)))?;
    }
    Ok(())
}

/// A row for each size of block; more blocks have a stronger colour.
fn blocks(
    area: &Area<'_>,
    series: &Series,
    name: &str,
    colour: RGBColor,
    by_order: fn(&Sample) -> &[u64],
) -> Drawn {
    let orders = series.orders();
    let most = series.samples.iter().flat_map(|it| &by_order(it)[orders.clone()]).max();
    let most = most.copied().unwrap_or(0);
    head(area, &format!("{name} blocks by size: from 1 (pale) to {}", short_count(most)), &[])?;
    let rows = orders.len() as f64;
    let middles = (0..orders.len()).map(|row| row as f64 + 0.5).collect();
    let axis = Axis::new(rows.max(1.0), middles);
    let first = orders.start;
    let chunk_size = series.chunk_size;
    let label = move |row: &f64| format_size(chunk_size << (first + *row as usize));
    let mut chart = panel!(area, series, axis, label, orders.len(), false);
    let columns = (RECTANGLES / 2 / orders.len().max(1)).min(COLUMNS / 4);
    for (row, order) in orders.enumerate() {
        let runs = runs(series, columns, |sample| shade(by_order(sample)[order], most));
        let rectangles = runs.into_iter().filter(|run| run.shade > 0).map(|run| {
            let ends = [(run.start, row as f64), (run.end, row as f64 + 1.0)];
            Rectangle::new(ends, colour.mix(f64::from(run.shade) / f64::from(SHADES)).filled())
        });
        chart.draw_series(rectangles)?;
    }
    Ok(())
}

/// 0 for none, 1 for one, `SHADES` for the maximum, on a logarithmic scale.
fn shade(count: u64, most: u64) -> u32 {
    if count == 0 {
        return 0;
    }
    let share = (count as f64).ln() / (most.max(2) as f64).ln();
    1 + (share * f64::from(SHADES - 1)).round() as u32
}

/// Operations with the same shade.
struct Run {
    start: f64,
    end: f64,
    shade: u32,
}

/// Reduces the number of spans. Between two columns, the strongest shade is kept.
fn runs(series: &Series, columns: usize, shade: impl Fn(&Sample) -> u32) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for samples in series.samples.chunks(series.samples.len().div_ceil(columns.max(1))) {
        let start = samples[0].operations as f64;
        let shade = samples.iter().map(&shade).max().unwrap_or(0);
        if let Some(last) = runs.last_mut() {
            last.end = start;
            if last.shade == shade {
                continue;
            }
        }
        runs.push(Run { start, end: series.operations as f64, shade });
    }
    if let Some(last) = runs.last_mut() {
        last.end = series.operations as f64;
    }
    runs
}

fn steps(area: &Area<'_>, series: &Series) -> Drawn {
    head(area, "Steps of the most expensive call in each column (logarithmic)", &[])?;
    let points = series.columns.iter();
    let points = points.filter_map(|it| Some((it.operations as f64, it.steps?.max(1) as f64)));
    let most = points.clone().map(|(_, steps)| steps).fold(10.0, f64::max);
    let label = |steps: &f64| short_count(*steps as u64);
    let mut chart = panel!(area, series, (1.0..most).log_scale(), label, 4, true);
    chart.draw_series(LineSeries::new(points, ALLOCATED))?;
    Ok(())
}
