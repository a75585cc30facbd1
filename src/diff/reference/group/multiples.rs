//! Searches for a free block that starts at a multiple of more than its own size: at a number that
//! ends in several binary zeros.
//!
//! For these there is a second index: of the free blocks with even numbers, of those with multiples
//! of 4, and so on up to 64. Beyond 64 a search may have to backtrack. It is seldom
//! needed, so it is created by the first search that asks for it, and updated only by the next one.

use core::{array, mem};

use super::{At, Group, Kind, ORDERS};

/// The classes of block numbers: even ones, up to multiples of 64.
const CLASSES: usize = 6;

/// Masks of the siblings whose position is a multiple of 1, 2, 4, ... 64.
const MULTIPLES: [u64; 1 + CLASSES] = [
    !0,
    0x5555_5555_5555_5555,
    0x1111_1111_1111_1111,
    0x0101_0101_0101_0101,
    0x0001_0001_0001_0001,
    0x0000_0001_0000_0001,
    1,
];

/// The index, from the lowest nodes up. A node has the same index as in the index of the group.
pub(super) type Multiples = Vec<Vec<Nodes>>;

/// A node for each level of a line.
type Nodes = [Node; ORDERS as usize];

/// Which of 64 items have free blocks of a level.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Node {
    /// By clear state and class.
    free: [[u64; CLASSES]; 2],
    /// The items for which `free` may be out of date.
    stale: u64,
}

impl Group {
    /// The highest number of a free block that ends in `zeros` binary zeros, at least one.
    pub fn last_multiple(&mut self, kind: Kind, zeros: u32) -> Option<u64> {
        if self.multiples.is_none() {
            // What is there already is all out of date.
            let lengths = (0..=self.above.len()).map(|height| self.nodes(height).items().len());
            let node = Node { stale: !0, ..Node::default() };
            let nodes = lengths.map(|length| vec![[node; ORDERS as usize]; length]);
            self.multiples = Some(Box::new(nodes.collect()));
        }
        let top = self.above.len();
        self.refresh(top, 0, kind.level);
        self.search_multiple(top, 0, kind, zeros)
    }

    /// Records that the free blocks of a line have changed.
    #[cold]
    pub(super) fn mark_stale(&mut self, at: At, level: u32) {
        let (mut item, mut index) = (at.line, at.page);
        for height in 0..=self.above.len() {
            let node = self.multiples_mut(height, index, level);
            let known = node.stale != 0;
            node.stale |= 1 << (item & 63);
            if known {
                return;
            }
            item >>= 6;
            let Some(nodes) = self.above.get_mut(height) else { return };
            index = nodes.index_or_new(item >> 6);
        }
    }

    /// Brings the index up to date, in and below a node.
    fn refresh(&mut self, height: usize, node: u64, level: u32) {
        let Some(index) = self.nodes(height).index(node) else { return };
        let mut stale = mem::take(&mut self.multiples_mut(height, index, level).stale);
        while stale != 0 {
            let digit = stale.trailing_zeros();
            stale &= stale - 1;
            let item = node << 6 | u64::from(digit);
            let has_free = self.multiples_in(height, item, level);
            let node = self.multiples_mut(height, index, level);
            for (words, has_free) in node.free.iter_mut().zip(has_free) {
                for (word, has_free) in words.iter_mut().zip(has_free) {
                    *word = *word & !(1 << digit) | u64::from(has_free) << digit;
                }
            }
        }
    }

    /// Whether an item below a node has free blocks, by clear state and class. First brings the
    /// index below it up to date.
    fn multiples_in(&mut self, height: usize, item: u64, level: u32) -> [[bool; CLASSES]; 2] {
        if height == 0 {
            return [false, true].map(|clear| {
                let free = self.free(item, Kind { level, clear });
                array::from_fn(|class| {
                    let (within, outside) = digits(level, class as u32 + 1);
                    free & MULTIPLES[within] != 0 && item.trailing_zeros() >= outside
                })
            });
        }
        self.refresh(height - 1, item, level);
        let nothing = [[false; CLASSES]; 2];
        self.nodes(height - 1).index(item).map_or(nothing, |index| {
            let node = self.multiples_mut(height - 1, index, level);
            node.free.map(|words| words.map(|word| word != 0))
        })
    }

    fn search_multiple(&mut self, height: usize, node: u64, kind: Kind, zeros: u32) -> Option<u64> {
        let index = self.nodes(height).index(node)?;
        let free = &self.multiples_mut(height, index, kind.level).free[usize::from(kind.clear)];
        let (within, outside) = digits(kind.level, zeros);
        // The zeros that the items' own numbers must end in.
        let outside = outside.saturating_sub(6 * height as u32);
        let class = (zeros as usize).min(CLASSES) - 1;
        let mut siblings = free[class] & MULTIPLES[(outside as usize).min(CLASSES)];
        while let Some(digit) = siblings.checked_ilog2() {
            let item = node << 6 | u64::from(digit);
            let found = if height > 0 {
                self.search_multiple(height - 1, item, kind, zeros)
            } else {
                let free = self.free(item, kind) & MULTIPLES[within];
                free.checked_ilog2().map(|digit| item << (6 - kind.level) | u64::from(digit))
            };
            if found.is_some() {
                return found;
            }
            siblings &= !(1 << digit);
        }
        None
    }

    /// A node, which is created if it is new.
    fn multiples_mut(&mut self, height: usize, index: usize, level: u32) -> &mut Node {
        let heights = 1 + self.above.len();
        let multiples = self.multiples.get_or_insert_with(|| Box::new(vec![Vec::new(); heights]));
        let nodes = &mut multiples[height];
        if index >= nodes.len() {
            nodes.resize(index + 1, Nodes::default());
        }
        &mut nodes[index][level as usize]
    }
}

/// Of the zeros that a number must end in: how many are in its position in the line, and how many
/// in the line's number.
fn digits(level: u32, zeros: u32) -> (usize, u32) {
    let within = zeros.min(6 - level);
    (within as usize, zeros - within)
}
