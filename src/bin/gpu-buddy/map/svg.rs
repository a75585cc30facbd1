//! A map as SVG.

use core::fmt::Write as _;
use std::collections::BTreeMap;

use gpu_buddy::Snapshot;
use gpu_buddy::diff::format_size;
use svg::node::element::{
    Definitions, Description, Group, Path, Pattern, Rectangle, Style, Text, Title,
};
use svg::{Document, Node};

use super::cells::{Cells, State, Totals, Whole};
use super::grid::{Area, Grid, Layout};
use super::{orders, words};

/// What to draw, besides the state.
#[derive(Clone, Debug, Default)]
pub struct Options<'a> {
    /// What the picture is of: its title.
    pub title: &'a str,
    /// A line below the title.
    pub subtitle: &'a str,
    /// The address of the start of the space.
    pub base: u64,
    /// How the space is laid out.
    pub layout: Layout,
    /// Whether blocks are labelled with their sizes, if there is room.
    pub labels: bool,
    /// A name for a block, by its offset, for its label.
    pub names: Option<&'a BTreeMap<u64, String>>,
    /// Distinguishes the pictures of one HTML page: letters, digits and `-`. Empty if it is
    /// the only one.
    pub id: &'a str,
}

const MARGIN: i64 = 16;
/// Of the map itself, in rows and as a square.
const MAP_WIDTH: i64 = 1024;
const SIDE: i64 = 768;
/// At most 512 cells of 2 pixels in each of 32 rows, or 128 by 128 cells of 6 pixels.
const ROW_COLUMNS: u32 = 9;
const ROWS: u32 = 5;
const SIDE_COLUMNS: u32 = 7;
const ROW_HEIGHT: i64 = 18;
/// A map of one row has a higher one.
const MAP_HEIGHT: i64 = 72;
/// Of a letter of the addresses and labels.
const LETTER: i64 = 7;

/// In pairs of the light and the dark theme. The states differ in lightness too, and what is
/// free and dirty is hatched.
const STYLE: &str = "\
.gpu-buddy-map{--bg:#fff;--fg:#1f2328;--dim:#59636e;--allocated:#0072b2;--dirty:#f2b134;\
--hatch:#c98700;--clear:#cfe8dc;--edge:#fff;--on-allocated:#fff;--on-free:#1f2328;\
font:13px system-ui,sans-serif;max-width:100%;height:auto}\
@media(prefers-color-scheme:dark){.gpu-buddy-map{--bg:#0d1117;--fg:#e6edf3;--dim:#9198a1;\
--allocated:#56b4e9;--dirty:#a86c00;--hatch:#7c5000;--clear:#1f4a3a;--edge:#0d1117;\
--on-allocated:#0d1117;--on-free:#fff}}\
.gpu-buddy-map .bg{fill:var(--bg)}.gpu-buddy-map text{fill:var(--fg)}\
.gpu-buddy-map .title{font-size:18px;font-weight:600}.gpu-buddy-map .dim{fill:var(--dim)}\
.gpu-buddy-map .mono{font:11px ui-monospace,monospace}.gpu-buddy-map .end{text-anchor:end}\
.gpu-buddy-map .mid{text-anchor:middle}.gpu-buddy-map .allocated{fill:var(--allocated)}\
.gpu-buddy-map .dirty{fill:var(--dirty)}.gpu-buddy-map .hatch{stroke:var(--hatch)}\
.gpu-buddy-map .clear{fill:var(--clear)}.gpu-buddy-map .edge{stroke:var(--edge)}\
.gpu-buddy-map .on-allocated{fill:var(--on-allocated)}\
.gpu-buddy-map .on-free{fill:var(--on-free);stroke:var(--dirty);stroke-width:3px;\
paint-order:stroke}.gpu-buddy-map .on-clear{stroke:var(--clear)}";

/// Draws a state. The result is a whole SVG file, smaller than 1 MB however many blocks there
/// are; it can stand in an HTML page as it is.
pub fn svg(snapshot: &Snapshot, options: &Options<'_>) -> String {
    let totals = Totals::of(snapshot);
    let map = Map::new(snapshot, options);
    let width = map.width();
    let mut body = Group::new();
    let mut y = MARGIN + 16;
    body.append(text(MARGIN, y, "title", options.title));
    let lines = [
        options.subtitle,
        &words::space(snapshot, options.base),
        &words::free(snapshot, &totals, options.base),
    ];
    for line in lines.iter().filter(|line| !line.is_empty()) {
        y += 20;
        body.append(text(MARGIN, y, "dim", line));
    }
    y += 14;
    let mut x = MARGIN;
    for state in State::ALL {
        let entry = words::total(state, &totals, snapshot.size);
        body.append(swatch(x, y, state, &map.hatch));
        body.append(text(x + 24, y + 12, "", &entry));
        x += 24 + 7 * entry.len() as i64 + 16;
    }
    y += 30;
    body.append(map.draw(options, y));
    y += map.height + 18;
    for note in map.notes() {
        body.append(text(MARGIN, y, "dim", &note));
        y += 18;
    }
    let (chart, height) = orders::draw(snapshot, &map.hatch, MARGIN, width - 2 * MARGIN, y);
    body.append(chart);
    y += height + MARGIN;

    let description = format!("{}. {}.", lines[1], lines[2]);
    Document::new()
        .set("class", "gpu-buddy-map")
        .set("role", "img")
        .set("width", width)
        .set("height", y)
        .set("viewBox", (0, 0, width, y))
        .set("aria-labelledby", format!("{0}title {0}desc", map.prefix))
        .add(Title::new(printable(options.title)).set("id", format!("{}title", map.prefix)))
        .add(
            Description::new()
                .set("id", format!("{}desc", map.prefix))
                .add(svg::node::Text::new(description)),
        )
        .add(Style::new(STYLE))
        .add(Definitions::new().add(map.pattern()))
        .add(
            Rectangle::new()
                .set("class", "bg")
                .set("fill", "#fff")
                .set("width", width)
                .set("height", y),
        )
        .add(body)
        .to_string()
}

/// XML has no control characters.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub fn text(x: i64, y: i64, class: &str, content: &str) -> Text {
    let text = Text::new(printable(content)).set("x", x).set("y", y);
    if class.is_empty() { text } else { text.set("class", class) }
}

/// The class of a state, and its colour for what does not know about variables.
fn colour(state: State) -> (&'static str, &'static str) {
    match state {
        State::Allocated => ("allocated", "#0072b2"),
        State::Dirty => ("dirty", "#f2b134"),
        State::Clear => ("clear", "#cfe8dc"),
    }
}

/// A path in the colour and the pattern of a state, with borders or without.
pub fn filled(state: State, hatch: &str, borders: bool, data: &str) -> Group {
    let (name, fill) = colour(state);
    let edge = |path: Path| {
        if borders { path.set("class", "edge").set("stroke", "#fff") } else { path }
    };
    let path = || Path::new().set("d", data);
    let mut group = Group::new().set("class", name).set("fill", fill);
    if state == State::Dirty {
        group.append(path());
        // The borders are on top of the hatching.
        group.append(edge(path()).set("fill", format!("url(#{hatch})")));
    } else {
        group.append(edge(path()));
    }
    group
}

fn swatch(x: i64, y: i64, state: State, hatch: &str) -> Group {
    filled(state, hatch, false, &format!("M{x} {y}h16v14h-16z"))
}

/// The map without its legend.
struct Map {
    cells: Cells,
    grid: Grid,
    /// Of a cell, in pixels.
    cell: (i64, i64),
    /// Where it begins: there is room for addresses on the left.
    left: i64,
    height: i64,
    prefix: String,
    hatch: String,
}

impl Map {
    fn new(snapshot: &Snapshot, options: &Options<'_>) -> Self {
        let columns = match options.layout {
            Layout::Rows => ROW_COLUMNS,
            Layout::Hilbert => SIDE_COLUMNS,
        };
        let grid = Grid::new(options.layout, snapshot.size, snapshot.chunk_size, columns, ROWS);
        let (columns, rows) = (grid.columns() as i64, grid.rows() as i64);
        let cell = match options.layout {
            Layout::Rows => (MAP_WIDTH / columns, ROW_HEIGHT.max(MAP_HEIGHT / rows)),
            Layout::Hilbert => (SIDE / columns, SIDE / columns),
        };
        let letters = (0..grid.rows())
            .filter_map(|row| grid.row_start(row))
            .map(|start| format_size(options.base.wrapping_add(start)).len() as i64)
            .max();
        let left = MARGIN + letters.map_or(0, |letters| letters * LETTER + 8);
        let prefix =
            if options.id.is_empty() { "map-".to_owned() } else { format!("map-{}-", options.id) };
        let hatch = format!("{prefix}hatch");
        let cells = Cells::new(snapshot, &grid);
        Self { cells, cell, left, height: rows * cell.1, grid, prefix, hatch }
    }

    fn width(&self) -> i64 {
        self.left + MAP_WIDTH + MARGIN
    }

    fn pattern(&self) -> Pattern {
        Pattern::new()
            .set("id", self.hatch.as_str())
            .set("patternUnits", "userSpaceOnUse")
            .set("width", 5)
            .set("height", 5)
            .set("patternTransform", "rotate(45)")
            .add(
                Path::new()
                    .set("class", "hatch")
                    .set("stroke", "#c98700")
                    .set("stroke-width", 2)
                    .set("d", "M1 0v5"),
            )
    }

    fn draw(&self, options: &Options<'_>, top: i64) -> Group {
        let mut group = Group::new().set("transform", format!("translate({} {top})", self.left));
        let areas: Vec<_> = self
            .cells
            .whole
            .iter()
            .flat_map(|whole| {
                self.grid.areas(whole.cells.clone()).into_iter().map(move |area| (whole, area))
            })
            .collect();
        for state in State::ALL {
            let mut data = Rectangles::default();
            for (_, area) in areas.iter().filter(|(whole, _)| whole.state == state) {
                let (x, y, width, height) = self.pixels(area);
                data.add(x, y, width, height);
            }
            if !data.text.is_empty() {
                group.append(filled(state, &self.hatch, true, &data.text));
            }
        }
        for (state, data) in State::ALL.into_iter().zip(self.shares()) {
            if !data.text.is_empty() {
                group.append(filled(state, &self.hatch, false, &data.text));
            }
        }
        group.append(self.row_edges(&areas));
        for row in 0..self.grid.rows() {
            if let Some(start) = self.grid.row_start(row) {
                let address = format_size(options.base.wrapping_add(start));
                let y = row as i64 * self.cell.1 + self.cell.1.min(ROW_HEIGHT) - 5;
                group.append(text(-8, y, "mono dim end", &address));
            }
        }
        if options.labels {
            for label in areas.iter().flat_map(|(whole, area)| self.label(whole, area, options)) {
                group.append(label);
            }
        }
        group
    }

    fn pixels(&self, area: &Area) -> (i64, i64, i64, i64) {
        let (width, height) = self.cell;
        let [x, y] = [area.x as i64 * width, area.y as i64 * height];
        (x, y, area.width as i64 * width, area.height as i64 * height)
    }

    /// The cells of several blocks. Their shares are on top of each other; what is the same
    /// in a row of cells is one rectangle.
    fn shares(&self) -> [Rectangles; 3] {
        let mut data = <[Rectangles; 3]>::default();
        // For each state, what may still become wider.
        let mut open = [None::<(i64, i64, i64, i64)>; 3];
        let (width, height) = self.cell;
        for mixed in &self.cells.mixed {
            let (column, row) = self.grid.place(mixed.cell);
            let (x, mut bottom) = (column as i64 * width, (row as i64 + 1) * height);
            let shares = mixed.shares(self.grid.cell_size(), height as u64);
            for (state, share) in shares.into_iter().enumerate() {
                let share = share as i64;
                bottom -= share;
                match &mut open[state] {
                    Some((left, y, wide, high))
                        if (*y, *high) == (bottom, share) && *left + *wide == x =>
                    {
                        *wide += width;
                    }
                    before => {
                        if let Some((x, y, width, height)) = before.take() {
                            data[state].add(x, y, width, height);
                        }
                        *before = (share > 0).then_some((x, bottom, width, share));
                    }
                }
            }
        }
        for (data, open) in data.iter_mut().zip(open) {
            if let Some((x, y, width, height)) = open {
                data.add(x, y, width, height);
            }
        }
        data
    }

    /// Lines between rows, but for those that are inside of a block.
    fn row_edges(&self, areas: &[(&Whole, Area)]) -> Path {
        let mut data = String::new();
        if self.grid.row_start(0).is_some() {
            let inside =
                |row: u64| areas.iter().any(|(_, area)| area.y < row && row < area.y + area.height);
            for row in (1..self.grid.rows()).filter(|&row| !inside(row)) {
                let _ = write!(data, "M0 {}h{MAP_WIDTH}", row as i64 * self.cell.1);
            }
        }
        Path::new().set("class", "edge").set("stroke", "#fff").set("stroke-width", 2).set("d", data)
    }

    /// The name and the size of a block, and in a square its address, as far as there is
    /// room.
    fn label(&self, whole: &Whole, area: &Area, options: &Options<'_>) -> Vec<Text> {
        let size = format_size(whole.size);
        let name = options.names.and_then(|names| names.get(&whole.offset));
        let name = name.filter(|_| whole.state == State::Allocated);
        let (x, y, width, height) = self.pixels(area);
        let fits = |label: &String| label.len() as i64 * LETTER + 4 <= width && height >= 14;
        let both = name.map(|name| format!("{name} {size}"));
        let mut lines: Vec<_> = [both, name.cloned(), Some(size)]
            .into_iter()
            .flatten()
            .find(fits)
            .into_iter()
            .collect();
        if options.layout == Layout::Hilbert && height >= 36 && !lines.is_empty() {
            let address = options.base.wrapping_add(whole.offset);
            lines.extend(Some(format!("at {}", format_size(address))).filter(fits));
        }
        let class = match whole.state {
            State::Allocated => "mono mid on-allocated",
            State::Dirty => "mono mid on-free",
            State::Clear => "mono mid on-free on-clear",
        };
        let top = y + height / 2 + 4 - 7 * (lines.len() as i64 - 1);
        let line = |(index, line): (usize, &String)| {
            text(x + width / 2, top + 14 * index as i64, class, line)
        };
        lines.iter().enumerate().map(line).collect()
    }

    /// How to read what is not seen at once.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.grid.row_start(0).is_none() {
            let (x, y) = self.grid.place(self.grid.columns() * self.grid.rows() - 1);
            let right = if x > 0 { "right" } else { "left" };
            let bottom = if y > 0 { "bottom" } else { "top" };
            notes.push(format!(
                "Along a Hilbert curve from the top left to the {bottom} {right}: neighbours in \
                 the space are neighbours here."
            ));
        }
        if !self.cells.mixed.is_empty() {
            let cell = words::short_size(self.grid.cell_size());
            notes.push(format!(
                "Blocks below {cell} are shares of {cell}: allocated at the bottom, dirty above, \
                 clear on top. What is there has 1 pixel at least."
            ));
        }
        notes
    }
}

/// The data of a path of rectangles. Each begins relative to the one before, which is short.
#[derive(Default)]
pub struct Rectangles {
    pub text: String,
    at: (i64, i64),
}

impl Rectangles {
    pub fn add(&mut self, x: i64, y: i64, width: i64, height: i64) {
        let (left, top) = core::mem::replace(&mut self.at, (x, y));
        let _ = write!(self.text, "m{} {}h{width}v{height}h-{width}z", x - left, y - top);
    }
}
