//! The state as plain data.

use super::group::{Line, State, WIDTH, place};
use super::tree::{Tree, group_of};
use crate::{BlockInfo, BlockState, Snapshot};

impl Tree {
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut blocks = Vec::new();
        for root in self.roots() {
            self.push(self.offset(root), root.order, &mut blocks);
        }
        Snapshot {
            chunk_size: self.chunk_size(),
            size: self.size,
            avail: self.avail,
            clear_avail: self.clear_avail,
            blocks,
        }
    }

    /// Appends a block and its descendants, the left half first.
    fn push(&self, offset: u64, order: u32, blocks: &mut Vec<BlockInfo>) {
        let (group, level) = group_of(order);
        let (line, place) = place(level, self.name(order, offset).number);
        let none = Line::default();
        let line = self.groups[group].line(line).unwrap_or(&none);
        self.push_in(line, place, offset, order, blocks);
    }

    /// The same for a block in `line`.
    fn push_in(
        &self,
        line: &Line,
        place: u64,
        offset: u64,
        order: u32,
        blocks: &mut Vec<BlockInfo>,
    ) {
        let (state, clear) = match line.state(place) {
            Some(State::Free { clear }) => (BlockState::Free, clear),
            Some(State::Allocated { clear }) => (BlockState::Allocated, clear),
            None => (BlockState::Split, false),
        };
        blocks.push(BlockInfo { offset, order, state, clear });
        let Some(below) = order.checked_sub(1).filter(|_| state == BlockState::Split) else {
            return;
        };
        let middle = offset + self.bytes(below);
        if place < WIDTH {
            self.push_in(line, place << 1, offset, below, blocks);
            self.push_in(line, place << 1 | 1, middle, below, blocks);
        } else {
            self.push(offset, below, blocks);
            self.push(middle, below, blocks);
        }
    }
}
