//! What can be wrong in the structures of the C.

use core::fmt;

/// Where the C's own structures contradict each other. Offsets and sizes are in
/// bytes, from the start of the space; a block has `chunk_size << order` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Inconsistency {
    /// The highest order is that of the largest block that fits.
    #[error("max_order is {is}, not {expected}")]
    MaxOrder { is: u32, expected: u32 },

    /// There is a root for each bit of the size.
    #[error("there are {is} roots, not {expected}")]
    RootCount { is: u32, expected: u32 },

    /// The roots tile the space, the largest first.
    #[error("the root at {expected_offset} of order {expected_order} is at {offset} of {order}")]
    Root { offset: u64, order: u32, expected_offset: u64, expected_order: u32 },

    /// A root or a half is a block of its own.
    #[error("the block that should be at {offset}, of order {order}, is missing or used twice")]
    MissingBlock { offset: u64, order: u32 },

    /// The halves of a split block tile it.
    #[error("the half at {expected_offset} of order {expected_order} is at {offset} of {order}")]
    Half { offset: u64, order: u32, expected_offset: u64, expected_order: u32 },

    /// A half knows what it is half of; a root is half of nothing.
    #[error("the block at {offset} of order {order} has the wrong parent")]
    Parent { offset: u64, order: u32 },

    /// A block is free, allocated or split, and above order 0 if split.
    #[error("the block at {offset} of order {order} has no valid state")]
    State { offset: u64, order: u32 },

    /// A split block has no clear state of its own.
    #[error("the split block at {offset} of order {order} is marked clear")]
    SplitClear { offset: u64, order: u32 },

    /// Two free buddies of the same clear state are merged.
    #[error("the halves of the block at {offset} of order {order} are free, alike and not merged")]
    Unmerged { offset: u64, order: u32 },

    /// A free block is in a tree.
    #[error("the free block at {offset} of order {order} is in no tree or list of free ones")]
    NotInTree { offset: u64, order: u32 },

    /// What is in a tree is free, and of the tree's order and clear state.
    #[error("the block at {offset} is in the wrong tree: {}", Named(*tree, *order))]
    WrongTree { offset: u64, order: u32, tree: FreeTree },

    /// A tree holds blocks of this allocator, each once.
    #[error("there is a node that is no block, or is there twice, in {}", Named(*tree, *order))]
    ForeignNode { order: u32, tree: FreeTree },

    /// A tree is sorted by offset.
    #[error("the block at {offset} is out of order in {}", Named(*tree, *order))]
    Unsorted { offset: u64, order: u32, tree: FreeTree },

    /// A node of a tree is linked to the one above, one of a list to the one before.
    #[error("the block at {offset} has a wrong link back in {}", Named(*tree, *order))]
    ParentLink { offset: u64, order: u32, tree: FreeTree },

    /// A red node, and so the root, is not below a red one or a root itself.
    #[error("the block at {offset} is red where it must not be in {}", Named(*tree, *order))]
    RedNode { offset: u64, order: u32, tree: FreeTree },

    /// Below a node, each way down meets the same number of black ones.
    #[error("the block at {offset} is unbalanced in {}", Named(*tree, *order))]
    BlackHeight { offset: u64, order: u32, tree: FreeTree },

    /// A node knows the best alignment below, as a number of zero bits.
    #[error(
        "the block at {offset} of order {order} has subtree_max_alignment {is}, not {expected}"
    )]
    MaxAlignment { offset: u64, order: u32, is: u32, expected: u32 },

    /// Free bytes are those of the free blocks.
    #[error("avail is {is}, but {expected} bytes are free")]
    Avail { is: u64, expected: u64 },

    /// Clear bytes are those of the clear free blocks.
    #[error("clear_avail is {is}, but {expected} bytes are free and clear")]
    ClearAvail { is: u64, expected: u64 },

    /// Free blocks are counted by order.
    #[error("of order {order}, {is} blocks are counted as free, not {expected}")]
    FreeScoreboard { order: u32, is: u64, expected: u64 },

    /// Allocated blocks are counted by order.
    #[error("of order {order}, {is} blocks are counted as allocated, not {expected}")]
    UsedScoreboard { order: u32, is: u64, expected: u64 },

    /// There are no more blocks than objects that are alive.
    #[error("the tree of blocks has more than the {live} blocks that are alive")]
    Endless { live: usize },

    /// An object that is alive is a block of the tree or one of a few arrays.
    #[error("{is} objects are alive, but {expected} are in use")]
    LiveObjects { is: usize, expected: usize },
}

/// A structure that holds the free blocks of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FreeTree {
    /// The tree of clear blocks.
    Clear,
    /// The tree of dirty blocks.
    Dirty,
    /// The one tree of a kernel that has no two.
    Single,
    /// The list of a kernel that has no trees.
    List,
}

impl fmt::Display for FreeTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear => "the clear tree",
            Self::Dirty => "the dirty tree",
            Self::Single => "the free tree",
            Self::List => "the free list",
        })
    }
}

impl FreeTree {
    /// Whether a free block of this clear state belongs in it.
    pub(super) fn holds(self, clear: bool) -> bool {
        match self {
            Self::Clear => clear,
            Self::Dirty => !clear,
            Self::Single | Self::List => true,
        }
    }
}

/// A structure with its order, for messages.
struct Named(FreeTree, u32);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of order {}", self.0, self.1)
    }
}
