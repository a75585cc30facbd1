//! The reference model, but for one lie.

use std::marker::PhantomData;

use gpu_buddy::diff::reference::{Allocation, Reference};
use gpu_buddy::diff::{Block, Capabilities, Capability, Implementation, Space};
use gpu_buddy::module::Features;
use gpu_buddy::{AllocRequest, Errno, Snapshot};

/// What an allocator lies about.
pub trait Lie: 'static {
    fn capabilities(all: Capabilities) -> Capabilities {
        all
    }
    fn alloc(_request: &mut AllocRequest) {}
    fn errno(errno: Errno) -> Errno {
        errno
    }
    fn blocks(_blocks: &mut [Block]) {}
    fn cleared(cleared: bool) -> bool {
        cleared
    }
    fn found(block: Option<Block>) -> Option<Block> {
        block
    }
    fn avail(avail: u64) -> u64 {
        avail
    }
    fn clear_avail(clear_avail: u64) -> u64 {
        clear_avail
    }
    fn snapshot(_snapshot: &mut Snapshot) {}
    /// Whether a block is never freed, nor the rest of its allocation.
    fn keeps(_block: &Block) -> bool {
        false
    }
}

/// The reference model, but for one lie.
pub struct Liar<L> {
    model: Reference,
    kept: Vec<Allocation>,
    lie: PhantomData<L>,
}

impl<L: Lie> Implementation for Liar<L> {
    type Allocation = Allocation;

    fn kernel(&self) -> Option<Features> {
        self.model.kernel()
    }

    fn capabilities(&self) -> Capabilities {
        L::capabilities(self.model.capabilities())
    }

    fn create(space: Space) -> Result<Self, Errno> {
        Ok(Self { model: Reference::create(space)?, kept: Vec::new(), lie: PhantomData })
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<Allocation, Errno> {
        let mut request = request.clone();
        L::alloc(&mut request);
        self.model.alloc(&request).map_err(L::errno)
    }

    fn blocks(&self, allocation: &Allocation, blocks: &mut Vec<Block>) {
        let before = blocks.len();
        self.model.blocks(allocation, blocks);
        L::blocks(&mut blocks[before..]);
    }

    fn free(&mut self, allocation: Allocation, cleared: bool) {
        let mut blocks = Vec::new();
        self.model.blocks(&allocation, &mut blocks);
        if blocks.iter().any(L::keeps) {
            self.kept.push(allocation);
        } else {
            self.model.free(allocation, L::cleared(cleared));
        }
    }

    fn free_block(&mut self, allocation: &mut Allocation, index: usize, cleared: bool) {
        self.model.free_block(allocation, index, cleared);
    }

    fn trim(
        &mut self,
        allocation: &mut Allocation,
        start: Option<u64>,
        new_size: u64,
    ) -> Result<(), Errno> {
        self.model.trim(allocation, start, new_size)
    }

    fn reset_clear(&mut self, clear: bool) {
        self.model.reset_clear(clear);
    }

    fn block_at(&self, offset: u64) -> Result<Option<Block>, Errno> {
        self.model.block_at(offset).map(L::found)
    }

    fn avail(&self) -> u64 {
        L::avail(self.model.avail())
    }

    fn clear_avail(&self) -> u64 {
        L::clear_avail(self.model.clear_avail())
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let mut snapshot = Implementation::snapshot(&self.model)?;
        L::snapshot(&mut snapshot);
        Some(snapshot)
    }
}

macro_rules! lies {
    ($($(#[$doc:meta])* $name:ident { $($method:item)* })*) => {
        $($(#[$doc])* pub struct $name; impl Lie for $name { $($method)* })*
    };
}

lies! {
    /// Tells the truth.
    Honest {}
    /// Hands blocks out in another order.
    Order {
        fn blocks(blocks: &mut [Block]) { blocks.reverse(); }
    }
    /// Reports every error as EINVAL.
    Errors {
        fn errno(_errno: Errno) -> Errno { Errno::EINVAL }
    }
    /// Allocates more than requested.
    Greed {
        fn alloc(request: &mut AllocRequest) {
            if request.size == 0x3000 { request.size = 0x4000; }
        }
    }
    /// Forgets some of what is free.
    Avail {
        fn avail(avail: u64) -> u64 { avail - avail % 0x4000 }
    }
    /// Counts too much as clear.
    ClearAvail {
        fn clear_avail(clear_avail: u64) -> u64 { clear_avail + clear_avail % 0x2000 }
    }
    /// Ignores that memory is freed as cleared.
    Forgetful {
        fn cleared(_cleared: bool) -> bool { false }
    }
    /// Finds nothing in the upper half of the orders.
    Blind {
        fn found(block: Option<Block>) -> Option<Block> {
            block.filter(|block| block.order < 2)
        }
    }
    /// Shows a tree in which nothing is clear.
    Snapshots {
        fn snapshot(snapshot: &mut Snapshot) {
            snapshot.blocks.iter_mut().for_each(|block| block.clear = false);
        }
    }
    /// Never frees blocks of order 3.
    Leak {
        fn keeps(block: &Block) -> bool { block.order == 3 }
    }
    /// Offers fewer capabilities.
    Plain {
        fn capabilities(_: Capabilities) -> Capabilities { Capability::FreeBlock.into() }
    }
}
