//! The blocks of seven orders: their states, with an index of the free ones.
//!
//! The states are in [`Line`]s, 64 of which are a page. Above them is an index of the free blocks of
//! those kinds that have too many for a list in the [`Tally`]. It has a level per 6 bits of a line's
//! number: each bit of a node says whether an item one level down has free blocks of a given order
//! and state. So a search takes one step per level, and a change seldom touches more than the lowest.
//! Memory is allocated only where a block has been, so a space of many TiB costs only what is used of
//! it.
//!
//! In here, an order counts from the lowest of the group and is called a `level`.

mod index;
mod line;
mod multiples;
mod search;
mod sparse;

pub(super) use line::{Line, ORDERS, State, WIDTH, place};
use multiples::Multiples;
use sparse::Sparse;

use super::tally::Tally;

/// Which of 64 items have free blocks, by [`Kind`].
type Node = [u64; 16];

#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The order of level 0.
    lowest: u32,
    lines: Vec<Line>,
    /// The number of lines in a page.
    page: usize,
    /// The lowest level of the index. A node and the page below it have the same index.
    pages: Sparse<Node>,
    /// The further levels, from the lowest up. The highest has one node.
    ///
    /// A bit of the index may be set although there is no free block any more, since it is seldom
    /// worth while to clear it all the way up: a search clears it when it finds that out.
    above: Vec<Sparse<Node>>,
    /// There once a search has needed it.
    multiples: Option<Box<Multiples>>,
}

/// A level and a clear state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub level: u32,
    pub clear: bool,
}

impl Kind {
    /// The index into a [`Node`].
    const fn index(self) -> usize {
        (self.level << 1 | self.clear as u32) as usize & 15
    }
}

/// Where a line is.
#[derive(Clone, Copy, Debug)]
struct At {
    line: u64,
    /// The index of the page.
    page: usize,
}

impl At {
    const fn index(self) -> usize {
        self.page * 64 + (self.line & 63) as usize
    }
}

impl Group {
    /// A group without blocks, for `numbers` blocks of its lowest order.
    pub fn new(lowest: u32, numbers: u64) -> Self {
        let lines = numbers.div_ceil(WIDTH);
        let mut nodes = lines.div_ceil(64);
        let pages = Sparse::new(nodes);
        let mut above = Vec::new();
        while nodes > 1 {
            nodes = nodes.div_ceil(64);
            above.push(Sparse::new(nodes));
        }
        let page = lines.min(64) as usize;
        Self { lowest, lines: Vec::new(), page, pages, above, multiples: None }
    }

    /// `None` if there is no such block: it is split, or part of a larger one.
    pub fn state(&self, level: u32, number: u64) -> Option<State> {
        let (line, place) = place(level, number);
        self.line(line)?.state(place)
    }

    /// Whether there is such a block and it is free.
    pub fn is_free(&self, level: u32, number: u64) -> bool {
        let (line, place) = place(level, number);
        self.line(line).is_some_and(|line| line.is_free(place))
    }

    /// Adds, changes or removes a block.
    pub fn set(&mut self, tally: &mut Tally, level: u32, number: u64, state: Option<State>) {
        let (line, place) = place(level, number);
        let at = self.at(line);
        let line = &mut self.lines[at.index()];
        let before = [false, true].map(|clear| line.free(clear).has(place));
        line.clear(place);
        if let Some(state) = state {
            line.add(place, state);
        }
        let line = *line;
        for (clear, before) in [false, true].into_iter().zip(before) {
            let (kind, free) = (Kind { level, clear }, line.free(clear));
            match (before, free.has(place)) {
                (false, true) => self.note_added(tally, at, kind, number),
                (true, false) => self.note_removed(tally, at, kind, number),
                _ => {}
            }
        }
    }

    /// Frees an allocated block, and merges it with its buddy as long as that is free in the same
    /// state. `was_clear` is the state at the time of the allocation. Returns true if the line's
    /// largest block was merged too: that leaves its parent, which is in the next group, to be freed.
    #[inline]
    pub fn free_and_join(
        &mut self,
        tally: &mut Tally,
        kind: Kind,
        number: u64,
        was_clear: bool,
    ) -> bool {
        let (line, place) = place(kind.level, number);
        let at = self.at(line);
        let line = &mut self.lines[at.index()];
        line.remove(place, State::Allocated { clear: was_clear });
        self.join(tally, at, kind, number)
    }

    /// Adds a free block, as the parent of two that were merged.
    pub fn add_and_join(&mut self, tally: &mut Tally, kind: Kind, number: u64) -> bool {
        let (line, _) = place(kind.level, number);
        let at = self.at(line);
        self.join(tally, at, kind, number)
    }

    #[inline]
    fn join(&mut self, tally: &mut Tally, at: At, kind: Kind, number: u64) -> bool {
        let Kind { level, clear } = kind;
        let (_, place) = place(level, number);
        let free = self.lines[at.index()].free_mut(clear);
        if place == 1 || free.has(place ^ 1) {
            return self.join_buddies(tally, at, kind, number);
        }
        free.add(place);
        self.note_added(tally, at, kind, number);
        false
    }

    #[inline(never)]
    fn join_buddies(&mut self, tally: &mut Tally, at: At, kind: Kind, number: u64) -> bool {
        let Kind { level, clear } = kind;
        let (_, mut place) = place(level, number);
        let mut free = *self.lines[at.index()].free(clear);
        let mut top = level;
        while place > 1 && free.has(place ^ 1) {
            free.remove(place ^ 1);
            place >>= 1;
            top += 1;
        }
        let buddy = at.line ^ 1;
        let joins = place == 1 && self.line(buddy).is_some_and(|line| line.free(clear).has(1));
        if !joins {
            free.add(place);
        }
        *self.lines[at.index()].free_mut(clear) = free;
        for below in level..top {
            let kind = Kind { level: below, clear };
            let number = number >> (below - level) ^ 1;
            self.note_removed(tally, at, kind, number);
        }
        if joins {
            self.set(tally, ORDERS - 1, buddy, None);
        } else {
            let (kind, number) = (Kind { level: top, clear }, number >> (top - level));
            self.note_added(tally, at, kind, number);
        }
        joins
    }

    /// Allocates a free block.
    #[inline]
    pub fn allocate(&mut self, tally: &mut Tally, kind: Kind, number: u64) {
        let Kind { level, clear } = kind;
        let (line, place) = place(level, number);
        let at = self.at(line);
        let line = &mut self.lines[at.index()];
        line.add(place, State::Allocated { clear });
        line.free_mut(clear).remove(place);
        self.note_removed(tally, at, kind, number);
    }

    /// Splits the free block on level `top` down to a block of some kind, which gets no state. The
    /// other halves are free. If `top` is in a higher group, it does what is to be done in this one.
    pub fn split(&mut self, tally: &mut Tally, kind: Kind, number: u64, top: u32) {
        let Kind { level, clear } = kind;
        let (line, mut place) = place(level, number);
        let at = self.at(line);
        let free = self.lines[at.index()].free_mut(clear);
        let end = top.min(ORDERS - 1);
        for _ in level..end {
            free.add(place ^ 1);
            place >>= 1;
        }
        if top == end {
            free.remove(place);
        }
        for below in level..end {
            let kind = Kind { level: below, clear };
            let number = number >> (below - level) ^ 1;
            self.note_added(tally, at, kind, number);
        }
        if top == end {
            let (kind, number) = (Kind { level: top, clear }, number >> (top - level));
            self.note_removed(tally, at, kind, number);
        } else {
            self.set(tally, ORDERS - 1, at.line ^ 1, Some(State::Free { clear }));
        }
    }

    /// Marks a block as allocated that has no state.
    pub fn add_allocated(&mut self, level: u32, number: u64, clear: bool) {
        let (line, place) = place(level, number);
        let at = self.at(line);
        self.lines[at.index()].add(place, State::Allocated { clear });
    }

    /// Part of the line of a block. Only to read it early.
    #[inline]
    pub fn peek(&self, level: u32, number: u64) -> bool {
        let (line, _) = place(level, number);
        self.line(line).is_some_and(|line| line.is_free(1))
    }

    #[inline]
    pub fn line(&self, line: u64) -> Option<&Line> {
        self.lines.get(self.find(line)?.index())
    }

    /// Where a line is, if its page is there.
    #[inline]
    fn find(&self, line: u64) -> Option<At> {
        self.pages.index(line >> 6).map(|page| At { line, page })
    }

    /// Where a line is. Creates its page if there is none.
    #[inline]
    fn at(&mut self, line: u64) -> At {
        self.find(line).unwrap_or_else(|| self.create(line))
    }

    #[cold]
    fn create(&mut self, line: u64) -> At {
        let page = self.pages.index_or_new(line >> 6);
        self.lines.resize(page * 64 + self.page, Line::default());
        // The nodes above exist from then on, even if nothing is free below: `mark_stale` relies on
        // that.
        let mut item = line >> 6;
        for nodes in &mut self.above {
            item >>= 6;
            nodes.index_or_new(item);
        }
        At { line, page }
    }
}
