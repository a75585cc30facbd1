//! The blocks: binary trees whose every node knows what is free below it.
//!
//! A block that is split has two halves, its *buddies*. They come into being
//! together and go together, so the unit of storage is the [`Pair`]: 64 bytes,
//! one cache line, in one vector, linked by indices. A [`BlockId`] names one half
//! of one pair, and a block's buddy is one bit away.
//!
//! Where an allocator usually keeps a list of free blocks per order beside its
//! tree, here the tree is the index as well. Each block holds, for clear memory
//! and for dirty memory, the *set of orders* of the free blocks in it, as a bit
//! mask. A split block's set is the union of its halves' sets. "The highest
//! free block of order 3" is then a walk from the root that goes right wherever
//! bit 3 is set there, and left elsewhere; see [`super::search`].

use core::iter;

/// One half of one pair. Valid as long as the pair lives: for an allocated
/// block, until it is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockId(u32);

impl BlockId {
    /// The left half and the right half of the pair with this number.
    pub(super) const fn halves_of(pair: u32) -> [Self; 2] {
        [Self(pair << 1), Self(pair << 1 | 1)]
    }

    /// The other half of the same block.
    pub(super) const fn buddy(self) -> Self {
        Self(self.0 ^ 1)
    }

    const fn pair(self) -> usize {
        (self.0 >> 1) as usize
    }

    const fn side(self) -> usize {
        (self.0 & 1) as usize
    }
}

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Free {
        clear: bool,
    },
    /// `clear` as it was when the block was allocated.
    Allocated {
        clear: bool,
    },
    /// Divided into the two halves of the pair with this number.
    Split(u32),
}

/// A set of orders; bit `n` stands for order `n`. Orders go up to 51.
pub(super) type Orders = u64;

#[derive(Clone, Copy, Debug)]
struct Half {
    /// The orders of the free blocks within, this one included: dirty ones in
    /// `[0]`, clear ones in `[1]`.
    free: [Orders; 2],
    state: State,
}

impl Half {
    const fn free(order: u32, clear: bool) -> Self {
        let mut free = [0; 2];
        free[clear as usize] = 1 << order;
        Self {
            free,
            state: State::Free { clear },
        }
    }
}

/// Two buddies.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Pair {
    halves: [Half; 2],
    /// The offset of the left half, in bytes.
    offset: u64,
    /// The block that these are halves of.
    parent: BlockId,
    /// The order of each half.
    order: u32,
}

const _: () = assert!(size_of::<Pair>() == 64);

/// All blocks of a space, and how much of it is free.
///
/// Between two calls from outside this holds: of two free buddies one is clear
/// and the other dirty (others have been joined), and every block's sets are
/// right.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// A root is the left half of one of the first pairs. The right half there
    /// counts as allocated for ever: a root is never joined with it.
    pairs: Vec<Pair>,
    /// Numbers of the pairs that are not in use.
    unused: Vec<u32>,
    /// How many roots there are: one for each bit of the size.
    roots: u32,
    pub(super) size: u64,
    pub(super) chunk_log2: u32,
    pub(super) avail: u64,
    pub(super) clear_avail: u64,
}

impl Tree {
    /// All of `size` bytes free and dirty. `size` is a multiple of the chunk
    /// size and above 0.
    ///
    /// A size that is no power of two is tiled with ever smaller powers of two,
    /// so that every block is aligned to its own size.
    pub(super) fn new(size: u64, chunk_log2: u32) -> Self {
        let mut pairs = Vec::new();
        let mut offset = 0;
        while offset < size {
            let order = (size - offset).ilog2() - chunk_log2;
            let nobody = Half {
                free: [0; 2],
                state: State::Allocated { clear: false },
            };
            pairs.push(Pair {
                halves: [Half::free(order, false), nobody],
                offset,
                parent: BlockId(u32::MAX),
                order,
            });
            offset += 1 << (order + chunk_log2);
        }
        Self {
            roots: pairs.len() as u32,
            pairs,
            unused: Vec::new(),
            size,
            chunk_log2,
            avail: size,
            clear_avail: 0,
        }
    }

    /// The roots by ascending offset.
    pub(super) fn roots(&self) -> impl DoubleEndedIterator<Item = BlockId> + use<> {
        (0..self.roots).map(|pair| BlockId::halves_of(pair)[0])
    }

    pub(super) fn chunk_size(&self) -> u64 {
        1 << self.chunk_log2
    }

    /// The size in bytes of a block of this order.
    pub(super) fn bytes(&self, order: u32) -> u64 {
        1 << (order + self.chunk_log2)
    }

    pub(super) fn order(&self, block: BlockId) -> u32 {
        self.pairs[block.pair()].order
    }

    pub(super) fn size_of(&self, block: BlockId) -> u64 {
        self.bytes(self.order(block))
    }

    pub(super) fn offset(&self, block: BlockId) -> u64 {
        let pair = &self.pairs[block.pair()];
        pair.offset + ((block.side() as u64) << (pair.order + self.chunk_log2))
    }

    /// The offset of the last byte.
    pub(super) fn last_byte(&self, block: BlockId) -> u64 {
        self.offset(block) + (self.size_of(block) - 1)
    }

    pub(super) fn state(&self, block: BlockId) -> State {
        self.half(block).state
    }

    pub(super) fn is_free(&self, block: BlockId) -> bool {
        matches!(self.state(block), State::Free { .. })
    }

    /// The left half and the right half, where the block is split.
    pub(super) fn halves(&self, block: BlockId) -> Option<[BlockId; 2]> {
        match self.state(block) {
            State::Split(pair) => Some(BlockId::halves_of(pair)),
            _ => None,
        }
    }

    /// The orders of the free blocks in `block`.
    pub(super) fn free_in(&self, block: BlockId, clear: bool) -> Orders {
        self.half(block).free[usize::from(clear)]
    }

    /// The orders of all free blocks.
    pub(super) fn free_orders(&self, clear: bool) -> Orders {
        self.roots()
            .fold(0, |orders, root| orders | self.free_in(root, clear))
    }

    /// Splits a free block; the halves are as clear as it was.
    ///
    /// The caller refreshes the sets of the block and of what it is in.
    pub(super) fn split(&mut self, block: BlockId, clear: bool) -> [BlockId; 2] {
        debug_assert_eq!(self.state(block), State::Free { clear });
        let order = self.order(block) - 1;
        let pair = Pair {
            halves: [Half::free(order, clear); 2],
            offset: self.offset(block),
            parent: block,
            order,
        };
        let index = match self.unused.pop() {
            Some(index) => {
                self.pairs[index as usize] = pair;
                index
            }
            None => {
                self.pairs.push(pair);
                (self.pairs.len() - 1) as u32
            }
        };
        self.half_mut(block).state = State::Split(index);
        BlockId::halves_of(index)
    }

    /// Allocates the block of order `order` at `offset` out of the free block
    /// `from`, which is split as often as that takes.
    pub(super) fn carve(&mut self, from: BlockId, offset: u64, order: u32) -> BlockId {
        let State::Free { clear } = self.state(from) else {
            unreachable!("only a free block is carved");
        };
        let mut block = from;
        for half in (order..self.order(from)).rev() {
            // Each split leaves the half that is not taken: in the end one free
            // block of each order between the wanted one and this one.
            self.half_mut(block).free[usize::from(clear)] = (2 << half) - (1 << order);
            let [left, right] = self.split(block, clear);
            block = if offset < self.offset(right) { left } else { right };
        }
        self.allocate(block, clear);
        self.refresh_above(from);
        block
    }

    /// Makes a free block an allocated one. The caller refreshes what it is in.
    pub(super) fn allocate(&mut self, block: BlockId, clear: bool) {
        let bytes = self.size_of(block);
        self.avail -= bytes;
        if clear {
            self.clear_avail -= bytes;
        }
        *self.half_mut(block) = Half {
            free: [0; 2],
            state: State::Allocated { clear },
        };
    }

    /// Makes a block without halves a free one. The caller accounts for it and
    /// refreshes what it is in.
    pub(super) fn set_free(&mut self, block: BlockId, clear: bool) {
        *self.half_mut(block) = Half::free(self.order(block), clear);
    }

    /// Whether an allocated block was clear when it was allocated.
    pub(super) fn was_clear(&self, block: BlockId) -> bool {
        self.state(block) == State::Allocated { clear: true }
    }

    /// Drops the halves of a split block. The caller gives it a new state.
    pub(super) fn discard_halves(&mut self, block: BlockId) {
        if let State::Split(pair) = self.state(block) {
            self.unused.push(pair);
        }
    }

    /// The block that this one is a half of. Not asked of a root: its buddy is
    /// never free.
    pub(super) fn parent(&self, block: BlockId) -> BlockId {
        self.pairs[block.pair()].parent
    }

    /// Makes the sets of a split block right, given that those of its halves are.
    pub(super) fn refresh(&mut self, block: BlockId) {
        if let State::Split(pair) = self.state(block) {
            self.half_mut(block).free = self.union(pair as usize);
        }
    }

    /// Makes the sets of all that `block` is in right, given that its own are.
    pub(super) fn refresh_above(&mut self, block: BlockId) {
        let mut pair = block.pair();
        while pair >= self.roots as usize {
            let union = self.union(pair);
            let parent = self.pairs[pair].parent;
            let free = &mut self.half_mut(parent).free;
            if *free == union {
                return;
            }
            *free = union;
            pair = parent.pair();
        }
    }

    /// Every block: the roots by ascending offset, each followed by what is in
    /// it, the left half first.
    pub(super) fn walk(&self) -> impl Iterator<Item = BlockId> {
        let mut waiting: Vec<_> = self.roots().rev().collect();
        iter::from_fn(move || {
            let block = waiting.pop()?;
            if let Some([left, right]) = self.halves(block) {
                waiting.extend([right, left]);
            }
            Some(block)
        })
    }

    fn union(&self, pair: usize) -> [Orders; 2] {
        let [left, right] = &self.pairs[pair].halves;
        [
            left.free[0] | right.free[0],
            left.free[1] | right.free[1],
        ]
    }

    fn half(&self, block: BlockId) -> &Half {
        &self.pairs[block.pair()].halves[block.side()]
    }

    fn half_mut(&mut self, block: BlockId) -> &mut Half {
        &mut self.pairs[block.pair()].halves[block.side()]
    }
}
