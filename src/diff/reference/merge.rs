//! Freeing, and what becomes of two buddies that are both free.
//!
//! Larger free blocks are worth more, so a block that is freed is joined with
//! its buddy if that is free, the result with *its* buddy, and so on. But two
//! halves of which one is known to be zeroed and one is not would make a whole
//! that is not: the knowledge would be lost. So buddies that differ stay apart
//! until somebody needs the room; then they are joined by force, to dirty
//! memory.

use super::row::State;
use super::tree::{Name, Tree};
use crate::diff::Block;

/// What joining by force does to the free blocks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// A free block that was clear or dirty is no more.
    Removed(Name, bool),
    /// There is a dirty one.
    Added(Name),
}

impl Tree {
    /// Frees an allocated block as clear or dirty.
    pub(super) fn free(&mut self, block: &Block, clear: bool) {
        self.count_free(block.order, clear);
        self.free_and_join(self.name(block.order, block.offset), clear);
    }

    /// Frees blocks that were allocated on the way to something that did not
    /// work out: they become again what they were.
    pub(super) fn give_back(&mut self, blocks: &mut Vec<Block>) {
        self.give_back_from(0, blocks);
    }

    /// The same with those from position `first` on.
    pub(super) fn give_back_from(&mut self, first: usize, blocks: &mut Vec<Block>) {
        for block in blocks.drain(first..) {
            self.free(&block, block.clear);
        }
    }

    /// Accounts for a block that was allocated and is free.
    pub(super) fn count_free(&mut self, order: u32, clear: bool) {
        let bytes = self.bytes(order);
        self.avail += bytes;
        if clear {
            self.clear_avail += bytes;
        }
    }

    /// Joins free buddies that differ until a block of at least `order` comes of
    /// it, and says whether one did. One of the two buddies must lie between
    /// `start` and `end`.
    ///
    /// Large pairs come before small ones: they need fewer joins, and cost less
    /// knowledge.
    ///
    /// `each` is told of each change, in order.
    pub(super) fn join_by_force(
        &mut self,
        start: u64,
        end: u64,
        order: u32,
        mut each: impl FnMut(Change),
    ) -> bool {
        for clear in [true, false] {
            for half_order in (0..order).rev() {
                // The start of the last block that ends in time.
                let mut limit = (end + 1).checked_sub(self.bytes(half_order));
                while let Some(offset) = limit
                    && let Some(half) = self.last_free_up_to(half_order, clear, offset)
                    && self.offset(half) >= start
                {
                    if self.is_free(half.buddy()) {
                        let whole = self.join_upwards(half, &mut each);
                        if whole.order >= order {
                            return true;
                        }
                    }
                    limit = self.offset(half).checked_sub(1);
                }
            }
        }
        false
    }

    /// Makes every free block clear or dirty. Free buddies are all alike then,
    /// and joined.
    pub(super) fn make_all(&mut self, clear: bool) {
        for root in self.roots() {
            self.make_all_in(root, clear);
        }
        self.clear_avail = if clear { self.avail } else { 0 };
    }

    fn make_all_in(&mut self, name: Name, clear: bool) {
        match self.state(name) {
            Some(State::Allocated { .. }) => {}
            Some(State::Free { .. }) => self.set(name, State::Free { clear }),
            None => {
                let halves = name.halves();
                for half in halves {
                    self.make_all_in(half, clear);
                }
                if halves.into_iter().all(|half| self.is_free(half)) {
                    halves.into_iter().for_each(|half| self.remove(half));
                    self.set(name, State::Free { clear });
                }
            }
        }
    }

    /// The free block of `order` at the highest offset up to `limit`.
    pub(super) fn last_free_up_to(&self, order: u32, clear: bool, limit: u64) -> Option<Name> {
        let limit = self.name(order, limit).number;
        let number = self.row(order).last_free_up_to(clear, limit)?;
        Some(Name { order, number })
    }

    /// Joins a free block with its buddy whatever that is, as far up as buddies
    /// are free. The result is dirty.
    fn join_upwards(&mut self, half: Name, each: &mut impl FnMut(Change)) -> Name {
        let mut name = half;
        self.remove_free(name, each);
        while self.is_free(name.buddy()) {
            self.remove_free(name.buddy(), each);
            name = name.whole();
        }
        self.set(name, State::Free { clear: false });
        each(Change::Added(name));
        name
    }

    /// Removes a free block that is about to be part of a dirty one.
    fn remove_free(&mut self, name: Name, each: &mut impl FnMut(Change)) {
        let clear = self.state(name) == Some(State::Free { clear: true });
        if clear {
            self.clear_avail -= self.bytes(name.order);
        }
        self.remove(name);
        each(Change::Removed(name, clear));
    }
}
