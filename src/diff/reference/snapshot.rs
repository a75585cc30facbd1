//! The state as plain data.

use core::iter;

use super::group::State;
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

    /// Every block: the roots by ascending offset, each followed by its descendants, the left half
    /// first.
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
