//! The kernel's allocator, rewritten in Rust: the twin.
//!
//! [`Reference`] makes the same choices as the newest kernel series, block for block: the same
//! blocks in the same order, the same error numbers, the same tree after every call. Its data
//! structures are not those of the C, so a mistake is unlikely to be in both. To learn the
//! algorithm, read the parts in this order:
//!
//! - `row`: the blocks of one order, and how a free one is found;
//! - `tree`: blocks, halves, buddies;
//! - `merge`: freeing, and merging two buddies into one;
//! - `find`: room for one block, anywhere or in a range;
//! - `exact`: a given range of bytes, and runs of several blocks;
//! - `request`: from a request to blocks, and trimming to the size asked for;
//! - `snapshot`: the state as plain data.
//!
//! Where the C breaks its own contract, the twin does the same. Comments mark these places with
//! `Known:` and the entry's name in the list of known breaches.
//!
//! The twin differs in two ways. It never returns `ENOMEM`. And `gpu_buddy_reset_clear()` misses
//! blocks, depending on the shape of the kernel's search trees (`reset-clear-misses-blocks`). The
//! twin has no such trees: it misses none, unless
//! [`reset_clear_as`](Implementation::reset_clear_as) passes the shapes.
//!
//! Cost: allocating or freeing a block takes a few memory accesses per split or merge, whatever the
//! size of the space and the number of blocks. An allocation in a range does not visit every block
//! of the range, as the C does.

#![forbid(unsafe_code)]

mod exact;
mod find;
mod merge;
mod red_black;
mod request;
mod reset;
mod row;
mod snapshot;
#[cfg(test)]
mod tests;
mod tree;

use core::slice;

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
    /// Empty lists, kept to save memory allocations.
    spare: Vec<Vec<Block>>,
}

/// The blocks of one [`alloc`](Implementation::alloc) of a [`Reference`].
#[derive(Debug)]
pub struct Allocation(Blocks);

/// Most allocations are one block, and need no list.
#[derive(Debug)]
enum Blocks {
    One(Block),
    List(Vec<Block>),
}

impl Allocation {
    fn blocks(&self) -> &[Block] {
        match &self.0 {
            Blocks::One(block) => slice::from_ref(block),
            Blocks::List(blocks) => blocks,
        }
    }
}

impl Reference {
    /// Whether a kernel makes the same choices as the twin, judged by its features.
    #[must_use]
    pub fn models(kernel: Features) -> bool {
        ["scoreboard", "addr_to_block", "offset_align", "undo_splits", "reset_clear"]
            .into_iter()
            .all(|feature| kernel.has(feature))
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
        Ok(Self { tree: Tree::new(size, chunk_size.ilog2()), spare: Vec::new() })
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<Allocation, Errno> {
        let mut blocks = self.spare.pop().unwrap_or_default();
        let result = self.tree.request(request, &mut blocks);
        if blocks.len() > 1 {
            return Ok(Allocation(Blocks::List(blocks)));
        }
        let only = blocks.pop();
        self.spare.push(blocks);
        result?;
        // A request that succeeded has at least one block.
        only.map(|block| Allocation(Blocks::One(block))).ok_or(Errno::ENOSPC)
    }

    fn alloc_onto(
        &mut self,
        allocation: &mut Allocation,
        request: &AllocRequest,
    ) -> Result<(), Errno> {
        let mut blocks = allocation.blocks().to_vec();
        let result = self.tree.request(request, &mut blocks);
        allocation.0 = Blocks::List(blocks);
        result
    }

    fn blocks(&self, allocation: &Allocation, blocks: &mut Vec<Block>) {
        blocks.extend_from_slice(allocation.blocks());
    }

    fn free(&mut self, allocation: Allocation, cleared: bool) {
        match allocation.0 {
            Blocks::One(block) => self.tree.free(&block, cleared),
            Blocks::List(mut blocks) => {
                for block in blocks.drain(..) {
                    self.tree.free(&block, cleared);
                }
                self.spare.push(blocks);
            }
        }
    }

    fn free_block(&mut self, allocation: &mut Allocation, index: usize, cleared: bool) {
        let block = match &mut allocation.0 {
            Blocks::List(blocks) => blocks.remove(index),
            &mut Blocks::One(block) => {
                allocation.0 = Blocks::List(Vec::new());
                block
            }
        };
        self.tree.free(&block, cleared);
    }

    fn trim(
        &mut self,
        allocation: &mut Allocation,
        start: Option<u64>,
        new_size: u64,
    ) -> Result<(), Errno> {
        let &[block] = allocation.blocks() else {
            return Err(Errno::EINVAL);
        };
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
        let mut kept = Vec::new();
        self.tree.shrink(&block, start, new_size, &mut kept);
        allocation.0 = Blocks::List(kept);
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
