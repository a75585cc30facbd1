//! Making every free block clear or dirty, as far as the C does.
//!
//! The C first merges all free buddies by force. Then it walks each tree of free blocks in
//! postorder and moves every block that it reaches to the other tree. That changes the shape of the
//! tree during the walk, and the walk misses some blocks. Known: reset-clear-misses-blocks.

use std::collections::BTreeMap;

use super::group::State;
use super::merge::Change;
use super::red_black::RedBlack;
use super::tree::{Name, Tree};
use crate::{FreeTrees, TreeShape};

/// The trees of free blocks, by clear state and order. A key is a block's number.
type Shapes = BTreeMap<(bool, u32), RedBlack>;

impl Tree {
    /// Makes those free blocks clear or dirty that the C reaches if its trees are `trees`.
    pub(super) fn reset_as(&mut self, clear: bool, trees: &FreeTrees) {
        let mut shapes = self.shapes(trees);
        let mut left = self.size;
        let roots: Vec<Name> = self.roots().collect();
        for root in roots {
            let start = self.offset(root);
            self.join_by_force(start, start + left, root.order, |change| {
                let (shape, name) = match change {
                    Change::Removed(name, clear) => (shapes.entry((clear, name.order)), name),
                    Change::Added(name) => (shapes.entry((false, name.order)), name),
                };
                let shape = shape.or_insert_with(RedBlack::new);
                match change {
                    Change::Removed(..) => _ = shape.remove(name.number),
                    Change::Added(..) => shape.insert(name.number),
                }
            });
            left -= self.bytes(root.order);
        }
        for (&(was_clear, order), shape) in &mut shapes {
            if was_clear == clear {
                continue;
            }
            for number in shape.remove_bottom_up() {
                self.set(Name { order, number }, State::Free { clear });
                let bytes = self.bytes(order);
                if clear {
                    self.clear_avail += bytes;
                } else {
                    self.clear_avail -= bytes;
                }
            }
        }
    }

    fn shapes(&self, trees: &FreeTrees) -> Shapes {
        let shape = |tree: &TreeShape| {
            let mut shape = RedBlack::new();
            for node in &tree.nodes {
                let above = node.above.map(|(above, is_left)| (above as usize, is_left));
                shape.push(self.name(tree.order, node.offset).number, node.red, above);
            }
            ((tree.clear, tree.order), shape)
        };
        trees.0.iter().map(shape).collect()
    }
}
