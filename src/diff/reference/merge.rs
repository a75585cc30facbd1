//! Freeing, and what becomes of two buddies that are both free.
//!
//! Larger free blocks are worth more, so a block that is freed is joined with
//! its buddy if that is free, the result with *its* buddy, and so on. But two
//! halves of which one is known to be zeroed and one is not would make a whole
//! that is not: the knowledge would be lost. So buddies that differ stay apart
//! until somebody needs the room; then they are joined by force, to dirty
//! memory.

use super::tree::{BlockId, State, Tree};

impl Tree {
    /// Frees an allocated block as clear or dirty.
    pub(super) fn free(&mut self, block: BlockId, clear: bool) {
        let bytes = self.size_of(block);
        self.avail += bytes;
        if clear {
            self.clear_avail += bytes;
        }
        let mut whole = block;
        while self.state(whole.buddy()) == (State::Free { clear }) {
            whole = self.parent(whole);
            self.discard_halves(whole);
        }
        self.set_free(whole, clear);
        self.refresh_above(whole);
    }

    /// Frees blocks that were allocated on the way to something that did not
    /// work out: they become again what they were.
    pub(super) fn give_back(&mut self, blocks: &mut Vec<BlockId>) {
        for block in blocks.drain(..) {
            self.free(block, self.was_clear(block));
        }
    }

    /// Joins free buddies that differ until a block of at least `order` comes of
    /// it, and says whether one did. One of the two buddies must lie between
    /// `start` and `end`.
    ///
    /// Large pairs come before small ones: they need fewer joins, and cost less
    /// knowledge.
    pub(super) fn join_by_force(&mut self, start: u64, end: u64, order: u32) -> bool {
        for clear in [true, false] {
            for order_of_halves in (0..order).rev() {
                let Some(mut at_most) = (end + 1).checked_sub(self.bytes(order_of_halves)) else {
                    continue;
                };
                while let Some(half) = self.last_free_with_buddy(order_of_halves, clear, at_most) {
                    let offset = self.offset(half);
                    if offset < start {
                        break;
                    }
                    let whole = self.join_upwards(half);
                    if self.order(whole) >= order {
                        return true;
                    }
                    let Some(below) = offset.checked_sub(1) else {
                        break;
                    };
                    at_most = below;
                }
            }
        }
        false
    }

    /// Makes every free block clear or dirty. All free buddies are alike then,
    /// and joined.
    pub(super) fn make_all(&mut self, clear: bool) {
        for root in self.roots() {
            self.make_all_in(root, clear);
        }
        self.clear_avail = if clear { self.avail } else { 0 };
    }

    fn make_all_in(&mut self, block: BlockId, clear: bool) {
        match self.state(block) {
            State::Allocated { .. } => {}
            State::Free { .. } => self.set_free(block, clear),
            State::Split(pair) => {
                let halves = BlockId::halves_of(pair);
                for half in halves {
                    self.make_all_in(half, clear);
                }
                if halves.into_iter().all(|half| self.is_free(half)) {
                    self.discard_halves(block);
                    self.set_free(block, clear);
                } else {
                    self.refresh(block);
                }
            }
        }
    }

    /// Joins a free block with its buddy whatever that is, as far up as buddies
    /// are free. The result is dirty.
    fn join_upwards(&mut self, half: BlockId) -> BlockId {
        let mut whole = half;
        self.forget_clear(half);
        while self.is_free(whole.buddy()) {
            self.forget_clear(whole.buddy());
            whole = self.parent(whole);
            self.discard_halves(whole);
        }
        self.set_free(whole, false);
        self.refresh_above(whole);
        whole
    }

    /// Takes a free block that is about to become dirty out of the clear bytes.
    fn forget_clear(&mut self, block: BlockId) {
        if self.state(block) == (State::Free { clear: true }) {
            self.clear_avail -= self.size_of(block);
        }
    }
}
