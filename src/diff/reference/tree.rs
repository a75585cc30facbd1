//! The blocks, as a tree that nobody builds.
//!
//! A block of order `n` is `chunk_size << n` bytes long and starts at a multiple
//! of that. So an order and a number name it, and names answer what trees are
//! usually built for: its buddy's number differs in the lowest bit, the block
//! that both are halves of has half that number one order up. All there is to
//! remember is which blocks exist that are not split, and their states, order
//! by order: a [`Row`] each.

use core::iter;

use super::row::{Row, State};
use crate::diff::Block;

/// The name of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) order: u32,
    /// The offset, in blocks of this order.
    pub(super) number: u64,
}

impl Name {
    /// The other half of the same block.
    pub(super) const fn buddy(self) -> Self {
        Self { number: self.number ^ 1, ..self }
    }

    /// The block that this is a half of.
    pub(super) const fn whole(self) -> Self {
        Self { order: self.order + 1, number: self.number >> 1 }
    }

    /// The left half and the right half. Not for order 0.
    pub(super) const fn halves(self) -> [Self; 2] {
        let left = Self { order: self.order - 1, number: self.number << 1 };
        [left, left.buddy()]
    }
}

/// All blocks of a space, and how much of it is free.
///
/// Of two free buddies one is clear and the other dirty: others are joined.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// The blocks that are not split, by order.
    rows: Vec<Row>,
    /// The orders of which there are free blocks, a bit each: of dirty ones, and
    /// of clear ones.
    free_orders: [u64; 2],
    pub(super) size: u64,
    chunk_log2: u32,
    pub(super) avail: u64,
    pub(super) clear_avail: u64,
}

impl Tree {
    /// All of `size` bytes free and dirty. `size` is a multiple of the chunk
    /// size and above 0.
    pub(super) fn new(size: u64, chunk_log2: u32) -> Self {
        let chunks = size >> chunk_log2;
        let mut tree = Self {
            rows: (0..=chunks.ilog2()).map(|order| Row::new(chunks >> order)).collect(),
            free_orders: [0; 2],
            size,
            chunk_log2,
            avail: size,
            clear_avail: 0,
        };
        for root in tree.roots() {
            tree.set(root, State::Free { clear: false });
        }
        tree
    }

    /// The blocks that are halves of nothing, by ascending offset: one for each
    /// bit of the size, the largest first, so that each is aligned to its own
    /// size. The buddy of a root would lie beyond the space.
    pub(super) fn roots(&self) -> impl Iterator<Item = Name> + use<> {
        let chunks = self.chunks(self.size);
        (0..=chunks.ilog2())
            .rev()
            .filter(move |order| chunks >> order & 1 == 1)
            .map(move |order| Name { order, number: (chunks >> order) - 1 })
    }

    pub(super) fn chunk_size(&self) -> u64 {
        1 << self.chunk_log2
    }

    /// The whole chunks in so many bytes.
    pub(super) fn chunks(&self, bytes: u64) -> u64 {
        bytes >> self.chunk_log2
    }

    /// The size in bytes of a block of this order.
    pub(super) fn bytes(&self, order: u32) -> u64 {
        1 << (order + self.chunk_log2)
    }

    /// The bytes of these blocks together.
    pub(super) fn bytes_of(&self, blocks: &[Block]) -> u64 {
        blocks.iter().map(|block| self.bytes(block.order)).sum()
    }

    /// The order of the largest block that `bytes` bytes can hold.
    pub(super) fn order_within(&self, bytes: u64) -> u32 {
        bytes.ilog2() - self.chunk_log2
    }

    pub(super) fn offset(&self, name: Name) -> u64 {
        name.number << (name.order + self.chunk_log2)
    }

    /// The offset of the last byte.
    pub(super) fn last_byte(&self, name: Name) -> u64 {
        self.offset(name) + (self.bytes(name.order) - 1)
    }

    /// The name of the block of `order` that the byte at `offset` is in.
    pub(super) fn name(&self, order: u32, offset: u64) -> Name {
        Name { order, number: offset >> (order + self.chunk_log2) }
    }

    /// The state of a block; `None` where it is split, or part of a larger one.
    pub(super) fn state(&self, name: Name) -> Option<State> {
        self.rows[name.order as usize].state(name.number)
    }

    /// The allocated block that the byte at `offset` is in.
    pub(super) fn allocated_at(&self, offset: u64) -> Option<Block> {
        (0..=self.order_within(self.size)).find_map(|order| {
            let name = self.name(order, offset);
            match self.state(name)? {
                State::Allocated { clear } => {
                    Some(Block { offset: self.offset(name), order, clear })
                }
                State::Free { .. } => None,
            }
        })
    }

    pub(super) fn is_free(&self, name: Name) -> bool {
        self.rows[name.order as usize].is_free(name.number)
    }

    /// The free block of `order` at the highest offset.
    pub(super) fn last_free(&self, order: u32, clear: bool) -> Option<Name> {
        let number = self.row(order).last_free(clear)?;
        Some(Name { order, number })
    }

    pub(super) fn row(&self, order: u32) -> &Row {
        &self.rows[order as usize]
    }

    pub(super) fn row_mut(&mut self, order: u32) -> &mut Row {
        &mut self.rows[order as usize]
    }

    /// The orders from `order` up of which there are free blocks, ascending.
    pub(super) fn free_orders(&self, order: u32, clear: bool) -> impl Iterator<Item = u32> + use<> {
        let mut orders = self.free_orders[usize::from(clear)] & !0 << order;
        iter::from_fn(move || {
            let order = (orders != 0).then(|| orders.trailing_zeros());
            orders &= orders.wrapping_sub(1);
            order
        })
    }

    /// Makes or changes a block, without accounting.
    pub(super) fn set(&mut self, name: Name, state: State) {
        self.change(name.order, |row| row.set(name.number, state));
    }

    /// Removes a block, without accounting.
    pub(super) fn remove(&mut self, name: Name) {
        self.change(name.order, |row| row.remove(name.number));
    }

    /// Frees an allocated block, without accounting: makes it free, or joins it
    /// with its buddy and that with its own.
    pub(super) fn free_and_join(&mut self, name: Name, clear: bool) {
        let mut name = name;
        while self.change(name.order, |row| row.free_or_join(name.number, clear)) {
            name = name.whole();
        }
    }

    /// Allocates a free block.
    pub(super) fn allocate(&mut self, name: Name, clear: bool) -> Block {
        self.set(name, State::Allocated { clear });
        let bytes = self.bytes(name.order);
        self.avail -= bytes;
        if clear {
            self.clear_avail -= bytes;
        }
        Block { offset: self.offset(name), order: name.order, clear }
    }

    /// Allocates the block of `order` at `offset` out of the free block `from`,
    /// which is split as often as that takes. Each split leaves the half that is
    /// not taken.
    pub(super) fn carve(&mut self, from: Name, clear: bool, order: u32, offset: u64) -> Block {
        if from.order > order {
            self.remove(from);
        }
        for order in order..from.order {
            self.set(self.name(order, offset).buddy(), State::Free { clear });
        }
        self.allocate(self.name(order, offset), clear)
    }

    /// Splits a free block; the halves are as clear as it was.
    pub(super) fn split(&mut self, name: Name, clear: bool) {
        self.remove(name);
        for half in name.halves() {
            self.set(half, State::Free { clear });
        }
    }

    fn change<T>(&mut self, order: u32, change: impl FnOnce(&mut Row) -> T) -> T {
        let row = &mut self.rows[order as usize];
        let answer = change(row);
        for clear in [false, true] {
            let orders = &mut self.free_orders[usize::from(clear)];
            let has_free = u64::from(row.last_free(clear).is_some());
            *orders = *orders & !(1 << order) | has_free << order;
        }
        answer
    }
}
