//! Answering a request: which blocks, of which order, in which state.
//!
//! A size is a sum of powers of two, and gets one block for each, the largest first. If there is no
//! block of that order, smaller ones take its place, down to the smallest that the request allows.
//! If even that fails, buddies of different state are merged by force. A contiguous request must be
//! a single block; as a last resort, it is pieced together around a block.

use super::find::Room;
use super::group::State;
use super::tree::Tree;
use crate::diff::Block;
use crate::{AllocRequest, Errno, GpuBuddyAllocFlag};

impl Tree {
    /// The block that answers a request for a single one, the most frequent kind. `None` if there is
    /// none, or the request is of another kind: [`request`](Self::request) then has the answer.
    pub(super) fn request_one(&mut self, request: &AllocRequest) -> Option<Block> {
        let &AllocRequest { start, end, size, min_block_size, .. } = request;
        let is_one = size.is_power_of_two()
            && size >= min_block_size
            && !request.range
            && self.check(request).is_ok()
            && start + size != end
            && self.chunks(size) <= u32::MAX.into();
        if !is_one {
            return None;
        }
        let order = self.order_within(size);
        let prefer = request.flags.contains(GpuBuddyAllocFlag::Clear);
        let room = if request.top_down {
            self.find_from_the_top(order, prefer)
        } else {
            self.find_anywhere(order, prefer)
        };
        room.map(|Room { free, clear, offset }| self.carve(free, clear, order, offset))
    }

    /// Allocates the blocks that answer `request`, and appends them to `blocks`. Blocks already in
    /// the list are the caller's.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the request makes no sense for this space, `ENOSPC` if there is no room. A
    /// failed request allocates nothing, but may have merged free buddies.
    pub(super) fn request(
        &mut self,
        request: &AllocRequest,
        blocks: &mut Vec<Block>,
    ) -> Result<(), Errno> {
        self.check(request)?;
        let &AllocRequest { start, end, .. } = request;
        let held = blocks.len();

        // Known: range-used-without-flag. A range as long as the allocation means exactly that
        // range, even without the range flag.
        if start + request.size == end {
            return self.request_exactly(request, blocks);
        }
        let plan = Plan::new(request).ok_or(Errno::EINVAL)?;
        let chunks = self.chunks(plan.size);
        // Known: large-size-truncated. Only the low 32 bits of the number of chunks count. A
        // request with higher bits as well is refused here: the laboratory keeps it away from the
        // C.
        if plan.size > self.size || chunks as u32 == 0 {
            return if plan.piece_together {
                self.piece_together(request, blocks)
            } else {
                Err(Errno::EINVAL)
            };
        }
        let mut chunks = u32::try_from(chunks).map_err(|_| Errno::EINVAL)?;

        let mut order = chunks.ilog2();
        while let Some(largest) = chunks.checked_ilog2() {
            order = order.min(largest);
            let lowest = if plan.aligned_above_size() {
                order
            } else {
                self.order_within(plan.min_block_size)
            };
            let mut found = self.find(request, &plan, order);
            while found.is_none() && order > lowest {
                order -= 1;
                found = self.find(request, &plan, order);
            }
            // Known: merge-within-unused-range, merge-stops-early. If there is no room even then:
            // failed-call-forgets-clear.
            if found.is_none()
                && self.clear_avail != 0
                && self.join_by_force(start, end, order, |_| {})
            {
                found = self.find(request, &plan, order);
            }
            let Some(Room { free, clear, offset }) = found else {
                self.give_back_from(held, blocks);
                return if plan.piece_together {
                    self.piece_together(request, blocks)
                } else {
                    Err(Errno::ENOSPC)
                };
            };
            blocks.push(self.carve(free, clear, order, offset));
            chunks -= 1 << order;
        }

        let excess = plan.size - request.size;
        if excess != 0
            && !request.flags.contains(GpuBuddyAllocFlag::TrimDisable)
            && let Some(last) = blocks.pop()
        {
            let kept = self.bytes(last.order) - excess;
            self.shrink(&last, last.offset, kept, blocks);
        }
        Ok(())
    }

    /// Shrinks an allocated block to `size` bytes from `start`, which are inside it. Appends the
    /// blocks that tile them to `kept`, and frees the rest in the state that the block had when it
    /// was allocated.
    pub(super) fn shrink(&mut self, block: &Block, start: u64, size: u64, kept: &mut Vec<Block>) {
        let &Block { order, clear, .. } = block;
        let name = self.name(order, block.offset);
        // Mark it free for a moment, but do not merge it with its buddy: `kept` must come from this
        // block.
        self.set(name, State::Free { clear });
        self.count_free(order, clear);
        self.take_in(name, start, start + (size - 1), kept);
    }

    /// Checks a request's numbers.
    fn check(&self, request: &AllocRequest) -> Result<(), Errno> {
        let &AllocRequest { start, end, size, min_block_size, .. } = request;
        let chunk_size = self.chunk_size();
        let sound = size >= chunk_size
            && min_block_size >= chunk_size
            && min_block_size.is_power_of_two()
            && (start | end | size) & (chunk_size - 1) == 0
            && end <= self.size
            // Known: range-used-without-flag.
            && start < self.size
            && size <= self.size - start;
        sound.then_some(()).ok_or(Errno::EINVAL)
    }

    fn request_exactly(
        &mut self,
        request: &AllocRequest,
        blocks: &mut Vec<Block>,
    ) -> Result<(), Errno> {
        let &AllocRequest { start, end, .. } = request;
        if (start | end) & (request.min_block_size - 1) != 0 {
            return Err(Errno::EINVAL);
        }
        let held = blocks.len();
        if self.take(start, request.size, blocks) {
            Ok(())
        } else {
            self.give_back_from(held, blocks);
            Err(Errno::ENOSPC)
        }
    }

    fn piece_together(
        &mut self,
        request: &AllocRequest,
        blocks: &mut Vec<Block>,
    ) -> Result<(), Errno> {
        let &AllocRequest { size, min_block_size, .. } = request;
        if self.take_around_a_block(size, min_block_size, blocks) {
            Ok(())
        } else {
            Err(Errno::ENOSPC)
        }
    }

    /// Room for one block of `order`.
    fn find(&mut self, request: &AllocRequest, plan: &Plan, order: u32) -> Option<Room> {
        let prefer = request.flags.contains(GpuBuddyAllocFlag::Clear);
        if request.range {
            // Known: range-ignores-alignment, range-ignores-top-down. And because the end 0 means
            // no end: empty-range-is-unbounded.
            let range = (request.start, request.end.wrapping_sub(1));
            self.find_in_range(order, range, prefer)
        } else if plan.aligned_above_size() {
            self.find_aligned(order, plan.min_block_size, prefer)
        } else if request.top_down {
            self.find_from_the_top(order, prefer)
        } else {
            self.find_anywhere(order, prefer)
        }
    }
}

/// A request with its size rounded up to a sum of blocks.
struct Plan {
    size: u64,
    min_block_size: u64,
    /// Whether several blocks may make up the contiguous run. Known: contiguous-range-rounds-up.
    piece_together: bool,
}

impl Plan {
    /// `None` if a contiguous size rounds up to more than 64 bits.
    fn new(request: &AllocRequest) -> Option<Self> {
        let &AllocRequest { size, min_block_size, .. } = request;
        let contiguous = request.flags.contains(GpuBuddyAllocFlag::Contiguous);
        let (size, min_block_size) = if contiguous {
            // One block. Known: contiguous-ignores-alignment.
            let size = size.checked_next_power_of_two()?;
            (size, size)
        } else if size < min_block_size && size.is_power_of_two() {
            // One block, aligned to more than its size.
            (size, min_block_size)
        } else {
            // The rounded size may wrap around to 0, which is refused.
            let low_bits = min_block_size - 1;
            (((size - 1) | low_bits).wrapping_add(1), min_block_size)
        };
        Some(Self { size, min_block_size, piece_together: contiguous && !request.range })
    }

    /// Whether the alignment is larger than the size.
    fn aligned_above_size(&self) -> bool {
        self.size < self.min_block_size
    }
}
