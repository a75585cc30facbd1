//! The kernel's allocator, rewritten in Rust: the reference model.
//!
//! [`Reference`] makes the same choices as the newest kernel series, block for block: the same
//! blocks in the same order, the same error numbers, the same tree after every call. Its data
//! structures are not those of the C, so a mistake is unlikely to be in both. To learn the
//! algorithm, read the parts in this order:
//!
//! - `group`: the blocks of seven orders, and how a free one is found;
//! - `tally`: the free blocks of each order, as a list as long as they are few;
//! - `tree`: blocks, halves, buddies;
//! - `merge`: freeing, and merging two buddies into one;
//! - `find`: room for one block, anywhere or in a range;
//! - `exact`: a given range of bytes, and runs of several blocks;
//! - `request`: from a request to blocks, and trimming to the size asked for;
//! - `snapshot`: the state as plain data.
//!
//! Where the C breaks its own contract, the model does the same. Comments mark these places with
//! `Known:` and the entry's name in the list of known breaches.
//!
//! The model differs in two ways. It never returns `ENOMEM`. And `gpu_buddy_reset_clear()` misses
//! blocks, depending on the shape of the kernel's search trees (`reset-clear-misses-blocks`). The
//! model has no such trees: it misses none, unless
//! [`reset_clear_as`](Implementation::reset_clear_as) passes the shapes.
//!
//! [`PureBuddy`](crate::PureBuddy) is this model with the interface of
//! [`GpuBuddy`](crate::GpuBuddy), for use as an allocator.
//!
//! Cost: allocating or freeing a block takes one memory access per seven splits or merges, and a few
//! to find a free block, whatever the size of the space and the number of blocks. Each free block that
//! comes or goes changes a sorted list of up to 256 numbers. An allocation in a range does not visit
//! every block of the range, as the C does.

#![forbid(unsafe_code)]

mod blocks;
mod exact;
mod find;
mod group;
mod merge;
mod red_black;
mod request;
mod reset;
mod snapshot;
mod tally;
#[cfg(test)]
mod tests;
mod tree;

use self::blocks::Blocks;
use self::tree::Tree;
use super::{Block, Capabilities, Capability, Implementation, Space};
use crate::module::Features;
use crate::{AllocRequest, Errno, FreeTrees, Snapshot};

/// A pure-Rust allocator that makes the kernel's choices.
///
/// ```
/// use gpu_buddy::AllocRequest;
/// use gpu_buddy::diff::reference::Reference;
/// use gpu_buddy::diff::{Implementation, Space};
///
/// let mut space = Reference::create(Space::new(1 << 30, 4096))?;
/// let request = AllocRequest { size: 16 << 20, min_block_size: 4096, ..Default::default() };
/// let allocation = space.alloc(&request)?;
///
/// let mut blocks = Vec::new();
/// space.blocks(&allocation, &mut blocks);
/// assert_eq!(blocks[0].offset, 1008 << 20);
///
/// space.free(allocation, false);
/// assert_eq!(space.avail(), 1 << 30);
/// # Ok::<(), gpu_buddy::Errno>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reference {
    tree: Tree,
    /// An empty list, kept to save memory allocations.
    scratch: Vec<Block>,
}

/// The blocks of one [`alloc`](Implementation::alloc) of a [`Reference`].
#[derive(Debug, Default)]
pub struct Allocation(Blocks);

impl Allocation {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Block> {
        self.0.iter()
    }

    pub(crate) fn get(&self, index: usize) -> Option<Block> {
        self.0.get(index)
    }

    /// Moves a block to an allocation of its own.
    pub(crate) fn take(&mut self, index: usize) -> Option<Self> {
        self.get(index).map(|_| Self(Blocks::one(self.0.remove(index))))
    }
}

impl Reference {
    /// Whether a kernel makes the same choices as the model, judged by its features.
    #[must_use]
    pub fn models(kernel: Features) -> bool {
        ["scoreboard", "addr_to_block", "offset_align", "undo_splits", "reset_clear"]
            .into_iter()
            .all(|feature| kernel.has(feature))
    }

    /// Allocates one block. `None` if that is not what the request needs, or there is none of that
    /// size: [`alloc`](Implementation::alloc) then has the answer.
    pub(crate) fn alloc_one(&mut self, request: &AllocRequest) -> Option<Allocation> {
        self.tree.request_one(request).map(|block| Allocation(Blocks::one(block)))
    }

    /// Frees each block in the state that it had when it was allocated.
    pub(crate) fn free_as_allocated(&mut self, allocation: Allocation) {
        for block in allocation.0.iter() {
            self.tree.free(&block, block.clear);
        }
    }

    /// The size in bytes; 0 if nothing is free.
    pub(crate) fn largest_free_block(&self) -> u64 {
        self.tree.largest_free_order().map_or(0, |order| self.tree.bytes(order))
    }

    /// The state as plain data.
    pub(crate) fn tree(&self) -> Snapshot {
        self.tree.snapshot()
    }
}

impl Implementation for Reference {
    type Allocation = Allocation;

    /// Everything except memory failures and the teardown.
    fn capabilities(&self) -> Capabilities {
        !(Capability::FailNth | Capability::Fini)
    }

    fn kernel(&self) -> Option<Features> {
        Some(Features::ALL)
    }

    fn create(space: Space) -> Result<Self, Errno> {
        let Space { size, chunk_size, .. } = space;
        if size < chunk_size || chunk_size < 4096 || !chunk_size.is_power_of_two() {
            return Err(Errno::EINVAL);
        }
        let size = size & !(chunk_size - 1);
        Ok(Self { tree: Tree::new(size, chunk_size.ilog2()), scratch: Vec::new() })
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<Allocation, Errno> {
        if let Some(allocation) = self.alloc_one(request) {
            return Ok(allocation);
        }
        self.scratch.clear();
        self.tree.request(request, &mut self.scratch)?;
        Ok(Allocation(self.scratch[..].into()))
    }

    fn alloc_onto(
        &mut self,
        allocation: &mut Allocation,
        request: &AllocRequest,
    ) -> Result<(), Errno> {
        self.scratch.clear();
        self.scratch.extend(allocation.0.iter());
        let result = self.tree.request(request, &mut self.scratch);
        allocation.0 = self.scratch[..].into();
        result
    }

    fn blocks(&self, allocation: &Allocation, blocks: &mut Vec<Block>) {
        blocks.extend(allocation.0.iter());
    }

    fn free(&mut self, allocation: Allocation, cleared: bool) {
        self.tree.free_all(&allocation.0, cleared);
    }

    fn free_block(&mut self, allocation: &mut Allocation, index: usize, cleared: bool) {
        let block = allocation.0.remove(index);
        self.tree.free(&block, cleared);
    }

    fn trim(
        &mut self,
        allocation: &mut Allocation,
        start: Option<u64>,
        new_size: u64,
    ) -> Result<(), Errno> {
        let block = allocation.0.only().ok_or(Errno::EINVAL)?;
        let offset = block.offset;
        let size = self.tree.bytes(block.order);
        let is_aligned = |bytes: u64| bytes.is_multiple_of(self.tree.chunk_size());
        if new_size == 0 || new_size > size || !is_aligned(new_size) {
            return Err(Errno::EINVAL);
        }
        // The C does not look at the start in this case.
        if new_size == size {
            return Ok(());
        }
        let start = start.unwrap_or(offset);
        let within = start.checked_sub(offset).is_some_and(|skipped| skipped <= size - new_size);
        if !within || !is_aligned(start) {
            return Err(Errno::EINVAL);
        }
        self.scratch.clear();
        self.tree.shrink(&block, start, new_size, &mut self.scratch);
        allocation.0 = self.scratch[..].into();
        Ok(())
    }

    fn reset_clear(&mut self, clear: bool) {
        self.tree.make_all(clear);
    }

    fn block_at(&self, offset: u64) -> Result<Option<Block>, Errno> {
        if offset >= self.tree.size {
            return Err(Errno::ENXIO);
        }
        Ok(self.tree.allocated_at(offset))
    }

    fn avail(&self) -> u64 {
        self.tree.avail
    }

    fn clear_avail(&self) -> u64 {
        self.tree.clear_avail
    }

    fn reset_clear_as(&mut self, clear: bool, trees: &FreeTrees) {
        self.tree.reset_as(clear, trees);
    }

    fn snapshot(&self) -> Option<Snapshot> {
        Some(self.tree.snapshot())
    }
}
