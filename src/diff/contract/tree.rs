//! Judges the whole state.

use crate::{BlockState, Inconsistency, Snapshot};

use super::{Accounts, Block, Breach, Contract, Detail, Promise};

impl Contract {
    /// Judges the whole state: what a scan of the allocator's own structures found, and whether the
    /// tree agrees with what is allocated and known to be clear.
    pub fn check_tree(
        &mut self,
        snapshot: Option<&Snapshot>,
        inconsistencies: &[Inconsistency],
    ) -> Vec<Breach> {
        if self.unusable {
            return Vec::new();
        }
        if let Some(&found) = inconsistencies.first() {
            self.breach(Promise::Consistent, Detail::Inconsistency(found));
        }
        if let Some(snapshot) = snapshot {
            self.check_leaves(snapshot);
            self.check_merged(snapshot);
        }
        core::mem::take(&mut self.found)
    }

    fn check_leaves(&mut self, snapshot: &Snapshot) {
        let (mut end, mut allocated) = (0, 0);
        let mut free = Accounts::default();
        for leaf in snapshot.leaves() {
            let block = Block::from(*leaf);
            let at = |what| Detail::At(block.offset, what);
            if block.offset != end || !self.is_inside(&block) {
                return self.breach(Promise::Snapshot, at("the blocks do not tile the space"));
            }
            end += self.size_of(&block);
            let chunks = self.chunks_of(&block);
            match leaf.state {
                BlockState::Allocated => {
                    allocated += 1;
                    if self.occupancy.at(chunks.start) != Some((chunks.start, block.order)) {
                        let what = at("an allocated block was not handed out");
                        self.breach(Promise::Snapshot, what);
                    }
                }
                BlockState::Free | BlockState::Split => {
                    free.avail += self.size_of(&block);
                    if !self.occupancy.is_free(chunks.clone()) {
                        let what = at("a free block was handed out and not freed");
                        self.breach(Promise::Snapshot, what);
                    }
                    if self.tracks_clear && block.clear {
                        free.clear_avail += self.size_of(&block);
                        if !self.clear.covers(chunks) {
                            let what = at("a free block is clear but was not freed as cleared");
                            self.breach(Promise::ClearIsClear, what);
                        }
                    }
                }
            }
        }
        if end != self.space.size || allocated != self.occupancy.count() {
            self.breach(Promise::Snapshot, Detail::At(end, "blocks are missing"));
        }
        let is = Accounts { avail: snapshot.avail, clear_avail: snapshot.clear_avail };
        self.compare_accounts(Promise::Avail, Promise::ClearAvail, free, is);
    }

    fn check_merged(&mut self, snapshot: &Snapshot) {
        for halves in snapshot.blocks.windows(3) {
            if let [whole, left, right] = halves
                && whole.state == BlockState::Split
                && (left.state, right.state) == (BlockState::Free, BlockState::Free)
                && left.order + 1 == whole.order
                && left.clear == right.clear
            {
                let what = "both halves of the block are free in the same clear state";
                return self.breach(Promise::Merged, Detail::At(whole.offset, what));
            }
        }
    }
}
