//! Maps the address space to the cells of a picture.

use core::ops::Range;

/// Layout of a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Layout {
    /// Line by line, like text
    #[default]
    Rows,
    /// A square along a Hilbert curve: nearby addresses are near each other, and a block is a
    /// square or half a square
    Hilbert,
}

/// Equal cells of a power of two of bytes, from the start of the space. The last cells may be
/// beyond its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    layout: Layout,
    /// Logarithms to base 2.
    columns: u32,
    rows: u32,
    cell: u32,
    /// The size of the space in bytes.
    size: u64,
}

/// A rectangle of cells, with its position from the left and from the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    pub x: u64,
    pub y: u64,
    pub width: u64,
    pub height: u64,
}

/// A row has at least 64 chunks.
const LEAST_CHUNKS: u32 = 6;

impl Grid {
    /// At most `2^columns` times `2^rows` cells for rows, and `2^columns` squared for a
    /// Hilbert square.
    pub fn new(layout: Layout, size: u64, chunk_size: u64, columns: u32, rows: u32) -> Self {
        let space = u64::BITS - size.saturating_sub(1).leading_zeros();
        let chunks = space.saturating_sub(chunk_size.max(1).ilog2());
        let (columns, rows) = match layout {
            Layout::Rows => {
                let rows = rows.min(chunks.saturating_sub(LEAST_CHUNKS));
                (columns.min(space - rows.min(space)), rows.min(space))
            }
            Layout::Hilbert => {
                let side = columns.min(chunks.div_ceil(2)).min(space / 2);
                (side, side)
            }
        };
        Self { layout, columns, rows, cell: space - columns - rows, size }
    }

    /// Bytes per cell.
    pub fn cell_size(&self) -> u64 {
        // The shift overflows only if one cell is the whole of a space above 2^63 bytes.
        1u64.checked_shl(self.cell).unwrap_or(u64::MAX)
    }

    /// Number of cells that begin inside the space.
    pub fn cells(&self) -> u64 {
        self.size.div_ceil(self.cell_size())
    }

    pub fn columns(&self) -> u64 {
        1 << self.columns
    }

    /// Number of rows that are not empty.
    pub fn rows(&self) -> u64 {
        match self.layout {
            Layout::Rows => self.cells().div_ceil(self.columns()),
            Layout::Hilbert => 1 << self.rows,
        }
    }

    /// The cell that holds an offset.
    pub fn cell_of(&self, offset: u64) -> u64 {
        offset / self.cell_size()
    }

    /// Where a row begins, in bytes from the start of the space; `None` in a square.
    pub fn row_start(&self, row: u64) -> Option<u64> {
        (self.layout == Layout::Rows).then(|| (row << self.columns) * self.cell_size())
    }

    /// The column and row of a cell.
    pub fn place(&self, cell: u64) -> (u64, u64) {
        match self.layout {
            Layout::Rows => (cell % self.columns(), cell >> self.columns),
            Layout::Hilbert if self.columns == 0 => (0, 0),
            Layout::Hilbert => {
                let (x, y) = fast_hilbert::h2xy::<u32>(cell, self.columns as u8);
                (x.into(), y.into())
            }
        }
    }

    /// The areas of a range of cells. A block is one area; another range may have several.
    pub fn areas(&self, mut cells: Range<u64>) -> Vec<Area> {
        let mut areas: Vec<Area> = Vec::new();
        while !cells.is_empty() {
            // The largest aligned power of two that begins here.
            let length = 1u64 << (cells.end - cells.start).ilog2();
            let aligned = 1u64 << cells.start.trailing_zeros().min(63);
            let length = length.min(aligned);
            areas.push(self.aligned_area(cells.start, length));
            cells.start += length;
        }
        areas
    }

    fn aligned_area(&self, first: u64, length: u64) -> Area {
        let (x, y) = self.place(first);
        match self.layout {
            Layout::Rows => {
                let width = length.min(self.columns());
                Area { x, y, width, height: length / width }
            }
            Layout::Hilbert => {
                let side = 1u64 << (length.ilog2() / 2);
                let square = |(x, y): (u64, u64)| (x & !(side - 1), y & !(side - 1));
                let (x, y) = square((x, y));
                let (right, below) = square(self.place(first + length - 1));
                let (left, top) = (x.min(right), y.min(below));
                let (width, height) = (x.max(right) - left + side, y.max(below) - top + side);
                Area { x: left, y: top, width, height }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hilbert_square_has_each_cell_once() {
        for columns in 1..=7 {
            let grid = Grid::new(Layout::Hilbert, 1 << 40, 4096, columns, 0);
            let side = 1 << columns;
            assert_eq!((grid.columns(), grid.rows(), grid.cells()), (side, side, side * side));
            let mut seen = vec![false; grid.cells() as usize];
            let mut last: Option<(u64, u64)> = None;
            for cell in 0..grid.cells() {
                let (x, y) = grid.place(cell);
                let index = (y * side + x) as usize;
                assert!(!core::mem::replace(&mut seen[index], true), "{x}, {y} is there twice");
                if let Some((before_x, before_y)) = last {
                    assert_eq!(x.abs_diff(before_x) + y.abs_diff(before_y), 1, "cell {cell}");
                }
                last = Some((x, y));
            }
        }
    }

    #[test]
    fn a_block_is_one_area_with_all_of_its_cells() {
        for layout in [Layout::Rows, Layout::Hilbert] {
            let grid = Grid::new(layout, 1 << 30, 4096, 4, 4);
            for order in 0..=8 {
                for first in (0..grid.cells()).step_by(1 << order) {
                    let cells = first..first + (1 << order);
                    let areas = grid.areas(cells.clone());
                    let [area] = areas[..] else { panic!("{areas:?}") };
                    assert_eq!(area.width * area.height, 1 << order);
                    for (x, y) in cells.map(|cell| grid.place(cell)) {
                        assert!((area.x..area.x + area.width).contains(&x), "{area:?} {x}");
                        assert!((area.y..area.y + area.height).contains(&y), "{area:?} {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_cells_cover_any_space() {
        for (size, chunk) in [(4096, 4096), (65536, 4096), (3 << 20, 4096), (u64::MAX, 4096)] {
            for layout in [Layout::Rows, Layout::Hilbert] {
                let grid = Grid::new(layout, size, chunk, 9, 5);
                let covered = u128::from(grid.cells()) * u128::from(grid.cell_size());
                assert!(covered >= size.into(), "{grid:?}");
                let last = grid.cell_of(size - 1);
                assert!(last < grid.cells());
                let (x, y) = grid.place(last);
                assert!(x < grid.columns() && y < grid.rows(), "{grid:?}");
            }
        }
    }
}
