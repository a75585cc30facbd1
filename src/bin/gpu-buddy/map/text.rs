//! A map for the terminal.

use std::io::{self, Write};

use anstyle::{Ansi256Color, Style};
use gpu_buddy::Snapshot;

use super::cells::{Cells, Mixed, State, Totals, Whole};
use super::grid::{Grid, Layout};
use super::words;

/// How to print the map.
pub struct Options<'a> {
    /// Lines above the map.
    pub title: &'a [&'a str],
    /// The address of the start of the space.
    pub base: u64,
    pub layout: Layout,
    /// In columns.
    pub width: usize,
    /// Without colour, each state has its own character.
    pub colour: bool,
}

/// At most 32 rows.
const ROWS: u32 = 5;

/// One cell of the map.
#[derive(Clone, Copy)]
enum Cell<'a> {
    /// Beyond the end of the space, or in no block.
    Empty,
    /// A part of a block, and whether its left edge is a border. A single cell has none.
    Whole(State, bool),
    Mixed(&'a Mixed),
}

pub fn print(out: &mut impl Write, snapshot: &Snapshot, options: &Options<'_>) -> io::Result<()> {
    let totals = Totals::of(snapshot);
    for line in options.title.iter().filter(|line| !line.is_empty()) {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{}", words::space(snapshot.size, snapshot.chunk_size, options.base))?;
    writeln!(out, "{}\n", words::free(snapshot, &totals, options.base))?;

    let grid = grid(snapshot, options);
    let cells = Cells::new(snapshot, &grid);
    let (columns, rows) = (grid.columns() as usize, grid.rows() as usize);
    let mut map = vec![Cell::Empty; columns * rows];
    let index = |(x, y): (u64, u64)| y as usize * columns + x as usize;
    for whole in &cells.whole {
        place(whole, &grid, &mut map, index);
    }
    for mixed in &cells.mixed {
        map[index(grid.place(mixed.cell))] = Cell::Mixed(mixed);
    }
    let addresses = addresses(&grid, options.base);
    let wide = addresses.iter().map(String::len).max().unwrap_or(0);
    for (row, cells) in map.chunks(columns).enumerate() {
        if let Some(address) = addresses.get(row) {
            write!(out, "{address:>wide$} ")?;
        }
        for cell in cells {
            // In a square, a cell is two columns wide, to be about as wide as high.
            let count = if options.layout == Layout::Hilbert { 2 } else { 1 };
            draw(out, cell, count, &grid, options.colour)?;
        }
        writeln!(out)?;
    }
    writeln!(out)?;
    legend(out, snapshot, &totals, &cells, &grid, options)
}

/// The widest grid that fits.
fn grid(snapshot: &Snapshot, options: &Options<'_>) -> Grid {
    let new =
        |columns| Grid::new(options.layout, snapshot.size, snapshot.chunk_size, columns, ROWS);
    let fits = |columns: &u32| {
        let grid = new(*columns);
        let letters = addresses(&grid, options.base).iter().map(|it| it.len() + 1).max();
        let cell = if options.layout == Layout::Hilbert { 2 } else { 1 };
        letters.unwrap_or(0) + cell * grid.columns() as usize <= options.width
    };
    // A square of 64 cells is as high as a screen.
    let most = if options.layout == Layout::Hilbert { 6 } else { 9 };
    new((0..=most).rev().find(fits).unwrap_or(0))
}

/// The address of each row.
fn addresses(grid: &Grid, base: u64) -> Vec<String> {
    let starts = (0..grid.rows()).filter_map(|row| grid.row_start(row));
    starts.map(|start| words::address(base.wrapping_add(start))).collect()
}

fn place(whole: &Whole, grid: &Grid, map: &mut [Cell<'_>], index: impl Fn((u64, u64)) -> usize) {
    for area in grid.areas(whole.cells.clone()) {
        for y in area.y..area.y + area.height {
            for x in area.x..area.x + area.width {
                // A block of several rows has a border in its first row only.
                let goes_on = y > area.y && area.width == grid.columns();
                let border = x == area.x && !goes_on && area.width * area.height > 1;
                map[index((x, y))] = Cell::Whole(whole.state, border);
            }
        }
    }
}

/// The background and foreground colours of a state.
fn colours(state: State) -> (Ansi256Color, Ansi256Color) {
    match state {
        State::Allocated => (Ansi256Color(25), Ansi256Color(153)),
        State::Dirty => (Ansi256Color(214), Ansi256Color(94)),
        State::Clear => (Ansi256Color(151), Ansi256Color(65)),
    }
}

fn style(background: State, foreground: Ansi256Color) -> Style {
    let (background, _) = colours(background);
    Style::new().bg_color(Some(background.into())).fg_color(Some(foreground.into()))
}

fn draw(
    out: &mut impl Write,
    cell: &Cell<'_>,
    count: usize,
    grid: &Grid,
    colour: bool,
) -> io::Result<()> {
    match *cell {
        Cell::Empty => write!(out, "{:count$}", ""),
        Cell::Whole(state, border) if colour => {
            let style = style(state, colours(state).1);
            let fill = if state == State::Dirty { "╱" } else { " " };
            let first = if border { "▏" } else { fill };
            write!(out, "{style}{first}{}{style:#}", fill.repeat(count - 1))
        }
        Cell::Whole(state, border) => {
            let fill = character(state);
            let first = if border { "|" } else { fill };
            write!(out, "{first}{}", fill.repeat(count - 1))
        }
        Cell::Mixed(mixed) if colour => {
            let shares = mixed.shares(grid.cell_size(), 8);
            let free = if shares[2] > shares[1] { State::Clear } else { State::Dirty };
            let (top, bottom, eighths) = match shares[0] {
                0 => (State::Clear, State::Dirty, shares[1]),
                allocated => (free, State::Allocated, allocated),
            };
            let style = style(top, colours(bottom).0);
            let bar = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"][eighths.min(8) as usize];
            write!(out, "{style}{}{style:#}", bar.repeat(count))
        }
        Cell::Mixed(mixed) => write!(out, "{}", mixture(mixed).0.repeat(count)),
    }
}

/// The character of a state, without colour.
fn character(state: State) -> &'static str {
    match state {
        State::Allocated => "#",
        State::Dirty => "-",
        State::Clear => ".",
    }
}

/// The character of a cell of several blocks, and what it means.
fn mixture(mixed: &Mixed) -> (&'static str, &'static str) {
    let [allocated, dirty, clear] = mixed.bytes;
    match (allocated, dirty, clear) {
        (_, 0, 0) => (character(State::Allocated), ""),
        (0, _, 0) => (character(State::Dirty), ""),
        (0, 0, _) => (character(State::Clear), ""),
        (0, ..) => (":", "several free blocks, dirty and clear"),
        _ if allocated >= dirty.saturating_add(clear) => {
            ("%", "several blocks, half or more allocated")
        }
        _ => ("+", "several blocks, less than half allocated"),
    }
}

fn legend(
    out: &mut impl Write,
    snapshot: &Snapshot,
    totals: &Totals,
    cells: &Cells,
    grid: &Grid,
    options: &Options<'_>,
) -> io::Result<()> {
    for state in State::ALL {
        draw(out, &Cell::Whole(state, false), 2, grid, options.colour)?;
        writeln!(out, " {}", words::total(state, totals, snapshot.size))?;
    }
    let mut mixtures: Vec<_> = cells.mixed.iter().map(mixture).collect();
    mixtures.retain(|(_, meaning)| !meaning.is_empty() && !options.colour);
    mixtures.sort_unstable();
    mixtures.dedup();
    for (character, meaning) in mixtures {
        writeln!(out, "{character}{character} {meaning}")?;
    }
    let one =
        if options.layout == Layout::Hilbert { "two characters are" } else { "a character is" };
    let more = match (options.colour, cells.mixed.is_empty()) {
        (false, _) => "; | begins a block of several characters",
        (true, true) => "",
        (true, false) => "; for smaller blocks, a bar shows how much is allocated",
    };
    writeln!(out, "{one} {}{more}", words::short_size(grid.cell_size()))
}
