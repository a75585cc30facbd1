//! Allocated blocks.

use core::{fmt, iter, mem};

use crate::diff::Implementation;
use crate::diff::reference::Allocation;
use crate::request::check_trim;
use crate::{BlockInfo, Error, InvalidArgument, Result};

use super::{PureBuddy, allocated};

/// The blocks of one allocation. Dropping this frees them as dirty.
///
/// The blocks are in the order in which the kernel would return them.
#[must_use = "dropping it frees the blocks"]
pub struct Blocks {
    blocks: Allocation,
    buddy: PureBuddy,
}

impl Blocks {
    pub(super) fn new(buddy: PureBuddy, blocks: Allocation) -> Self {
        Self { blocks, buddy }
    }

    /// Whether there is no block, because all were taken out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.iter().next().is_none()
    }

    /// The blocks.
    pub fn iter(&self) -> Iter<'_> {
        Iter { blocks: self, next: 0 }
    }

    /// The allocator of the blocks.
    #[must_use]
    pub fn buddy(&self) -> &PureBuddy {
        &self.buddy
    }

    /// The sum of the blocks' sizes in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.iter().map(|block| block.size()).sum()
    }

    /// Frees the blocks as zeroed. Later allocations with
    /// [`Clear`](crate::GpuBuddyAllocFlag::Clear) prefer such memory.
    pub fn free_cleared(mut self) {
        let blocks = mem::take(&mut self.blocks);
        self.buddy.0.state.lock().free(blocks, true);
    }

    /// Frees each block in the clear state that it had when it was allocated. Only right if nothing
    /// was written to it.
    pub fn free_as_allocated(mut self) {
        let blocks = mem::take(&mut self.blocks);
        self.buddy.0.state.lock().free_as_allocated(blocks);
    }

    /// Moves the block at position `index` to an allocation of its own. `None` if there is no such
    /// block.
    pub fn take(&mut self, index: usize) -> Option<Self> {
        let blocks = self.blocks.take(index)?;
        Some(Self { blocks, buddy: self.buddy.clone() })
    }

    /// Shrinks an allocation of a single block to `new_size` bytes from `start`, or from the start
    /// of the block, and frees the rest. The remaining part may be several blocks, by ascending
    /// offset. `start` is in bytes from the start of the space, without the base offset.
    ///
    /// # Errors
    ///
    /// `EINVAL`: [`InvalidArgument`] says which argument is wrong, and what would be right. The
    /// allocation does not change.
    pub fn trim(&mut self, start: Option<u64>, new_size: u64) -> Result<()> {
        let chunk_size = self.buddy.chunk_size().as_u64();
        let mut blocks = self.iter();
        let (Some(block), None) = (blocks.next(), blocks.next()) else {
            return Err(InvalidArgument::TrimNotSingular { blocks: self.iter().count() }.into());
        };
        let block_start = block.info().offset;
        let block = block_start..block_start + block.size();
        check_trim(block, chunk_size, start, new_size)?;
        self.buddy
            .0
            .state
            .lock()
            .trim(&mut self.blocks, start, new_size)
            .map_err(Error::unexplained)
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        if !self.is_empty() {
            let blocks = mem::take(&mut self.blocks);
            self.buddy.0.state.lock().free(blocks, false);
        }
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a> IntoIterator for &'a Blocks {
    type Item = Block<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Iterates over the blocks of an allocation.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    blocks: &'a Blocks,
    next: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let block = self.blocks.blocks.get(self.next)?;
        self.next += 1;
        Some(Block { info: allocated(block), buddy: &self.blocks.buddy })
    }
}

impl iter::FusedIterator for Iter<'_> {}

/// One block of an allocation.
#[derive(Clone, Copy)]
pub struct Block<'a> {
    info: BlockInfo,
    buddy: &'a PureBuddy,
}

impl Block<'_> {
    /// The block's address in bytes: its offset in the space plus the base offset.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.buddy.base_offset() + self.info.offset
    }

    /// The block's order: its size is `chunk_size << order`.
    #[must_use]
    pub fn order(&self) -> u32 {
        self.info.order
    }

    /// The block's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.buddy.chunk_size().as_u64() << self.info.order
    }

    /// Whether the block was known to be zeroed when it was allocated.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.info.clear
    }

    /// The block as plain data. Its offset is without the base offset.
    #[must_use]
    pub fn info(&self) -> BlockInfo {
        self.info
    }
}

impl fmt::Debug for Block<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("offset", &self.offset())
            .field("size", &self.size())
            .field("order", &self.order())
            .field("is_clear", &self.is_clear())
            .finish()
    }
}
