//! Inconsistencies in the C's data structures.

use core::fmt;

use crate::diff::format_size as size;

/// A contradiction in the C's own data structures. Offsets and sizes are in bytes, from the start
/// of the space; a block has `chunk_size << order` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Inconsistency {
    /// `max_order` is the order of the largest block that fits.
    #[error("max_order is {is}, not {expected}")]
    MaxOrder { is: u32, expected: u32 },

    /// There is a root for each bit of the size.
    #[error("there are {is} roots, not {expected}")]
    RootCount { is: u32, expected: u32 },

    /// The roots tile the space, the largest first.
    #[error(
        "the root expected at {}, order {expected_order}, is at {}, order {order}",
        size(*expected_offset),
        size(*offset)
    )]
    Root { offset: u64, order: u32, expected_offset: u64, expected_order: u32 },

    /// Each root and each half is a block of its own.
    #[error(
        "the block that should be at {}, of order {order}, is missing or used twice",
        size(*offset)
    )]
    MissingBlock { offset: u64, order: u32 },

    /// The halves of a split block tile it.
    #[error(
        "the half expected at {}, order {expected_order}, is at {}, order {order}",
        size(*expected_offset),
        size(*offset)
    )]
    Half { offset: u64, order: u32, expected_offset: u64, expected_order: u32 },

    /// A half points to its parent; a root has none.
    #[error("the block at {} of order {order} has the wrong parent", size(*offset))]
    Parent { offset: u64, order: u32 },

    /// A block is free, allocated or split. A split block is above order 0.
    #[error("the block at {} of order {order} has no valid state", size(*offset))]
    State { offset: u64, order: u32 },

    /// A split block has no clear state of its own.
    #[error("the split block at {} of order {order} is marked clear", size(*offset))]
    SplitClear { offset: u64, order: u32 },

    /// Two free buddies of the same clear state are merged.
    #[error(
        "the halves of the block at {} of order {order} are free in the same clear state, but \
         not merged",
        size(*offset)
    )]
    Unmerged { offset: u64, order: u32 },

    /// A free block is in a tree or list.
    #[error(
        "the free block at {} of order {order} is in no tree or list of free blocks",
        size(*offset)
    )]
    NotInTree { offset: u64, order: u32 },

    /// A block in a tree is free, and of the tree's order and clear state.
    #[error("the block at {} is in the wrong tree: {}", size(*offset), Named(*tree, *order))]
    WrongTree { offset: u64, order: u32, tree: FreeTree },

    /// A tree has blocks of this allocator, each once.
    #[error("a node is not a block, or is there twice, in {}", Named(*tree, *order))]
    ForeignNode { order: u32, tree: FreeTree },

    /// A tree is sorted by offset.
    #[error("the block at {} is out of order in {}", size(*offset), Named(*tree, *order))]
    Unsorted { offset: u64, order: u32, tree: FreeTree },

    /// A node of a tree points to its parent, one of a list to the previous one.
    #[error(
        "the block at {} has a wrong parent or prev link in {}",
        size(*offset),
        Named(*tree, *order)
    )]
    ParentLink { offset: u64, order: u32, tree: FreeTree },

    /// The root is black, and a red node has a black parent.
    #[error(
        "the block at {} is red where it must not be in {}",
        size(*offset),
        Named(*tree, *order)
    )]
    RedNode { offset: u64, order: u32, tree: FreeTree },

    /// All paths down from a node have the same number of black nodes.
    #[error("the block at {} is unbalanced in {}", size(*offset), Named(*tree, *order))]
    BlackHeight { offset: u64, order: u32, tree: FreeTree },

    /// A node has the best alignment in its subtree, as a number of zero bits.
    #[error(
        "the block at {} of order {order} has subtree_max_alignment {is}, not {expected}",
        size(*offset)
    )]
    MaxAlignment { offset: u64, order: u32, is: u32, expected: u32 },

    /// `avail` is the sum of the free blocks.
    #[error("avail is {}, but {} are free", size(*is), size(*expected))]
    Avail { is: u64, expected: u64 },

    /// `clear_avail` is the sum of the free blocks that are clear.
    #[error("clear_avail is {}, but {} are free and clear", size(*is), size(*expected))]
    ClearAvail { is: u64, expected: u64 },

    /// The free scoreboard counts the free blocks of each order.
    #[error("{is} blocks of order {order} are counted as free, not {expected}")]
    FreeScoreboard { order: u32, is: u64, expected: u64 },

    /// The used scoreboard counts the allocated blocks of each order.
    #[error("{is} blocks of order {order} are counted as allocated, not {expected}")]
    UsedScoreboard { order: u32, is: u64, expected: u64 },

    /// There are no more blocks than live objects.
    #[error("the tree of blocks has more blocks than the {live} that are alive")]
    Endless { live: usize },

    /// A live object is a block of the tree or one of a few arrays.
    #[error("{is} objects are alive, but {expected} are in use")]
    LiveObjects { is: usize, expected: usize },
}

/// A data structure with the free blocks of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FreeTree {
    /// The tree of clear blocks.
    Clear,
    /// The tree of dirty blocks.
    Dirty,
    /// The only tree of a kernel that does not separate clear and dirty blocks.
    Single,
    /// The list of a kernel without trees.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_sizes() {
        let unmerged = Inconsistency::Unmerged { offset: 8192, order: 1 };
        assert!(unmerged.to_string().starts_with("the halves of the block at 8K of order 1 are"));
        let avail = Inconsistency::Avail { is: 4096, expected: 1 << 20 };
        assert_eq!(avail.to_string(), "avail is 4K, but 1M are free");
    }
}
