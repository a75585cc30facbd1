//! Finding a free block: every question is a walk down the tree.
//!
//! Because a block knows the orders that are free in it, a walk does not enter
//! a part of the space that cannot answer. A walk takes one step per level;
//! only the search for an aligned block may have to turn back, because the sets
//! do not tell how blocks are aligned.

use super::tree::{BlockId, Orders, Tree};

/// The orders from `order` up.
pub(super) const fn at_least(order: u32) -> Orders {
    !0 << order
}

impl Tree {
    /// Of the free blocks with an order in `orders`, the one at the highest
    /// offset.
    pub(super) fn last_free(&self, orders: Orders, clear: bool) -> Option<BlockId> {
        let has = |block: BlockId| self.free_in(block, clear) & orders != 0;
        let mut block = self.roots().rev().find(|&root| has(root))?;
        while let Some([left, right]) = self.halves(block) {
            block = if has(right) { right } else { left };
        }
        Some(block)
    }

    /// Of the free blocks of the smallest order that is at least `order`, the
    /// one at the highest offset.
    pub(super) fn last_of_best_fit(&self, order: u32, clear: bool) -> Option<BlockId> {
        let large_enough = self.free_orders(clear) & at_least(order);
        let smallest = large_enough & large_enough.wrapping_neg();
        self.last_free(smallest, clear)
    }

    /// Of the free blocks of `order` at or below the offset `at_most`, the one
    /// at the highest offset.
    pub(super) fn last_free_up_to(&self, order: u32, clear: bool, at_most: u64) -> Option<BlockId> {
        self.last_where(order, |block| {
            self.free_in(block, clear) & 1 << order != 0 && self.offset(block) <= at_most
        })
    }

    /// As [`Self::last_free_up_to`], of those blocks whose buddy is free, too.
    pub(super) fn last_free_with_buddy(
        &self,
        order: u32,
        clear: bool,
        at_most: u64,
    ) -> Option<BlockId> {
        // One of two free buddies is clear and the other dirty, so every block
        // that they are in has both.
        let promising = |block: BlockId| {
            if self.order(block) == order {
                self.is_free(block.buddy())
            } else {
                self.free_in(block, !clear) & 1 << order != 0
            }
        };
        self.last_where(order, |block| {
            self.free_in(block, clear) & 1 << order != 0
                && promising(block)
                && self.offset(block) <= at_most
        })
    }

    /// Of the free blocks of `order` at multiples of `alignment` bytes, the one
    /// at the highest offset.
    pub(super) fn last_aligned(&self, order: u32, clear: bool, alignment: u64) -> Option<BlockId> {
        self.last_where(order, |block| {
            // A block no larger than the alignment holds an aligned place at its
            // very start or nowhere.
            self.free_in(block, clear) & 1 << order != 0
                && (self.size_of(block) > alignment || self.offset(block) & (alignment - 1) == 0)
        })
    }

    /// The lowest place in `within` for a block of `order` that lies in the bytes
    /// `start..=last` and in a free block of one of the `states` (clear or not):
    /// that free block, and the offset of the place.
    pub(super) fn first_in_range(
        &self,
        within: BlockId,
        order: u32,
        (start, last): (u64, u64),
        states: &[bool],
    ) -> Option<(BlockId, u64)> {
        let fits = |&clear: &bool| self.free_in(within, clear) & at_least(order) != 0;
        let from = self.offset(within).max(start);
        let to = self.last_byte(within).min(last);
        if from > to || !states.iter().any(fits) {
            return None;
        }
        if let Some(halves) = self.halves(within) {
            return halves
                .into_iter()
                .find_map(|half| self.first_in_range(half, order, (start, last), states));
        }
        let low_bits = self.bytes(order) - 1;
        let place = (from + low_bits) & !low_bits;
        (place <= to && to - place >= low_bits).then_some((within, place))
    }

    /// The block at the highest offset of those with this order that are
    /// `promising`. A block is promising whenever one in it is.
    fn last_where(&self, order: u32, promising: impl Fn(BlockId) -> bool) -> Option<BlockId> {
        // What is left to look at, the most promising on top: at each level at
        // most the left half of what was entered.
        let mut waiting: Vec<BlockId> = self.roots().collect();
        while let Some(block) = waiting.pop() {
            if !promising(block) {
                continue;
            }
            if self.order(block) == order {
                return Some(block);
            }
            waiting.extend(self.halves(block).into_iter().flatten());
        }
        None
    }
}
