//! Freeing, and merging two free buddies.
//!
//! A freed block is merged with its buddy if that is free, the result with *its* buddy, and so on,
//! because large free blocks are worth more. But a clear half and a dirty half would make a dirty
//! block, and lose the knowledge that one half is zeroed. So buddies of different state stay apart
//! until the room is needed. Then they are merged by force, into dirty memory.

use core::hint::black_box;

use super::blocks::Blocks;
use super::group::State;
use super::tree::{Name, Tree};
use crate::diff::Block;

/// A change to the free blocks when buddies are merged by force.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// A free block is gone; whether it was clear.
    Removed(Name, bool),
    /// A free dirty block was added.
    Added(Name),
}

impl Tree {
    /// Frees an allocated block as clear or dirty.
    #[inline]
    pub(super) fn free(&mut self, block: &Block, clear: bool) {
        self.count_free(block.order, clear);
        self.free_and_join(block, clear);
    }

    /// Frees all blocks of an allocation as clear or dirty.
    pub(super) fn free_all(&mut self, blocks: &Blocks, clear: bool) {
        if let Some(block) = blocks.only() {
            self.free(&block, clear);
            return;
        }
        // Reads ahead. The blocks are far apart in memory, and the processor waits for all at once.
        for block in blocks.iter() {
            black_box(self.peek(&block));
        }
        for block in blocks.iter() {
            self.free(&block, clear);
        }
    }

    /// Frees the blocks of an attempt that failed. They keep their clear state.
    pub(super) fn give_back(&mut self, blocks: &mut Vec<Block>) {
        self.give_back_from(0, blocks);
    }

    /// Does the same from position `first` on.
    pub(super) fn give_back_from(&mut self, first: usize, blocks: &mut Vec<Block>) {
        for block in blocks.drain(first..) {
            self.free(&block, block.clear);
        }
    }

    /// Adds a freed block to the accounts.
    #[inline]
    pub(super) fn count_free(&mut self, order: u32, clear: bool) {
        let bytes = self.bytes(order);
        self.avail += bytes;
        if clear {
            self.clear_avail += bytes;
        }
    }

    /// Merges free buddies of different state until a block of at least `order` results, and
    /// returns whether one did. At least one of two buddies must be between `start` and `end`.
    ///
    /// Large pairs come first: they need fewer merges, and make less clear memory dirty.
    ///
    /// Calls `each` with every change, in order.
    pub(super) fn join_by_force(
        &mut self,
        start: u64,
        end: u64,
        order: u32,
        mut each: impl FnMut(Change),
    ) -> bool {
        for clear in [true, false] {
            for half_order in (0..order).rev() {
                // The start of the last block that ends by `end`.
                let mut limit = (end + 1).checked_sub(self.bytes(half_order));
                while let Some(offset) = limit
                    && let Some(half) = self.last_free_up_to(
                        half_order,
                        clear,
                        self.name(half_order, offset).number,
                    )
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

    /// Makes every free block clear or dirty. Free buddies then have the same state, and are
    /// merged.
    pub(super) fn make_all(&mut self, clear: bool) {
        for order in self.free_orders(0, !clear) {
            while let Some(name) = self.last_free(order, !clear) {
                self.remove(name);
                self.free_and_join(&Block { offset: self.offset(name), order, clear }, clear);
            }
        }
        self.clear_avail = if clear { self.avail } else { 0 };
    }

    /// Merges a free block with its buddy, whatever the state of each, and goes on upwards while
    /// buddies are free. The result is dirty.
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

    /// Removes a free block that becomes part of a dirty one.
    fn remove_free(&mut self, name: Name, each: &mut impl FnMut(Change)) {
        let clear = self.state(name) == Some(State::Free { clear: true });
        if clear {
            self.clear_avail -= self.bytes(name.order);
        }
        self.remove(name);
        each(Change::Removed(name, clear));
    }
}
