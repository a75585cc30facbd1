//! Plots as SVG, readable in light and dark.

use std::io;

use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

type Drawn<T = ()> = Result<T, DrawingAreaErrorKind<io::Error>>;

const SIZE: (u32, u32) = (960, 420);
const MARGIN: u32 = 12;
/// Width of the legend.
const LEGEND: u32 = 230;

const INK: RGBColor = RGBColor(0x1f, 0x23, 0x28);
const DIM: RGBColor = RGBColor(0x59, 0x63, 0x6e);
const GRID: RGBColor = RGBColor(0xd8, 0xde, 0xe4);

/// The colours of lines: the red, green and blue of the light theme, the dark theme, and the dashes.
/// Each is used for one line only, so that the style can select by colour.
const LINES: [(RGBColor, &str, &str); 9] = [
    (RGBColor(0x40, 0x46, 0x4d), "#d0d7de", ""),
    (RGBColor(0x7d, 0x85, 0x8e), "#9da7b0", "7 3"),
    (RGBColor(0x00, 0x72, 0xb2), "#56b4e9", ""),
    (RGBColor(0x01, 0x7a, 0xa8), "#56c8f0", "2 2"),
    (RGBColor(0x00, 0x9e, 0x73), "#3ad6a4", ""),
    (RGBColor(0xd5, 0x5e, 0x00), "#ff8c4b", ""),
    (RGBColor(0xc9, 0x7b, 0x00), "#f2b134", "7 3"),
    (RGBColor(0x8e, 0x4e, 0xc6), "#c79bf2", "2 2"),
    (RGBColor(0xb3, 0x36, 0x6b), "#f08cb4", ""),
];

/// A line of a plot.
pub struct Line {
    /// The name in the legend.
    pub name: String,
    /// Which of the colours, so that a subject has the same one in each plot.
    pub colour: usize,
    /// The points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// An axis.
pub struct Axis {
    /// What it shows.
    pub label: &'static str,
    /// Whether it is logarithmic.
    pub logarithmic: bool,
    /// Whether it begins at 0, if it is not logarithmic.
    pub from_0: bool,
    /// The text of a number.
    pub format: fn(f64) -> String,
}

/// A plot.
pub struct Plot {
    /// The title.
    pub title: &'static str,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines.
    pub lines: Vec<Line>,
}

impl Plot {
    /// The picture.
    ///
    /// # Errors
    ///
    /// If there is no point, or the library cannot draw it.
    pub fn svg(&self) -> io::Result<String> {
        let mut text = String::new();
        self.draw(&mut text).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(self.with_style(&text))
    }

    fn draw(&self, text: &mut String) -> Drawn {
        let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        root.draw_text(self.title, &font(18, INK), (MARGIN as i32, MARGIN as i32))?;
        let (plot, legend) = root.split_horizontally(SIZE.0 - LEGEND);
        let all = || self.lines.iter().flat_map(|line| &line.points);
        let x = range(all().map(|point| point.0), &self.x);
        let y = range(all().map(|point| point.1), &self.y);
        let mut builder = ChartBuilder::on(&plot);
        builder.margin(MARGIN).margin_top(44).x_label_area_size(40).y_label_area_size(72);
        match (self.x.logarithmic, self.y.logarithmic) {
            (true, true) => {
                self.chart(builder.build_cartesian_2d(x.log_scale(), y.log_scale())?)?;
            }
            (true, false) => self.chart(builder.build_cartesian_2d(x.log_scale(), y)?)?,
            (false, true) => self.chart(builder.build_cartesian_2d(x, y.log_scale())?)?,
            (false, false) => self.chart(builder.build_cartesian_2d(x, y)?)?,
        }
        for (row, line) in self.lines.iter().enumerate() {
            let (y, colour) = (60 + 24 * row as i32, LINES[line.colour].0.stroke_width(2));
            legend.draw(&PathElement::new([(0, y), (30, y)], colour))?;
            legend.draw_text(&line.name, &font(15, DIM), (38, y - 9))?;
        }
        root.present()
    }

    fn chart<X, Y>(&self, mut chart: ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>) -> Drawn
    where
        X: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(DIM)
            .label_style(font(14, DIM))
            .axis_desc_style(font(15, DIM))
            .x_desc(self.x.label)
            .y_desc(self.y.label)
            .x_label_formatter(&|x| (self.x.format)(*x))
            .y_label_formatter(&|y| (self.y.format)(*y))
            .draw()?;
        for line in &self.lines {
            let colour = LINES[line.colour].0;
            chart.draw_series(LineSeries::new(
                line.points.iter().copied(),
                colour.stroke_width(2),
            ))?;
            let dots = line.points.iter().map(|&point| Circle::new(point, 3, colour.filled()));
            chart.draw_series(dots)?;
        }
        Ok(())
    }

    /// Adds what plotters does not write: a theme, and a description for screen readers.
    fn with_style(&self, text: &str) -> String {
        let mut style =
            "svg{max-width:100%;height:auto}text{font-family:system-ui,sans-serif}".to_owned();
        let mut dark = "[fill='#FFFFFF']{fill:#0d1117}[fill='#1F2328']{fill:#e6edf3}\
                        [fill='#59636E']{fill:#9198a1}[stroke='#59636E']{stroke:#9198a1}\
                        [stroke='#D8DEE4']{stroke:#2b3138}"
            .to_owned();
        for (RGBColor(red, green, blue), theme, dashes) in LINES {
            let colour = format!("#{red:02X}{green:02X}{blue:02X}");
            if !dashes.is_empty() {
                style += &format!("polyline[stroke='{colour}']{{stroke-dasharray:{dashes}}}");
            }
            dark +=
                &format!("[stroke='{colour}']{{stroke:{theme}}}[fill='{colour}']{{fill:{theme}}}");
        }
        let names: Vec<_> = self.lines.iter().map(|line| line.name.as_str()).collect();
        let (tag, rest) = text.split_once('>').unwrap_or((text, ""));
        format!(
            "{tag} role=\"img\" aria-labelledby=\"title desc\"><title id=\"title\">{}</title>\
             <desc id=\"desc\">{} over {}: {}</desc>\
             <style>{style}@media(prefers-color-scheme:dark){{{dark}}}</style>{}",
            self.title,
            self.y.label,
            self.x.label,
            names.join(", "),
            rest.replace(" stroke=\"none\"/>", "/>")
        )
    }
}

fn font(size: u32, colour: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&colour)
}

/// What an axis shows.
fn range(values: impl Iterator<Item = f64> + Clone, axis: &Axis) -> core::ops::Range<f64> {
    let most = values.clone().fold(f64::MIN, f64::max);
    let least = values.fold(f64::MAX, f64::min);
    match axis {
        Axis { logarithmic: true, .. } => least..most.max(least * 1.1),
        Axis { from_0: true, .. } => 0.0..most.max(0.01),
        _ => least..most.max(least + 0.01),
    }
}
