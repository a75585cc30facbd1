//! Searches for a free block by its number.

use super::line::{WIDTH, place};
use super::sparse::Sparse;
use super::{Group, Kind, Node};

impl Group {
    /// The highest number of a free block up to `limit`, which is inside the space.
    pub fn last_up_to(&mut self, kind: Kind, limit: u64) -> Option<u64> {
        let (line, place) = place(kind.level, limit);
        let digit = place & !(WIDTH >> kind.level);
        let here = self.free(line, kind) & !0 >> (63 - digit);
        match here.checked_ilog2() {
            Some(digit) => Some(line << (6 - kind.level) | u64::from(digit)),
            None => self.last_before(kind, line),
        }
    }

    /// The lowest number of a free block from `limit` on, which is inside the space.
    pub fn first_from(&mut self, kind: Kind, limit: u64) -> Option<u64> {
        let (line, place) = place(kind.level, limit);
        let digit = place & !(WIDTH >> kind.level);
        let here = self.free(line, kind) & !0 << digit;
        if here != 0 {
            return Some(line << (6 - kind.level) | u64::from(here.trailing_zeros()));
        }
        // What comes after the item itself.
        let after = |digit: u64| !1 << digit;
        self.beside(kind, line, after, u64::trailing_zeros)
    }

    /// The highest number of a free block in the lines before `line`.
    pub(super) fn last_before(&mut self, kind: Kind, line: u64) -> Option<u64> {
        let before = |digit: u64| (1 << digit) - 1;
        self.beside(kind, line, before, u64::ilog2)
    }

    /// The nearest free block on the side that `mask` leaves of an item's siblings. `pick` picks one
    /// of several.
    fn beside(
        &mut self,
        kind: Kind,
        line: u64,
        mask: impl Fn(u64) -> u64,
        pick: impl Fn(u64) -> u32,
    ) -> Option<u64> {
        let page = line >> 6;
        loop {
            let word = self.pages.get(page).map_or(0, |node| node[kind.index()]) & mask(line & 63);
            let line = if word == 0 {
                self.beside_page(kind, page, &mask, &pick)?
            } else {
                page << 6 | u64::from(pick(word))
            };
            let free = self.free(line, kind);
            if free != 0 {
                return Some(line << (6 - kind.level) | u64::from(pick(free)));
            }
            self.note_emptied(self.find(line)?, kind);
        }
    }

    /// Goes up from a page to the first node with free blocks on that side, and down from there to a
    /// line.
    fn beside_page(
        &mut self,
        kind: Kind,
        page: u64,
        mask: &impl Fn(u64) -> u64,
        pick: &impl Fn(u64) -> u32,
    ) -> Option<u64> {
        let (mut height, mut item) = (0, page);
        loop {
            let nodes = self.above.get(height)?;
            let word = nodes.get(item >> 6).map_or(0, |node| node[kind.index()]) & mask(item & 63);
            if word == 0 {
                height += 1;
                item >>= 6;
            } else if let Some(line) =
                self.down(height, item & !63 | u64::from(pick(word)), kind, pick)
            {
                return Some(line);
            }
        }
    }

    /// The line with free blocks below an item. If there is none after all, clears the bit that said
    /// so, and returns `None`.
    fn down(
        &mut self,
        height: usize,
        item: u64,
        kind: Kind,
        pick: &impl Fn(u64) -> u32,
    ) -> Option<u64> {
        let (mut height, mut item) = (height, item);
        loop {
            let nodes = height.checked_sub(1).map_or(&self.pages, |height| &self.above[height]);
            let word = nodes.get(item).map_or(0, |node| node[kind.index()]);
            if word == 0 {
                let nodes = &mut self.above[height];
                let index = nodes.index(item >> 6)?;
                nodes.items_mut()[index][kind.index()] &= !(1 << (item & 63));
                return None;
            }
            item = item << 6 | u64::from(pick(word));
            if height == 0 {
                return Some(item);
            }
            height -= 1;
        }
    }

    /// The free blocks of a line, from bit 0 on.
    pub(super) fn free(&self, line: u64, kind: Kind) -> u64 {
        self.line(line).map_or(0, |line| line.free(kind.clear).of_level(kind.level))
    }

    /// The nodes of the index at a height.
    pub(super) fn nodes(&self, height: usize) -> &Sparse<Node> {
        height.checked_sub(1).map_or(&self.pages, |height| &self.above[height])
    }
}
