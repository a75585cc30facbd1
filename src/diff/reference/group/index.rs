//! Keeps the tally, and the index of the free blocks that it does not list.

use core::iter;

use super::super::tally::{Added, Left, Tally};
use super::line::place;
use super::{At, Group, Kind};

impl Group {
    /// Updates tally and index after a free block was added.
    #[inline]
    pub(super) fn note_added(&mut self, tally: &mut Tally, at: At, kind: Kind, number: u64) {
        if self.multiples.is_some() {
            self.mark_stale(at, kind.level);
        }
        match tally.add(self.lowest + kind.level, kind.clear, number) {
            Added::Listed => {}
            Added::TooMany => self.index_all(tally, kind),
            Added::Indexed => self.index_line(at, kind),
        }
    }

    /// Updates tally and index after a free block was removed.
    #[inline]
    pub(super) fn note_removed(&mut self, tally: &mut Tally, at: At, kind: Kind, number: u64) {
        if self.multiples.is_some() {
            self.mark_stale(at, kind.level);
        }
        match tally.remove(self.lowest + kind.level, kind.clear, number) {
            Left::Listed => {}
            Left::Few => self.list_all(tally, kind),
            left => self.note_removed_from_index(tally, at, kind, left),
        }
    }

    fn note_removed_from_index(&mut self, tally: &mut Tally, at: At, kind: Kind, left: Left) {
        let free = self.lines[at.index()].free(kind.clear).of_level(kind.level);
        if free == 0 {
            self.note_emptied(at, kind);
        }
        if left == Left::Lower {
            let last = match free.checked_ilog2() {
                Some(digit) => Some(at.line << (6 - kind.level) | u64::from(digit)),
                None => self.last_before(kind, at.line),
            };
            tally.set_last(self.lowest + kind.level, kind.clear, last);
        }
    }

    /// Moves the free blocks of a kind from the list to the index.
    #[cold]
    fn index_all(&mut self, tally: &mut Tally, kind: Kind) {
        for number in tally.take_list(self.lowest + kind.level, kind.clear) {
            let (line, _) = place(kind.level, number);
            let at = self.at(line);
            self.index_line(at, kind);
        }
    }

    /// Moves them back. The index may stay out of date, since it is not searched for them.
    #[cold]
    fn list_all(&mut self, tally: &mut Tally, kind: Kind) {
        let order = self.lowest + kind.level;
        let mut limit = tally.last(order, kind.clear);
        let mut list: Vec<u64> = iter::from_fn(|| {
            let number = self.last_up_to(kind, limit?)?;
            limit = number.checked_sub(1);
            Some(number)
        })
        .collect();
        list.reverse();
        tally.set_list(order, kind.clear, list);
    }

    /// Records in the index that a line has free blocks.
    #[inline]
    fn index_line(&mut self, at: At, kind: Kind) {
        let word = &mut self.pages.items_mut()[at.page][kind.index()];
        let first = *word == 0;
        *word |= 1 << (at.line & 63);
        if first {
            self.note_above(at.line, kind);
        }
    }

    /// Records that a line has no free blocks, in the two lowest levels of the index.
    #[inline]
    pub(super) fn note_emptied(&mut self, at: At, kind: Kind) {
        let word = &mut self.pages.items_mut()[at.page][kind.index()];
        *word &= !(1 << (at.line & 63));
        if *word == 0
            && let Some(nodes) = self.above.first_mut()
            && let Some(index) = nodes.index(at.line >> 12)
        {
            nodes.items_mut()[index][kind.index()] &= !(1 << (at.line >> 6 & 63));
        }
    }

    /// Records in the higher levels of the index that a line has free blocks. Stops at the first node
    /// that knows.
    #[inline]
    fn note_above(&mut self, line: u64, kind: Kind) {
        let mut item = line;
        for nodes in &mut self.above {
            item >>= 6;
            let index = nodes.index_or_new(item >> 6);
            let word = &mut nodes.items_mut()[index][kind.index()];
            let bit = 1 << (item & 63);
            if *word & bit != 0 {
                return;
            }
            *word |= bit;
        }
    }
}
