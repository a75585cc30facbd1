//! Allocating a range of bytes that is known in advance, and a contiguous run that no single block
//! can provide.

use super::group::State;
use super::tree::{Name, Tree};
use crate::diff::Block;

impl Tree {
    /// Allocates `size` bytes from `start` as the fewest blocks that tile them, and appends these
    /// to `blocks` by ascending offset. Returns whether that worked; if not, `blocks` has what was
    /// allocated so far.
    pub(super) fn take(&mut self, start: u64, size: u64, blocks: &mut Vec<Block>) -> bool {
        // A range that ends beyond the space may wrap around. It gets too few bytes either way.
        let last = start.wrapping_add(size).wrapping_sub(1);
        let held = blocks.len();
        let free = self.roots().all(|root| self.take_in(root, start, last, blocks));
        free && self.bytes_of(&blocks[held..]) >= size
    }

    /// Allocates the part of `start..=last` that is in `name`. Returns false at the first byte that
    /// is not free.
    pub(super) fn take_in(
        &mut self,
        name: Name,
        start: u64,
        last: u64,
        blocks: &mut Vec<Block>,
    ) -> bool {
        let (block_start, block_last) = (self.offset(name), self.last_byte(name));
        if start > block_last || last < block_start {
            return true;
        }
        let whole = start <= block_start && block_last <= last;
        match self.state(name) {
            Some(State::Allocated { .. }) => return false,
            Some(State::Free { clear }) if whole => {
                blocks.push(self.allocate(name, clear));
                return true;
            }
            Some(State::Free { clear }) => self.split(name, clear),
            // Both halves of a split block are free only if one of them is clear. If no memory is
            // clear, some of this block is allocated.
            None if whole && self.clear_avail == 0 => return false,
            None => {}
        }
        name.halves().into_iter().all(|half| self.take_in(half, start, last, blocks))
    }

    /// Allocates a run of `size` contiguous bytes from several blocks, and appends these to
    /// `blocks`. Returns whether that worked; if not, no block is allocated or freed. But each
    /// failed attempt frees everything in `blocks`. Known: contiguous-frees-list.
    ///
    /// The search starts from free blocks of the highest order that fits into the run. It tries a
    /// run that begins with such a block. If the free memory there is too short, it tries one that
    /// begins further left by what is missing.
    pub(super) fn take_around_a_block(
        &mut self,
        size: u64,
        alignment: u64,
        blocks: &mut Vec<Block>,
    ) -> bool {
        let order = self.order_within(size);
        if order == 0 {
            return false;
        }
        let align_down = |offset: u64| offset & !(alignment - 1);
        // Clear memory is tried first, whatever is preferred.
        for clear in [true, false] {
            let mut limit = Some(u64::MAX);
            while let Some(offset) = limit
                && let Some(part) =
                    self.last_free_up_to(order, clear, self.name(order, offset).number)
            {
                let offset = self.offset(part);
                limit = offset.checked_sub(1);

                let held = blocks.len();
                if self.take(offset, size, blocks) && align_down(offset) == offset {
                    return true;
                }
                // Known: try-harder-misses-run. Only one place further left is tried. It is too far
                // left if aligning moves it down, or if `take` stopped inside a split block and did
                // not count the free part before that.
                let missing = size.saturating_sub(self.bytes_of(&blocks[held..]));
                self.give_back(blocks);
                if let Some(further_left) = offset.checked_sub(missing) {
                    if self.take(align_down(further_left), size, blocks) {
                        return true;
                    }
                    self.give_back(blocks);
                }
            }
        }
        false
    }
}
