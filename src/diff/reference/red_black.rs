//! A red-black tree by the textbook.
//!
//! The shape of the kernel's tree follows from the textbook's rules. A new node is red and takes an
//! empty place. A node with two children is replaced by its successor. Recolouring and rotations
//! then restore the invariants, from there upwards. So the same changes give the same shape here.

/// The index for "no node".
const NONE: usize = usize::MAX;

const LEFT: usize = 0;
const RIGHT: usize = 1;

#[derive(Clone, Copy, Debug)]
struct Node {
    key: u64,
    red: bool,
    above: usize,
    /// Left and right.
    below: [usize; 2],
}

/// Keys in order.
#[derive(Clone, Debug)]
pub(super) struct RedBlack {
    nodes: Vec<Node>,
    root: usize,
}

impl RedBlack {
    pub fn new() -> Self {
        Self { nodes: Vec::new(), root: NONE }
    }

    /// Adds a node as given, without rebalancing: part of a shape that is copied. `above` has the
    /// index of its parent, which was added before, and whether the node is the left child.
    pub fn push(&mut self, key: u64, red: bool, above: Option<(usize, bool)>) {
        let node = self.nodes.len();
        self.nodes.push(Node { key, red, above: NONE, below: [NONE; 2] });
        match above {
            Some((above, is_left)) => self.put_below(above, usize::from(!is_left), node),
            None => self.root = node,
        }
    }

    pub fn insert(&mut self, key: u64) {
        let (mut above, mut next, mut side) = (NONE, self.root, LEFT);
        while next != NONE {
            above = next;
            side = if key < self.nodes[next].key { LEFT } else { RIGHT };
            next = self.nodes[next].below[side];
        }
        let node = self.nodes.len();
        self.nodes.push(Node { key, red: true, above: NONE, below: [NONE; 2] });
        if above == NONE {
            self.root = node;
        } else {
            self.put_below(above, side, node);
        }
        self.repair_red(node);
    }

    /// Removes a key. Returns false if there is none.
    pub fn remove(&mut self, key: u64) -> bool {
        let mut node = self.root;
        while node != NONE && self.nodes[node].key != key {
            node = self.nodes[node].below[if key < self.nodes[node].key { LEFT } else { RIGHT }];
        }
        if node != NONE {
            self.remove_node(node);
        }
        node != NONE
    }

    /// Walks in postorder and removes each node that the walk reaches. As in the kernel, the
    /// successor is looked up just before the removal, which may then move it: so the walk can miss
    /// nodes. Returns the removed keys.
    pub fn remove_bottom_up(&mut self) -> Vec<u64> {
        let mut keys = Vec::new();
        let mut next = self.deepest(self.root);
        while next != NONE {
            let node = next;
            next = self.next_bottom_up(node);
            keys.push(self.nodes[node].key);
            self.remove_node(node);
        }
        keys
    }

    /// The first node of a subtree in postorder.
    fn deepest(&self, mut node: usize) -> usize {
        while node != NONE {
            let [left, right] = self.nodes[node].below;
            match (left, right) {
                (NONE, NONE) => break,
                (NONE, _) => node = right,
                _ => node = left,
            }
        }
        node
    }

    fn next_bottom_up(&self, node: usize) -> usize {
        let above = self.nodes[node].above;
        if above == NONE {
            return NONE;
        }
        let [left, right] = self.nodes[above].below;
        if node == left && right != NONE { self.deepest(right) } else { above }
    }

    fn is_red(&self, node: usize) -> bool {
        node != NONE && self.nodes[node].red
    }

    /// Whether a node is the left or the right child.
    fn side(&self, node: usize) -> usize {
        usize::from(self.nodes[self.nodes[node].above].below[RIGHT] == node)
    }

    fn put_below(&mut self, above: usize, side: usize, node: usize) {
        self.nodes[above].below[side] = node;
        if node != NONE {
            self.nodes[node].above = above;
        }
    }

    /// Puts `new`, which may be `NONE`, in the place of `old`.
    fn replace(&mut self, old: usize, new: usize) {
        let above = self.nodes[old].above;
        if above != NONE {
            let side = self.side(old);
            self.put_below(above, side, new);
        } else {
            self.root = new;
            if new != NONE {
                self.nodes[new].above = NONE;
            }
        }
    }

    /// Rotates a node down to `side`; its child on the other side takes its place.
    fn rotate(&mut self, node: usize, side: usize) {
        let other = 1 - side;
        let up = self.nodes[node].below[other];
        let middle = self.nodes[up].below[side];
        self.replace(node, up);
        self.put_below(node, other, middle);
        self.put_below(up, side, node);
    }

    /// Restores the rule that no red node has a red child.
    fn repair_red(&mut self, mut node: usize) {
        while self.is_red(self.nodes[node].above) {
            let mut above = self.nodes[node].above;
            let top = self.nodes[above].above;
            let side = self.side(above);
            let uncle = self.nodes[top].below[1 - side];
            if self.is_red(uncle) {
                self.nodes[above].red = false;
                self.nodes[uncle].red = false;
                self.nodes[top].red = true;
                node = top;
                continue;
            }
            if self.side(node) != side {
                self.rotate(above, side);
                above = node;
            }
            self.nodes[above].red = false;
            self.nodes[top].red = true;
            self.rotate(top, 1 - side);
            break;
        }
        let root = self.root;
        self.nodes[root].red = false;
    }

    fn remove_node(&mut self, node: usize) {
        let Node { red, above, below: [left, right], .. } = self.nodes[node];
        // The node that moves up, its new parent and side, and whether a black node is missing
        // there.
        let (moved, mut at, mut side, lacks_black);
        if left == NONE || right == NONE {
            moved = if left == NONE { right } else { left };
            at = above;
            side = if above == NONE { LEFT } else { self.side(node) };
            lacks_black = !red;
            self.replace(node, moved);
        } else {
            let mut next = right;
            while self.nodes[next].below[LEFT] != NONE {
                next = self.nodes[next].below[LEFT];
            }
            moved = self.nodes[next].below[RIGHT];
            lacks_black = !self.nodes[next].red;
            if next == right {
                (at, side) = (next, RIGHT);
            } else {
                (at, side) = (self.nodes[next].above, LEFT);
                self.replace(next, moved);
                self.put_below(next, RIGHT, right);
            }
            self.replace(node, next);
            self.put_below(next, LEFT, left);
            self.nodes[next].red = red;
        }
        if !lacks_black {
            return;
        }
        if moved != NONE {
            // An only child is red.
            self.nodes[moved].red = false;
            return;
        }
        // Paths through this side of `at` have one black node too few.
        while at != NONE {
            let other = 1 - side;
            let mut sibling = self.nodes[at].below[other];
            if self.is_red(sibling) {
                self.nodes[sibling].red = false;
                self.nodes[at].red = true;
                self.rotate(at, side);
                sibling = self.nodes[at].below[other];
            }
            let mut outer = self.nodes[sibling].below[other];
            if !self.is_red(outer) {
                let inner = self.nodes[sibling].below[side];
                if !self.is_red(inner) {
                    self.nodes[sibling].red = true;
                    if self.is_red(at) {
                        self.nodes[at].red = false;
                        return;
                    }
                    let up = self.nodes[at].above;
                    side = if up == NONE { LEFT } else { self.side(at) };
                    at = up;
                    continue;
                }
                self.nodes[inner].red = false;
                self.nodes[sibling].red = true;
                self.rotate(sibling, other);
                (outer, sibling) = (sibling, inner);
            }
            self.nodes[sibling].red = self.nodes[at].red;
            self.nodes[at].red = false;
            self.nodes[outer].red = false;
            self.rotate(at, side);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appends the keys in order, and returns the number of black nodes on each path. Panics if
    /// this is not a red-black tree.
    fn check(tree: &RedBlack, node: usize, keys: &mut Vec<u64>) -> u32 {
        if node == NONE {
            return 0;
        }
        let Node { key, red, below, .. } = tree.nodes[node];
        for below in below.into_iter().filter(|&below| below != NONE) {
            assert_eq!(tree.nodes[below].above, node);
            assert!(!(red && tree.nodes[below].red), "a red node is below a red one");
        }
        let left = check(tree, below[LEFT], keys);
        keys.push(key);
        let right = check(tree, below[RIGHT], keys);
        assert_eq!(left, right, "paths differ in black nodes");
        left + u32::from(!red)
    }

    #[test]
    fn it_stays_balanced_and_sorted() {
        let mut tree = RedBlack::new();
        let mut model = std::collections::BTreeSet::new();
        let mut random = 7_u64;
        for _ in 0..3000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = random >> 33 & 127;
            if model.remove(&key) {
                assert!(tree.remove(key));
            } else {
                assert!(!tree.remove(key));
                model.insert(key);
                tree.insert(key);
            }
            let mut list = Vec::new();
            check(&tree, tree.root, &mut list);
            assert!(list.iter().eq(&model), "{list:?}");
            assert!(!tree.is_red(tree.root));
        }
    }

    /// Removals during the walk change the shape, so the walk misses nodes.
    #[test]
    fn a_walk_that_removes_misses_some() {
        let mut tree = RedBlack::new();
        (0..4).for_each(|key| tree.insert(key));
        let reached = tree.remove_bottom_up();
        assert!(reached.len() < 4, "{reached:?}");
        let mut left = Vec::new();
        check(&tree, tree.root, &mut left);
        assert_eq!(left.len() + reached.len(), 4);
    }
}
