//! Answering a request: which blocks, of which order, in which state.
//!
//! A size is a sum of powers of two, and is answered with one block for each,
//! the largest first. Where a block of that order cannot be had, smaller ones
//! take its place, down to the smallest that the request allows. When even that
//! fails, buddies that differ are joined by force; and a contiguous request,
//! which must be a single block, is at last pieced together around a block.

use super::search::at_least;
use super::tree::{BlockId, State, Tree};
use crate::{AllocRequest, Errno, GpuBuddyAllocFlag};

impl Tree {
    /// Allocates the blocks that answer `request`.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the request makes no sense for this space, `ENOSPC` where
    /// there is no room. A failed request allocates nothing, but it may have
    /// joined free buddies.
    pub(super) fn request(&mut self, request: &AllocRequest) -> Result<Vec<BlockId>, Errno> {
        self.check(request)?;
        let &AllocRequest { start, end, .. } = request;
        let mut blocks = Vec::new();

        // Known: range-used-without-flag. A range as long as the allocation
        // means exactly that range, whether or not a range was asked for.
        if start + request.size == end {
            if (start | end) & (request.min_block_size - 1) != 0 {
                return Err(Errno::EINVAL);
            }
            return if self.take(start, request.size, &mut blocks) {
                Ok(blocks)
            } else {
                self.give_back(&mut blocks);
                Err(Errno::ENOSPC)
            };
        }

        let plan = Plan::new(request).ok_or(Errno::EINVAL)?;
        let by_hand = plan.contiguous && !request.range;
        let chunks = plan.size >> self.chunk_log2;
        // Known: large-size-truncated. The order is taken from the low 32 bits
        // of the number of chunks. Where other bits are set as well the kernel
        // hands out small blocks without an end in sight: no such request is
        // made.
        let Some(mut order) = (chunks as u32)
            .checked_ilog2()
            .filter(|_| plan.size <= self.size)
        else {
            return if by_hand {
                self.take_around_a_block(request.size, request.min_block_size)
                    .ok_or(Errno::ENOSPC)
            } else {
                Err(Errno::EINVAL)
            };
        };
        let Ok(mut chunks) = u32::try_from(chunks) else {
            return Err(Errno::EINVAL);
        };

        let smallest = if plan.aligned_below_size() {
            order
        } else {
            plan.min_block_size.ilog2() - self.chunk_log2
        };
        while let Some(largest) = chunks.checked_ilog2() {
            order = order.min(largest);
            let found = loop {
                match self.find(request, &plan, order) {
                    None if order > smallest => order -= 1,
                    found => break found,
                }
            };
            // Known: range-used-without-flag, failed-call-forgets-clear.
            let found = found.or_else(|| {
                (self.clear_avail != 0 && self.join_by_force(start, end, order))
                    .then(|| self.find(request, &plan, order))
                    .flatten()
            });
            let Some((free, offset)) = found else {
                self.give_back(&mut blocks);
                return by_hand
                    .then(|| self.take_around_a_block(request.size, request.min_block_size))
                    .flatten()
                    .ok_or(Errno::ENOSPC);
            };
            blocks.push(self.carve(free, offset, order));
            chunks -= 1 << order;
        }

        if !request.flags.contains(GpuBuddyAllocFlag::TrimDisable) && plan.size > request.size {
            self.trim_last(&mut blocks, plan.size - request.size);
        }
        Ok(blocks)
    }

    /// Replaces an allocated block by the blocks that tile its `size` bytes from
    /// `start`, which lie in it, and frees the rest. What is freed is as clear
    /// as the block was when it was allocated.
    pub(super) fn shrink(&mut self, block: BlockId, start: u64, size: u64) -> Vec<BlockId> {
        let clear = self.was_clear(block);
        let bytes = self.size_of(block);
        self.avail += bytes;
        if clear {
            self.clear_avail += bytes;
        }
        // Free for a moment, but not joined with its buddy: what is kept must
        // come from this block.
        self.set_free(block, clear);
        let mut kept = Vec::new();
        self.take_in(block, start, start + (size - 1), &mut kept);
        self.refresh_above(block);
        kept
    }

    /// The checks of a request's numbers. Where several are wrong the order of
    /// the checks does not show: the answer is always the same.
    fn check(&self, request: &AllocRequest) -> Result<(), Errno> {
        let &AllocRequest {
            start,
            end,
            size,
            min_block_size,
            ..
        } = request;
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

    /// Gives back the last `excess` bytes of an allocation.
    fn trim_last(&mut self, blocks: &mut Vec<BlockId>, excess: u64) {
        if let Some(last) = blocks.pop() {
            let kept = self.size_of(last) - excess;
            blocks.append(&mut self.shrink(last, self.offset(last), kept));
        }
    }

    /// A free block, and where in it a block of `order` is to be allocated.
    fn find(&self, request: &AllocRequest, plan: &Plan, order: u32) -> Option<(BlockId, u64)> {
        let prefer = request.flags.contains(GpuBuddyAllocFlag::Clear);
        if request.range {
            // Known: range-ignores-alignment. Only the order decides.
            let last = request.end.wrapping_sub(1);
            return self.find_in_range(order, (request.start, last), prefer);
        }
        let (free, alignment) = if plan.aligned_below_size() {
            let alignment = plan.min_block_size;
            (self.find_aligned(order, prefer, alignment)?, alignment)
        } else {
            (self.find_anywhere(order, prefer, request.top_down)?, 1)
        };
        // The highest place in the block.
        let last_place = self.last_byte(free) - (self.bytes(order) - 1);
        Some((free, last_place & !(alignment - 1)))
    }

    /// A free block for a request that does not care where.
    ///
    /// The best fit, so that large blocks stay whole; of several the highest,
    /// so that the low end stays free for those who need it. From the top down
    /// the highest is taken, whatever its size.
    fn find_anywhere(&self, order: u32, prefer: bool, top_down: bool) -> Option<BlockId> {
        let preferred = if top_down {
            self.last_free(at_least(order), prefer)
        } else {
            self.last_of_best_fit(order, prefer)
        };
        // Known: top-down-fallback. Of the other state the best fit is taken.
        preferred.or_else(|| self.last_of_best_fit(order, !prefer))
    }

    /// A free block that holds a place for a block of `order` at a multiple of
    /// `alignment`, which is more than the block's size.
    fn find_aligned(&self, order: u32, prefer: bool, alignment: u64) -> Option<BlockId> {
        // Known: offset-aligned-not-top-down.
        let mut clear = prefer;
        for order in order..=self.size.ilog2() - self.chunk_log2 {
            if let Some(block) = self.last_aligned(order, clear, alignment) {
                return Some(block);
            }
            // Known: offset-aligned-flips-tree. The other state is tried, and
            // stays the preferred one for the next order.
            clear = !clear;
            if let Some(block) = self.last_aligned(order, clear, alignment) {
                return Some(block);
            }
        }
        None
    }

    /// The lowest place for a block of `order` in the bytes `start..=last`:
    /// first in memory of the preferred state, then in any.
    fn find_in_range(
        &self,
        order: u32,
        range: (u64, u64),
        prefer: bool,
    ) -> Option<(BlockId, u64)> {
        // Known: range-skips-clear. Split blocks count as dirty, so clear memory
        // is found first only where a whole root is clear.
        let enter = |root: &BlockId| !prefer || self.state(*root) == State::Free { clear: true };
        self.roots()
            .filter(enter)
            .find_map(|root| self.first_in_range(root, order, range, &[prefer]))
            .or_else(|| {
                self.roots()
                    .find_map(|root| self.first_in_range(root, order, range, &[false, true]))
            })
    }
}

/// A request with its size rounded to what blocks can make up.
struct Plan {
    contiguous: bool,
    size: u64,
    min_block_size: u64,
}

impl Plan {
    /// `None` for a contiguous size that no power of two in 64 bits covers.
    fn new(request: &AllocRequest) -> Option<Self> {
        let &AllocRequest {
            size,
            min_block_size,
            ..
        } = request;
        let contiguous = request.flags.contains(GpuBuddyAllocFlag::Contiguous);
        let (size, min_block_size) = if contiguous {
            // One block. Known: contiguous-ignores-alignment.
            let size = size.checked_next_power_of_two()?;
            (size, size)
        } else if size < min_block_size && size.is_power_of_two() {
            // One block of that size, only at an aligned place.
            (size, min_block_size)
        } else {
            // The rounded size may wrap around to 0, which no order fits.
            let low_bits = min_block_size - 1;
            let size = (size - 1 | low_bits).wrapping_add(1);
            (size, min_block_size)
        };
        Some(Self {
            contiguous,
            size,
            min_block_size,
        })
    }

    /// Whether the place must be aligned to more than the size.
    fn aligned_below_size(&self) -> bool {
        self.size < self.min_block_size
    }
}
