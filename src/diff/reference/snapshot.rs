//! The state as plain data, and taking over such a state.

use core::iter;

use super::row::State;
use super::tree::{Name, Tree};
use crate::{BlockInfo, BlockState, Snapshot};

impl Tree {
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            chunk_size: self.chunk_size(),
            size: self.size,
            avail: self.avail,
            clear_avail: self.clear_avail,
            blocks: self.walk().collect(),
        }
    }

    /// Takes over from `snapshot` which free blocks are clear. Changes nothing
    /// and answers no where anything else differs.
    pub(super) fn restore(&mut self, snapshot: &Snapshot) -> bool {
        let same_space = (snapshot.chunk_size, snapshot.size, snapshot.avail)
            == (self.chunk_size(), self.size, self.avail);
        let same_blocks = || {
            let theirs = snapshot.blocks.iter().copied();
            let mut ours = self.walk();
            let same = theirs.clone().all(|theirs| {
                ours.next().is_some_and(|mut ours| {
                    if ours.state == BlockState::Free {
                        ours.clear = theirs.clear;
                    }
                    ours == theirs
                })
            });
            same && ours.next().is_none()
        };
        if !same_space || !same_blocks() {
            return false;
        }
        let free = || snapshot.leaves().filter(|block| block.state == BlockState::Free);
        let clear_avail: u64 =
            free().filter(|block| block.clear).map(|block| snapshot.block_size(block)).sum();
        if clear_avail != snapshot.clear_avail {
            return false;
        }
        for &BlockInfo { offset, order, clear, .. } in free() {
            self.set(self.name(order, offset), State::Free { clear });
        }
        self.clear_avail = clear_avail;
        true
    }

    /// Every block: the roots by ascending offset, each followed by what is in
    /// it, the left half first.
    fn walk(&self) -> impl Iterator<Item = BlockInfo> {
        let mut waiting: Vec<Name> = self.roots().collect();
        waiting.reverse();
        iter::from_fn(move || {
            let name = waiting.pop()?;
            let (state, clear) = match self.state(name) {
                Some(State::Free { clear }) => (BlockState::Free, clear),
                Some(State::Allocated { clear }) => (BlockState::Allocated, clear),
                None => (BlockState::Split, false),
            };
            if state == BlockState::Split {
                let [left, right] = name.halves();
                waiting.extend([right, left]);
            }
            Some(BlockInfo { offset: self.offset(name), order: name.order, state, clear })
        })
    }
}
