//! The state of an allocator as plain data.

use core::fmt;
use core::ops::Range;

/// The state of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockState {
    /// Free: it can be allocated or split.
    Free,
    /// Allocated, and owned by a caller.
    Allocated,
    /// Split into two halves, which follow it in the [`Snapshot`].
    Split,
}

/// One block of a [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockInfo {
    /// The offset in bytes from the start of the space, without the base offset.
    pub offset: u64,
    /// The block is `chunk_size << order` bytes long.
    pub order: u32,
    /// Free, allocated or split.
    pub state: BlockState,
    /// Whether the block is known to be zeroed. For an allocated block: whether it was when it was
    /// allocated. Always false for a split block.
    pub clear: bool,
}

/// The whole tree of an allocator and its counters, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Snapshot {
    /// The smallest unit, in bytes.
    pub chunk_size: u64,
    /// The size of the managed space in bytes.
    pub size: u64,
    /// Free bytes, as counted by the allocator.
    pub avail: u64,
    /// Free bytes that are known to be zeroed, as counted by the allocator.
    pub clear_avail: u64,
    /// Every block: the roots by ascending offset, each followed by its descendants, the left half
    /// first.
    pub blocks: Vec<BlockInfo>,
}

/// The number of blocks of one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OrderStatistics {
    /// Blocks of this order are `chunk_size << order` bytes long.
    pub order: u32,
    /// Free blocks that are known to be zeroed.
    pub free_clear: u64,
    /// Free blocks of unknown content.
    pub free_dirty: u64,
    /// Allocated blocks.
    pub allocated: u64,
}

impl OrderStatistics {
    /// Free blocks, clear or dirty.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.free_clear + self.free_dirty
    }
}

impl Snapshot {
    /// The blocks that are not split, by ascending offset. They tile the space.
    pub fn leaves(&self) -> impl Iterator<Item = &BlockInfo> {
        self.blocks.iter().filter(|block| block.state != BlockState::Split)
    }

    /// A block's size in bytes.
    #[must_use]
    pub fn block_size(&self, block: &BlockInfo) -> u64 {
        self.chunk_size << block.order
    }

    /// The highest order that a block of this space can have.
    #[must_use]
    pub fn max_order(&self) -> u32 {
        let log2 = |bytes: u64| bytes.checked_ilog2().unwrap_or(0);
        log2(self.size).saturating_sub(log2(self.chunk_size))
    }

    /// The number of blocks of each order, from order 0 to [`max_order`](Self::max_order).
    #[must_use]
    pub fn statistics(&self) -> Vec<OrderStatistics> {
        let mut orders: Vec<_> = (0..=self.max_order())
            .map(|order| OrderStatistics { order, ..Default::default() })
            .collect();
        for block in self.leaves() {
            // A block that does not fit in the space is not counted.
            let Some(statistics) = orders.get_mut(block.order as usize) else { continue };
            match (block.state, block.clear) {
                (BlockState::Allocated, _) => statistics.allocated += 1,
                (_, true) => statistics.free_clear += 1,
                (_, false) => statistics.free_dirty += 1,
            }
        }
        orders
    }

    /// The size of the largest free block in bytes; 0 if nothing is free.
    #[must_use]
    pub fn largest_free_block(&self) -> u64 {
        self.leaves()
            .filter(|block| block.state == BlockState::Free)
            .map(|block| self.block_size(block))
            .max()
            .unwrap_or(0)
    }

    /// The longest run of free bytes, over any number of blocks. Empty if nothing is free.
    #[must_use]
    pub fn longest_free_run(&self) -> Range<u64> {
        let mut longest = 0..0;
        let mut run = 0..0;
        for block in self.leaves() {
            if block.state != BlockState::Free {
                continue;
            }
            if run.end != block.offset || run.is_empty() {
                run = block.offset..block.offset;
            }
            run.end = block.offset + self.block_size(block);
            if run.end - run.start > longest.end - longest.start {
                longest = run.clone();
            }
        }
        longest
    }
}

/// A line for the whole, then a line for each block that is not split.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "size {:#x}, chunk size {:#x}, avail {:#x}, clear {:#x}",
            self.size, self.chunk_size, self.avail, self.clear_avail
        )?;
        for block in self.leaves() {
            let state = match (block.state, block.clear) {
                (BlockState::Allocated, false) => "allocated",
                (BlockState::Allocated, true) => "allocated clear",
                (_, false) => "free",
                (_, true) => "free clear",
            };
            let end = block.offset + self.block_size(block);
            writeln!(f, "{:#018x}-{end:#018x} order {:2} {state}", block.offset, block.order)?;
        }
        Ok(())
    }
}
