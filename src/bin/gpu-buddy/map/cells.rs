//! The content of a map: which part of the space has which state.

use core::ops::Range;

use gpu_buddy::{BlockInfo, BlockState, Snapshot};

use super::grid::Grid;

/// The states that a map distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Allocated,
    Dirty,
    Clear,
}

impl State {
    pub const ALL: [Self; 3] = [Self::Allocated, Self::Dirty, Self::Clear];

    /// The state of a block that is not split.
    pub fn of(block: &BlockInfo) -> Self {
        match (block.state, block.clear) {
            (BlockState::Allocated, _) => Self::Allocated,
            (_, false) => Self::Dirty,
            (_, true) => Self::Clear,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Allocated => "allocated",
            Self::Dirty => "free, dirty",
            Self::Clear => "free, clear",
        }
    }
}

/// A number for each [`State`].
pub type ByState = [u64; 3];

/// Totals over the whole space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub bytes: ByState,
    pub blocks: ByState,
}

impl Totals {
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut totals = Self::default();
        for block in snapshot.leaves() {
            let state = State::of(block) as usize;
            totals.bytes[state] = totals.bytes[state].saturating_add(snapshot.block_size(block));
            totals.blocks[state] += 1;
        }
        totals
    }

    pub fn free(&self) -> u64 {
        self.bytes[State::Dirty as usize].saturating_add(self.bytes[State::Clear as usize])
    }
}

/// A block of one cell or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    pub state: State,
    pub cells: Range<u64>,
    /// In bytes, from the start of the space.
    pub offset: u64,
    pub size: u64,
}

/// A cell of several blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mixed {
    pub cell: u64,
    /// How many bytes of it are in blocks of each state.
    pub bytes: ByState,
}

/// The cells of a map. There are at most as many as in the grid, whatever the number of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cells {
    /// By ascending offset.
    pub whole: Vec<Whole>,
    /// By ascending offset.
    pub mixed: Vec<Mixed>,
}

impl Cells {
    pub fn new(snapshot: &Snapshot, grid: &Grid) -> Self {
        let mut cells = Self { whole: Vec::new(), mixed: Vec::new() };
        for block in snapshot.leaves() {
            let (state, offset, size) =
                (State::of(block), block.offset, snapshot.block_size(block));
            let first = grid.cell_of(offset);
            // A broken allocator may have blocks beyond the space.
            if first >= grid.cells() {
                continue;
            }
            if size >= grid.cell_size() {
                let length = grid.cell_of(size).min(grid.cells() - first);
                cells.whole.push(Whole { state, cells: first..first + length, offset, size });
                continue;
            }
            match cells.mixed.last_mut() {
                Some(mixed) if mixed.cell == first => mixed.bytes[state as usize] += size,
                _ => {
                    let mut mixed = Mixed { cell: first, bytes: [0; 3] };
                    mixed.bytes[state as usize] = size;
                    cells.mixed.push(mixed);
                }
            }
        }
        cells
    }
}

impl Mixed {
    /// The bytes as shares of `levels`, in the order of [`State`]. Each state that occurs gets at
    /// least a sixth, so that it is visible.
    pub fn shares(&self, cell_size: u64, levels: u64) -> ByState {
        let cell_size = u128::from(cell_size.max(1));
        let share = |bytes: u64| {
            let rounded = (u128::from(bytes) * u128::from(levels) + cell_size / 2) / cell_size;
            if bytes == 0 { 0 } else { (rounded as u64).max((levels / 6).max(1)) }
        };
        let mut shares = self.bytes.map(share);
        // The largest share compensates for the rounding.
        while shares.iter().sum::<u64>() > levels {
            let Some(largest) = shares.iter_mut().max() else { break };
            *largest -= 1;
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::super::grid::Layout;
    use super::*;

    fn block(offset: u64, order: u32, state: BlockState, clear: bool) -> BlockInfo {
        BlockInfo { offset, order, state, clear }
    }

    /// 1M with chunks of 4K, in 16 cells of 64K.
    #[test]
    fn small_blocks_are_added_up_by_cell() {
        let mut blocks = vec![block(0, 5, BlockState::Free, true)];
        for chunk in 0..16 {
            let state = if chunk < 4 { BlockState::Allocated } else { BlockState::Free };
            blocks.push(block((32 + chunk) * 4096, 0, state, false));
        }
        blocks.push(block(3 << 16, 4, BlockState::Allocated, true));
        let snapshot =
            Snapshot { chunk_size: 4096, size: 1 << 20, avail: 0, clear_avail: 0, blocks };
        let grid = Grid::new(Layout::Rows, 1 << 20, 4096, 3, 1);
        assert_eq!(grid.cell_size(), 1 << 16);
        let cells = Cells::new(&snapshot, &grid);
        let whole: Vec<_> =
            cells.whole.iter().map(|whole| (whole.state, whole.cells.clone())).collect();
        assert_eq!(whole, [(State::Clear, 0..2), (State::Allocated, 3..4)]);
        assert_eq!(cells.mixed, [Mixed { cell: 2, bytes: [4 << 12, 12 << 12, 0] }]);
        assert_eq!(cells.mixed[0].shares(1 << 16, 28), [7, 21, 0]);
    }

    #[test]
    fn small_shares_are_visible() {
        let mixed = Mixed { cell: 0, bytes: [1, (1 << 30) - 2, 1] };
        assert_eq!(mixed.shares(1 << 30, 12), [2, 8, 2]);
    }
}
