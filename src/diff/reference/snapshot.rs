//! The state as plain data, and taking over such a state.

use super::tree::{BlockId, State, Tree};
use crate::{BlockInfo, BlockState, Snapshot};

impl Tree {
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            chunk_size: self.chunk_size(),
            size: self.size,
            avail: self.avail,
            clear_avail: self.clear_avail,
            blocks: self.walk().map(|block| self.info(block)).collect(),
        }
    }

    /// Takes over from `snapshot` which free blocks are clear. Changes nothing
    /// and answers no where anything else differs.
    pub(super) fn restore(&mut self, snapshot: &Snapshot) -> bool {
        let same_space = (snapshot.chunk_size, snapshot.size, snapshot.avail)
            == (self.chunk_size(), self.size, self.avail);
        let blocks: Vec<_> = self.walk().collect();
        let same_blocks = blocks.len() == snapshot.blocks.len()
            && blocks.iter().zip(&snapshot.blocks).all(|(&block, theirs)| {
                let mut ours = self.info(block);
                if ours.state == BlockState::Free {
                    ours.clear = theirs.clear;
                }
                ours == *theirs
            });
        let clear = snapshot
            .leaves()
            .filter(|block| block.state == BlockState::Free && block.clear)
            .map(|block| snapshot.block_size(block))
            .sum::<u64>();
        if !same_space || !same_blocks || clear != snapshot.clear_avail {
            return false;
        }
        // What is in a block comes after it, so backwards every block's halves
        // are right before it is refreshed.
        for (&block, theirs) in blocks.iter().zip(&snapshot.blocks).rev() {
            match theirs.state {
                BlockState::Free => self.set_free(block, theirs.clear),
                BlockState::Split => self.refresh(block),
                BlockState::Allocated => {}
            }
        }
        self.clear_avail = clear;
        true
    }

    fn info(&self, block: BlockId) -> BlockInfo {
        let (state, clear) = match self.state(block) {
            State::Free { clear } => (BlockState::Free, clear),
            State::Allocated { clear } => (BlockState::Allocated, clear),
            State::Split(_) => (BlockState::Split, false),
        };
        BlockInfo {
            offset: self.offset(block),
            order: self.order(block),
            state,
            clear,
        }
    }
}
