//! Taking a range of bytes that is known in advance, and contiguous memory that
//! no single block can give.

use super::row::State;
use super::tree::{Name, Tree};
use crate::diff::Block;

impl Tree {
    /// Allocates exactly the bytes from `start`, as the fewest blocks that tile
    /// them, and appends these to `blocks` by ascending offset. Says whether that
    /// worked; if not, what was allocated until then is appended.
    pub(super) fn take(&mut self, start: u64, size: u64, blocks: &mut Vec<Block>) -> bool {
        // A range that ends beyond the space may wrap around. Either way it gets
        // less than it needs.
        let last = start.wrapping_add(size).wrapping_sub(1);
        let held = blocks.len();
        let free = self.roots().all(|root| self.take_in(root, start, last, blocks));
        free && self.bytes_of(&blocks[held..]) >= size
    }

    /// Allocates what of `start..=last` lies in `name`. It stops, and answers no,
    /// at the first byte that it cannot have.
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
            // A block stays split while both halves are free only where one is
            // clear. With no clear memory in the whole space, some of this block
            // must be allocated.
            None if whole && self.clear_avail == 0 => return false,
            None => {}
        }
        name.halves().into_iter().all(|half| self.take_in(half, start, last, blocks))
    }

    /// Allocates `size` contiguous bytes that more than one block makes up, and
    /// appends the blocks to `blocks`. Says whether that worked; if not, nothing has
    /// changed. But between two attempts, what `blocks` holds is freed. Known:
    /// contiguous-frees-list.
    ///
    /// The run is guessed from its largest part: a free block of the highest
    /// order that fits into it. The run may start with that and go on to the
    /// right; or, if the right ends too early, it lies so much further left.
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
        // Clear memory comes first, whatever is preferred.
        for clear in [true, false] {
            let mut limit = Some(u64::MAX);
            while let Some(offset) = limit
                && let Some(part) = self.last_free_up_to(order, clear, offset)
            {
                let offset = self.offset(part);
                limit = offset.checked_sub(1);

                let held = blocks.len();
                if self.take(offset, size, blocks) && align_down(offset) == offset {
                    return true;
                }
                // Known: try-harder-misses-run. Only one place further left is
                // tried. It is too far left where it is aligned down, and where
                // `take` gave up at a split block, as something in it must be
                // allocated, without the free part before that.
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
