//! Draws the map of a picture, without its legend.

use core::fmt::Write as _;

use gpu_buddy::Snapshot;
use gpu_buddy::diff::format_size;
use svg::Node;
use svg::node::element::{Group, Path, Pattern, Text};

use super::cells::{Cells, State, Whole};
use super::grid::{Area, Grid, Layout};
use super::svg::{MARGIN, Options, Rectangles, filled, text};
use super::words;

/// Width of the map, in rows and as a square.
const MAP_WIDTH: i64 = 1024;
const SIDE: i64 = 768;
/// At most 512 cells of 2 pixels in each of 32 rows, or 128 by 128 cells of 6 pixels.
const ROW_COLUMNS: u32 = 9;
const ROWS: u32 = 5;
const SIDE_COLUMNS: u32 = 7;
const ROW_HEIGHT: i64 = 18;
/// Minimum height of a map: if there are few rows, they are higher.
const MAP_HEIGHT: i64 = 144;
/// Width of a letter of the addresses and labels.
const LETTER: i64 = 7;

/// The map without its legend.
pub struct Map {
    cells: Cells,
    grid: Grid,
    /// Size of a cell, in pixels.
    cell: (i64, i64),
    /// Its left edge; the addresses are to the left of it.
    left: i64,
    pub height: i64,
    /// Prefix of all ids.
    pub prefix: String,
    /// The id of the pattern for free, dirty blocks.
    pub hatch: String,
}

impl Map {
    pub fn new(snapshot: &Snapshot, options: &Options<'_>) -> Self {
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
            .map(|start| words::address(options.base.wrapping_add(start)).len() as i64)
            .max();
        let left = MARGIN + letters.map_or(0, |letters| letters * LETTER + 8);
        let prefix =
            if options.id.is_empty() { "map-".to_owned() } else { format!("map-{}-", options.id) };
        let hatch = format!("{prefix}hatch");
        let cells = Cells::new(snapshot, &grid);
        Self { cells, cell, left, height: rows * cell.1, grid, prefix, hatch }
    }

    pub fn width(&self) -> i64 {
        self.left + MAP_WIDTH + MARGIN
    }

    pub fn pattern(&self) -> Pattern {
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

    pub fn draw(&self, options: &Options<'_>, top: i64) -> Group {
        let mut group = Group::new()
            .set("class", "map")
            .set("transform", format!("translate({} {top})", self.left));
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
                let address = words::address(options.base.wrapping_add(start));
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

    /// The cells of several blocks. Their shares are stacked; equal shares of adjacent cells are
    /// one rectangle.
    fn shares(&self) -> [Rectangles; 3] {
        let mut data = <[Rectangles; 3]>::default();
        // For each state, the rectangle that may still grow.
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

    /// Lines between rows, except inside a block.
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

    /// The name and size of a block, and in a square its address, if there is room.
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
            lines.extend(Some(format!("at {}", words::address(address))).filter(fits));
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

    /// Explanations of the map.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.grid.row_start(0).is_none() {
            let (x, y) = self.grid.place(self.grid.columns() * self.grid.rows() - 1);
            let right = if x > 0 { "right" } else { "left" };
            let bottom = if y > 0 { "bottom" } else { "top" };
            notes.push(format!(
                "A Hilbert curve from the top left to the {bottom} {right}: neighbours in the \
                 space are neighbours here."
            ));
        }
        if !self.cells.mixed.is_empty() {
            let cell = words::short_size(self.grid.cell_size());
            notes.push(format!(
                "Blocks below {cell} are shown as shares of a cell of {cell}: allocated at the \
                 bottom, dirty above, clear on top. Each share is at least a sixth."
            ));
        }
        notes
    }
}
