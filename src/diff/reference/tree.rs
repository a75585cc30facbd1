//! The tree of blocks, without nodes and pointers.
//!
//! A block of order `n` is `chunk_size << n` bytes long and starts at a multiple of that. So an
//! order and a number name a block, and its relatives follow from the name: the buddy's number
//! differs in the lowest bit; the parent has half the number, one order up. Only the states of the
//! blocks that are not split are stored, in a [`Group`] for each seven orders.

use super::group::{Group, Kind, ORDERS, State};
use super::tally::Tally;
use crate::diff::Block;

/// After so many free blocks that are not aligned, an index is cheaper than to look at further ones.
const PROBES: usize = 16;

/// The name of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) order: u32,
    /// The offset, in blocks of this order.
    pub(super) number: u64,
}

impl Name {
    /// The other half of its parent.
    pub(super) const fn buddy(self) -> Self {
        Self { number: self.number ^ 1, ..self }
    }

    /// The parent: the block that this is a half of.
    pub(super) const fn whole(self) -> Self {
        Self { order: self.order + 1, number: self.number >> 1 }
    }

    /// The left and the right half. Not for order 0.
    pub(super) const fn halves(self) -> [Self; 2] {
        let left = Self { order: self.order - 1, number: self.number << 1 };
        [left, left.buddy()]
    }
}

/// All blocks of a space, and how much of it is free.
///
/// Of two free buddies, one is clear and the other dirty: buddies of the same state are merged.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// The blocks that are not split, by order.
    pub(super) groups: Vec<Group>,
    tally: Tally,
    pub(super) size: u64,
    chunk_log2: u32,
    pub(super) avail: u64,
    pub(super) clear_avail: u64,
}

impl Tree {
    /// A tree with all of `size` bytes free and dirty. `size` is a multiple of the chunk size and
    /// above 0.
    pub(super) fn new(size: u64, chunk_log2: u32) -> Self {
        let chunks = size >> chunk_log2;
        let mut tree = Self {
            groups: (0..=chunks.ilog2())
                .step_by(ORDERS as usize)
                .map(|lowest| Group::new(lowest, chunks >> lowest))
                .collect(),
            tally: Tally::new(chunks.ilog2() as usize + 1),
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

    /// The roots, by ascending offset: one for each bit of the size, the largest first, so that
    /// each is aligned to its own size. The buddy of a root would be beyond the space.
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

    /// The number of whole chunks in `bytes`.
    pub(super) fn chunks(&self, bytes: u64) -> u64 {
        bytes >> self.chunk_log2
    }

    /// The size in bytes of a block of this order.
    pub(super) fn bytes(&self, order: u32) -> u64 {
        1 << (order + self.chunk_log2)
    }

    /// The sum of the sizes in bytes.
    pub(super) fn bytes_of(&self, blocks: &[Block]) -> u64 {
        blocks.iter().map(|block| self.bytes(block.order)).sum()
    }

    /// The order of the largest block that fits into `bytes`.
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

    /// The name of the block of `order` that contains the byte at `offset`.
    pub(super) fn name(&self, order: u32, offset: u64) -> Name {
        Name { order, number: offset >> (order + self.chunk_log2) }
    }

    /// The state of a block; `None` if it is split, or part of a larger one.
    pub(super) fn state(&self, name: Name) -> Option<State> {
        let (group, level) = group_of(name.order);
        self.groups[group].state(level, name.number)
    }

    /// The allocated block that contains the byte at `offset`.
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
        let (group, level) = group_of(name.order);
        self.groups[group].is_free(level, name.number)
    }

    /// The orders from `order` up that have free blocks, ascending.
    pub(super) fn free_orders(&self, order: u32, clear: bool) -> impl Iterator<Item = u32> + use<> {
        self.tally.orders(order, clear)
    }

    /// The order of the largest free block.
    pub(super) fn largest_free_order(&self) -> Option<u32> {
        self.tally.highest_order()
    }

    /// The free block of `order` at the highest offset.
    pub(super) fn last_free(&self, order: u32, clear: bool) -> Option<Name> {
        self.tally.last(order, clear).map(|number| Name { order, number })
    }

    /// The free block of `order` with the highest number up to `limit`.
    pub(super) fn last_free_up_to(&mut self, order: u32, clear: bool, limit: u64) -> Option<Name> {
        let number = if let Some(list) = self.tally.list(order, clear) {
            let after = list.partition_point(|&number| number <= limit);
            *list.get(after.checked_sub(1)?)?
        } else {
            let last = self.tally.last(order, clear)?;
            let (group, level) = group_of(order);
            self.groups[group].last_up_to(Kind { level, clear }, limit.min(last))?
        };
        Some(Name { order, number })
    }

    /// The free block of `order` with the lowest number from `limit` on.
    pub(super) fn first_free_from(&mut self, order: u32, clear: bool, limit: u64) -> Option<Name> {
        let number = if let Some(list) = self.tally.list(order, clear) {
            *list.get(list.partition_point(|&number| number < limit))?
        } else {
            self.tally.last(order, clear).filter(|&last| last >= limit)?;
            let (group, level) = group_of(order);
            self.groups[group].first_from(Kind { level, clear }, limit)?
        };
        Some(Name { order, number })
    }

    /// The free block of `order` with the highest number that ends in `zeros` binary zeros.
    pub(super) fn last_free_multiple(
        &mut self,
        order: u32,
        clear: bool,
        zeros: u32,
    ) -> Option<Name> {
        if let Some(list) = self.tally.list(order, clear) {
            let multiple = |&number: &u64| number >> zeros << zeros == number;
            let number = list.iter().copied().rev().find(multiple)?;
            return Some(Name { order, number });
        }
        let mut last = self.last_free(order, clear)?;
        for _ in 0..PROBES {
            let multiple = last.number >> zeros << zeros;
            if last.number == multiple {
                return Some(last);
            }
            last = self.last_free_up_to(order, clear, multiple)?;
        }
        self.last_free_multiple_indexed(order, clear, zeros)
    }

    /// The same, by an index that has to be kept up to date from then on.
    pub(super) fn last_free_multiple_indexed(
        &mut self,
        order: u32,
        clear: bool,
        zeros: u32,
    ) -> Option<Name> {
        let (group, level) = group_of(order);
        let number = match zeros {
            0 => self.tally.last(order, clear)?,
            _ => self.groups[group].last_multiple(Kind { level, clear }, zeros)?,
        };
        Some(Name { order, number })
    }

    /// Adds or changes a block, without accounting.
    pub(super) fn set(&mut self, name: Name, state: State) {
        self.change(name, Some(state));
    }

    /// Removes a block, without accounting.
    pub(super) fn remove(&mut self, name: Name) {
        self.change(name, None);
    }

    fn change(&mut self, name: Name, state: Option<State>) {
        let (group, level) = group_of(name.order);
        self.groups[group].set(&mut self.tally, level, name.number, state);
    }

    /// Frees a block that is allocated, or has no state, and merges it upwards, without accounting.
    #[inline]
    pub(super) fn free_and_join(&mut self, block: &Block, clear: bool) {
        let (first, level) = group_of(block.order);
        let Name { number, .. } = self.name(block.order, block.offset);
        let kind = Kind { level, clear };
        let group = &mut self.groups[first];
        if group.free_and_join(&mut self.tally, kind, number, block.clear) {
            self.add_and_join(first + 1, number >> (ORDERS - level), clear);
        }
    }

    /// Adds a free block of a group's lowest order and merges it upwards.
    #[cold]
    fn add_and_join(&mut self, first: usize, number: u64, clear: bool) {
        let mut number = number;
        for group in &mut self.groups[first..] {
            if !group.add_and_join(&mut self.tally, Kind { level: 0, clear }, number) {
                break;
            }
            number >>= ORDERS;
        }
    }

    /// Reads what will be needed to free a block.
    #[inline]
    pub(super) fn peek(&self, block: &Block) -> bool {
        let (group, level) = group_of(block.order);
        let Name { number, .. } = self.name(block.order, block.offset);
        self.groups[group].peek(level, number)
    }

    /// Allocates a free block.
    #[inline]
    pub(super) fn allocate(&mut self, name: Name, clear: bool) -> Block {
        let Name { order, number } = name;
        let (group, level) = group_of(order);
        self.groups[group].allocate(&mut self.tally, Kind { level, clear }, number);
        self.count_allocated(order, clear);
        Block { offset: self.offset(name), order, clear }
    }

    /// Allocates the block of `order` at `offset` out of the free block `from`. Splits `from` as
    /// often as needed; the halves that are not taken stay free.
    #[inline]
    pub(super) fn carve(&mut self, from: Name, clear: bool, order: u32, offset: u64) -> Block {
        if from.order == order {
            self.allocate(from, clear)
        } else {
            self.split_down(from, clear, order, offset)
        }
    }

    #[inline(never)]
    fn split_down(&mut self, from: Name, clear: bool, order: u32, offset: u64) -> Block {
        let (first, lowest) = group_of(order);
        let mut number = self.name(order, offset).number;
        self.groups[first].add_allocated(lowest, number, clear);
        let (mut level, mut top) = (lowest, lowest + (from.order - order));
        for group in &mut self.groups[first..] {
            group.split(&mut self.tally, Kind { level, clear }, number, top);
            if top < ORDERS {
                break;
            }
            number >>= ORDERS - level;
            (level, top) = (0, top - ORDERS);
        }
        self.count_allocated(order, clear);
        Block { offset, order, clear }
    }

    fn count_allocated(&mut self, order: u32, clear: bool) {
        let bytes = self.bytes(order);
        self.avail -= bytes;
        if clear {
            self.clear_avail -= bytes;
        }
    }

    /// Splits a free block; the halves keep its state.
    pub(super) fn split(&mut self, name: Name, clear: bool) {
        self.remove(name);
        for half in name.halves() {
            self.set(half, State::Free { clear });
        }
    }
}

/// The group of an order, and the order's level there.
pub(super) fn group_of(order: u32) -> (usize, u32) {
    static TABLE: [(u8, u8); 64] = {
        let mut table = [(0, 0); 64];
        let mut order = 0;
        while order < 64 {
            table[order as usize] = ((order / ORDERS) as u8, (order % ORDERS) as u8);
            order += 1;
        }
        table
    };
    let (group, level) = TABLE[order as usize & 63];
    (group.into(), level.into())
}
