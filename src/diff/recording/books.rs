//! The allocations, as far as the recording shows them.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::diff::{Block, Id};

use super::Blocks;

/// A live allocation.
struct Alive {
    list: u64,
    blocks: Blocks,
}

/// The allocations by list, by block and by place.
pub struct Books {
    chunk_size: u64,
    alive: FxHashMap<Id, Alive>,
    lists: FxHashMap<u64, Id>,
    owners: FxHashMap<u64, Id>,
    /// Blocks by first byte: the end, and the owner.
    places: BTreeMap<u64, (u64, Id)>,
}

impl Books {
    pub fn new(chunk_size: u64) -> Self {
        let (alive, lists, owners) = Default::default();
        Self { chunk_size, alive, lists, owners, places: BTreeMap::new() }
    }

    fn end(&self, block: Block) -> u64 {
        block.offset.saturating_add(block.size(self.chunk_size))
    }

    /// The allocation of a list with this first block. If the list is known but the block is not on
    /// it, another list has the same address. If only the block is known, it was moved to this
    /// list.
    pub fn find(&self, list: u64, first: u64) -> Option<Id> {
        let on_list = self.of_list(list).filter(|id| {
            let blocks = &self.alive[id].blocks;
            blocks.more || blocks.blocks.iter().any(|block| block.0 == first)
        });
        on_list.or_else(|| self.owners.get(&first).copied())
    }

    pub fn of_list(&self, list: u64) -> Option<Id> {
        self.lists.get(&list).copied()
    }

    /// The number of known blocks of an allocation, and whether it may have more.
    pub fn count(&self, id: Id) -> (usize, bool) {
        self.alive
            .get(&id)
            .map_or((0, false), |Alive { blocks, .. }| (blocks.blocks.len(), blocks.more))
    }

    /// The owner of a block, and its index there.
    pub fn find_block(&self, address: u64) -> Option<(Id, usize)> {
        let id = *self.owners.get(&address)?;
        let blocks = &self.alive[&id].blocks.blocks;
        Some((id, blocks.iter().position(|block| block.0 == address)?))
    }

    /// The allocation, other than `id`, that has memory at the place of one of these blocks.
    pub fn in_the_way(&self, blocks: &Blocks, id: Id) -> Option<Id> {
        let in_the_way = |&(_, block): &(u64, Block)| {
            // Blocks do not overlap, so only the last one before its end can reach it.
            let (_, &(end, owner)) = self.places.range(..self.end(block)).next_back()?;
            (end > block.offset && owner != id).then_some(owner)
        };
        blocks.blocks.iter().find_map(in_the_way)
    }

    /// Sets the blocks of an allocation. Without blocks, it is freed.
    pub fn set(&mut self, id: Id, list: u64, blocks: Blocks) {
        self.remove(id);
        for &(address, block) in &blocks.blocks {
            self.owners.insert(address, id);
            self.places.insert(block.offset, (self.end(block), id));
        }
        if blocks.blocks.is_empty() && !blocks.more {
            return;
        }
        self.lists.insert(list, id);
        self.alive.insert(id, Alive { list, blocks });
    }

    pub fn remove(&mut self, id: Id) {
        let Some(Alive { list, blocks }) = self.alive.remove(&id) else { return };
        if self.of_list(list) == Some(id) {
            self.lists.remove(&list);
        }
        for (address, block) in blocks.blocks {
            self.forget(id, address, block);
        }
    }

    pub fn remove_block(&mut self, id: Id, index: usize) {
        let Some(alive) = self.alive.get_mut(&id) else { return };
        let (address, block) = alive.blocks.blocks.remove(index);
        let is_empty = alive.blocks.blocks.is_empty() && !alive.blocks.more;
        self.forget(id, address, block);
        if is_empty {
            self.remove(id);
        }
    }

    /// Forgets a block of an allocation. If lines were lost, another allocation may have its
    /// address or its place by now.
    fn forget(&mut self, id: Id, address: u64, block: Block) {
        if self.owners.get(&address) == Some(&id) {
            self.owners.remove(&address);
        }
        if self.places.get(&block.offset).is_some_and(|&(_, owner)| owner == id) {
            self.places.remove(&block.offset);
        }
    }
}
