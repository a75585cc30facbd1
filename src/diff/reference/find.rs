//! Finding room for one block.

use super::group::State;
use super::tree::{Name, Tree};

/// Room for a block of some order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// The free block that contains it.
    pub(super) free: Name,
    /// Whether that block is clear.
    pub(super) clear: bool,
    /// The offset of the room, in bytes.
    pub(super) offset: u64,
}

impl Tree {
    /// Room anywhere: in a free block of the smallest order that fits, so that large blocks stay
    /// whole. Of several, the highest, so that low memory stays free.
    #[inline]
    pub(super) fn find_anywhere(&self, order: u32, prefer: bool) -> Option<Room> {
        self.best_fit(order, prefer).or_else(|| self.best_fit(order, !prefer))
    }

    /// The highest room in memory of the preferred state, in a block of any order.
    pub(super) fn find_from_the_top(&self, order: u32, prefer: bool) -> Option<Room> {
        self.free_orders(order, prefer)
            .filter_map(|fit| self.last_free(fit, prefer))
            .max_by_key(|&free| self.offset(free))
            .map(|free| self.highest_in(free, prefer, order))
            // Known: top-down-fallback. In the other state, the best fit is taken.
            .or_else(|| self.best_fit(order, !prefer))
    }

    /// Room at a multiple of `alignment`, which is larger than the block. Both in bytes.
    pub(super) fn find_aligned(
        &mut self,
        order: u32,
        alignment: u64,
        prefer: bool,
    ) -> Option<Room> {
        // Known: offset-aligned-not-top-down. Always the best fit.
        let mut clear = prefer;
        for fit in order..=self.order_within(self.size) {
            let zeros = self.zeros(fit, alignment);
            let mut find = |clear| {
                let free = self.last_free_multiple(fit, clear, zeros)?;
                let room = self.highest_in(free, clear, order);
                Some(Room { offset: room.offset & !(alignment - 1), ..room })
            };
            // Known: offset-aligned-flips-tree. If the preferred state has nothing of this order,
            // the other state is preferred from here on.
            let room = find(clear).or_else(|| {
                clear = !clear;
                find(clear)
            });
            if room.is_some() {
                return room;
            }
        }
        None
    }

    /// The lowest room in the bytes `start..=last`: in memory of the preferred state, or else in
    /// any state.
    pub(super) fn find_in_range(
        &mut self,
        order: u32,
        range: (u64, u64),
        prefer: bool,
    ) -> Option<Room> {
        let preferred = if prefer {
            // Known: range-skips-clear. A split block counts as dirty, so clear memory is preferred
            // only if a whole root is clear.
            let whole = Some(State::Free { clear: true });
            self.roots()
                .filter(|&root| root.order >= order && self.state(root) == whole)
                .find_map(|root| self.lowest_in(root, true, order, range))
        } else {
            self.lowest_in_range(order, range, false)
        };
        preferred.or_else(|| {
            // If dirty memory was preferred, none of it has room.
            let dirty = if prefer { self.lowest_in_range(order, range, false) } else { None };
            [dirty, self.lowest_in_range(order, range, true)]
                .into_iter()
                .flatten()
                .min_by_key(|room| room.offset)
        })
    }

    #[inline]
    fn best_fit(&self, order: u32, clear: bool) -> Option<Room> {
        let fit = self.free_orders(order, clear).next()?;
        let free = self.last_free(fit, clear)?;
        Some(self.highest_in(free, clear, order))
    }

    /// The highest room for a block of `order` in a free block.
    fn highest_in(&self, free: Name, clear: bool, order: u32) -> Room {
        Room { free, clear, offset: self.last_byte(free) - (self.bytes(order) - 1) }
    }

    /// The lowest room in the bytes `start..=last` of one free block.
    fn lowest_in(
        &self,
        free: Name,
        clear: bool,
        order: u32,
        (start, last): (u64, u64),
    ) -> Option<Room> {
        let low_bits = self.bytes(order) - 1;
        let from = self.offset(free).max(start);
        let to = self.last_byte(free).min(last);
        let offset = from.checked_add(low_bits)? & !low_bits;
        (offset <= to && to - offset >= low_bits).then_some(Room { free, clear, offset })
    }

    fn lowest_in_range(&mut self, order: u32, range: (u64, u64), clear: bool) -> Option<Room> {
        self.free_orders(order, clear)
            .filter_map(|fit| {
                // The block that contains `start` may have its room before `start`. The next block
                // begins with room, if the range has any.
                let mut from = self.name(fit, range.0).number;
                for _ in 0..2 {
                    let free = self.first_free_from(fit, clear, from)?;
                    if self.offset(free) > range.1 {
                        return None;
                    }
                    let room = self.lowest_in(free, clear, order, range);
                    if room.is_some() {
                        return room;
                    }
                    from = free.number + 1;
                }
                None
            })
            .min_by_key(|room| room.offset)
    }

    /// How many low bits of a block's number must be 0 for its offset to be a multiple of
    /// `alignment`.
    fn zeros(&self, order: u32, alignment: u64) -> u32 {
        alignment.ilog2().saturating_sub(self.bytes(order).ilog2())
    }
}
