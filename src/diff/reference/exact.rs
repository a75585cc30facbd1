//! Taking a range of bytes that is known in advance, and contiguous memory that
//! no single block can give.

use super::tree::{BlockId, State, Tree};

impl Tree {
    /// Allocates exactly the bytes from `start`, as the fewest blocks that tile
    /// them, and appends these to `blocks` by ascending offset. Says whether that
    /// worked; where it did not, `blocks` holds what was allocated until then.
    pub(super) fn take(&mut self, start: u64, size: u64, blocks: &mut Vec<BlockId>) -> bool {
        let mark = blocks.len();
        let last = start.wrapping_add(size).wrapping_sub(1);
        let free = self
            .roots()
            .all(|root| self.take_in(root, start, last, blocks));
        free && self.bytes_in(&blocks[mark..]) >= size
    }

    /// Allocates what of `start..=last` lies in `block`, without refreshing what
    /// `block` is in. It stops, and answers no, at the first byte that it cannot
    /// have.
    pub(super) fn take_in(
        &mut self,
        block: BlockId,
        start: u64,
        last: u64,
        blocks: &mut Vec<BlockId>,
    ) -> bool {
        let (block_start, block_last) = (self.offset(block), self.last_byte(block));
        if start > block_last || last < block_start {
            return true;
        }
        let whole = start <= block_start && block_last <= last;
        let halves = match self.state(block) {
            State::Allocated { .. } => return false,
            State::Free { clear } if whole => {
                self.allocate(block, clear);
                blocks.push(block);
                return true;
            }
            // A block stays split while both halves are free only where one is
            // clear. With no clear memory in the whole space, some of this block
            // must be allocated.
            State::Split(_) if whole && self.clear_avail == 0 => return false,
            State::Free { clear } => self.split(block, clear),
            State::Split(pair) => BlockId::halves_of(pair),
        };
        let taken = halves
            .into_iter()
            .all(|half| self.take_in(half, start, last, blocks));
        self.refresh(block);
        taken
    }

    /// Looks for `size` contiguous bytes that more than one block makes up.
    ///
    /// The run is guessed from its largest part: a free block of the order just
    /// below what was asked for. The run may start with it and go on to the
    /// right; or, if the right ends too early, it lies so much further left.
    pub(super) fn take_around_a_block(
        &mut self,
        size: u64,
        alignment: u64,
    ) -> Option<Vec<BlockId>> {
        let order = size.ilog2() - self.chunk_log2;
        if order == 0 {
            return None;
        }
        let align_down = |offset: u64| offset & !(alignment - 1);
        let mut blocks = Vec::new();
        for clear in [true, false] {
            let mut at_most = Some(u64::MAX);
            while let Some(limit) = at_most
                && let Some(block) = self.last_free_up_to(order, clear, limit)
            {
                let offset = self.offset(block);
                at_most = offset.checked_sub(1);

                let to_the_right = self.take(offset, size, &mut blocks);
                if to_the_right && align_down(offset) == offset {
                    return Some(blocks);
                }
                // Known: try-harder-misses-run. `take` gives up early where a
                // split block shows that something in it is allocated, without
                // taking the free part before that. The second guess then lies
                // further left than it had to.
                let missing = size - self.bytes_in(&blocks).min(size);
                self.give_back(&mut blocks);
                let Some(further_left) = offset.checked_sub(missing) else {
                    continue;
                };
                if self.take(align_down(further_left), size, &mut blocks) {
                    return Some(blocks);
                }
                self.give_back(&mut blocks);
            }
        }
        None
    }

    /// The bytes in these blocks together.
    fn bytes_in(&self, blocks: &[BlockId]) -> u64 {
        blocks.iter().map(|&block| self.size_of(block)).sum()
    }
}
