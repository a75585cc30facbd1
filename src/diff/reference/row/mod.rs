//! All blocks of one order: a sparse array of states, with an index of the free
//! ones.
//!
//! The blocks of an order are numbered by their place: number `n` starts at `n`
//! times their size. A state is a bit at position `n` of one of four bit maps
//! ("planes"). To find a free block without reading a whole bit map, a free plane
//! has summaries above it: a bit of a summary says that there are free blocks
//! among 64 things one level down. So a search takes one step per 6 bits of `n`,
//! and a change seldom touches more than the lowest level. Where no block has
//! ever been there is no memory, so a space of many TiB costs what is used of it.
//!
//! An allocation may have to start at a multiple of more than its own size, that
//! is, at a number that ends in so many binary zeros. For that there are further
//! summaries, of the free blocks with even numbers alone, of those with multiples
//! of 4, and so on up to 64; above that a search may have to turn back. As such
//! allocations are rare, these summaries are brought up to date when one comes.

mod parts;

use parts::{Branch, CLASSES, MULTIPLES, NONE, Page, Summary, Word, bit, digit};

/// What a block that is not split is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Free {
        clear: bool,
    },
    /// `clear` as it was when the block was allocated.
    Allocated {
        clear: bool,
    },
}

impl State {
    /// The free planes come first: only these have summaries.
    const ALL: [Self; 4] = [
        Self::Free { clear: false },
        Self::Free { clear: true },
        Self::Allocated { clear: false },
        Self::Allocated { clear: true },
    ];

    const fn plane(self) -> usize {
        match self {
            Self::Free { clear } => clear as usize,
            Self::Allocated { clear } => 2 + clear as usize,
        }
    }
}

/// All blocks of one order.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// How many levels of branches are above the pages, which are level 0.
    height: usize,
    /// The first one is the top, unless that is the first page.
    branches: Vec<Branch>,
    pages: Vec<Page>,
    /// The highest number of a free block, plus 1, of each plane; 0 without one. It is asked
    /// for most.
    last_plus_1: [u64; 2],
}

impl Row {
    /// No blocks. Numbers will be below `numbers`.
    pub(super) fn new(numbers: u64) -> Self {
        let bits = u64::BITS - numbers.saturating_sub(1).leading_zeros();
        Self { height: bits.saturating_sub(12).div_ceil(6) as usize, ..Self::default() }
    }

    /// `None` where there is no such block: it is split, or part of a larger one.
    pub(super) fn state(&self, number: u64) -> Option<State> {
        let (word, bit) = (self.word(number)?, bit(number, 0));
        State::ALL.into_iter().find(|state| word[state.plane()] & bit != 0)
    }

    /// The states of the 64 blocks that `number` is among.
    fn word(&self, number: u64) -> Option<&Word> {
        let mut index = 0;
        for level in (0..self.height).rev() {
            index = self.branches.get(index)?.below[digit(number, level + 2)] as usize;
        }
        Some(&self.pages.get(index)?.words[digit(number, 1)])
    }

    /// Whether there is such a block and it is free.
    pub(super) fn is_free(&self, number: u64) -> bool {
        self.word(number).is_some_and(|word| (word[0] | word[1]) & bit(number, 0) != 0)
    }

    /// Makes or changes a block.
    pub(super) fn set(&mut self, number: u64, state: State) {
        let bit = bit(number, 0);
        self.change(number, |word| {
            *word = word.map(|plane| plane & !bit);
            word[state.plane()] |= bit;
        });
    }

    /// Removes a block.
    pub(super) fn remove(&mut self, number: u64) {
        let bit = bit(number, 0);
        self.change(number, |word| *word = word.map(|plane| plane & !bit));
    }

    /// Makes an allocated block a free one; or, where its buddy is free and just
    /// as clear, removes both, and says so.
    pub(super) fn free_or_join(&mut self, number: u64, clear: bool) -> bool {
        let (bit, buddy) = (bit(number, 0), bit(number ^ 1, 0));
        let plane = State::Free { clear }.plane();
        self.change(number, |word| {
            *word = word.map(|plane| plane & !bit);
            let join = word[plane] & buddy != 0;
            word[plane] ^= if join { buddy } else { bit };
            join
        })
    }

    /// The highest number of a free block.
    pub(super) fn last_free(&self, clear: bool) -> Option<u64> {
        self.last_plus_1[usize::from(clear)].checked_sub(1)
    }

    /// The highest number of a free block that is at most `limit`.
    pub(super) fn last_free_up_to(&self, clear: bool, limit: u64) -> Option<u64> {
        let among = |first: u64, span: u32| {
            let reach = limit.saturating_sub(first) >> span;
            if reach < 63 { (2 << reach) - 1 } else { !0 }
        };
        self.search(clear, 0, among, u64::ilog2)
    }

    /// The highest number of a free block that ends in `zeros` binary zeros.
    pub(super) fn last_free_multiple(&mut self, clear: bool, zeros: u32) -> Option<u64> {
        self.last_free(clear)?;
        let class = zeros.min(6) as usize;
        if class != 0 {
            self.refresh(self.height, 0);
        }
        let among = |_, span| MULTIPLES[zeros.saturating_sub(span).min(6) as usize];
        self.search(clear, class, among, u64::ilog2)
    }

    /// The lowest number of a free block that is at least `limit`.
    pub(super) fn first_free_from(&self, clear: bool, limit: u64) -> Option<u64> {
        self.last_free(clear).filter(|&last| last >= limit)?;
        let among = |first: u64, span: u32| {
            let skipped = limit.saturating_sub(first) >> span;
            if skipped < 64 { !0 << skipped } else { 0 }
        };
        self.search(clear, 0, among, u64::trailing_zeros)
    }

    /// The number of a free block. Of 64 siblings with free blocks of `class` in
    /// them, each 2^`span` numbers long and the first one from number `first`,
    /// those that `among(first, span)` has a bit for are looked at, in the order
    /// that `pick` takes bits in.
    fn search(
        &self,
        clear: bool,
        class: usize,
        among: impl Fn(u64, u32) -> u64,
        pick: impl Fn(u64) -> u32,
    ) -> Option<u64> {
        self.last_free(clear)?;
        let plane = usize::from(clear);
        self.search_in(self.height + 1, 0, 0, (plane, class), &among, &pick)
    }

    fn search_in(
        &self,
        level: usize,
        index: usize,
        first: u64,
        (plane, class): (usize, usize),
        among: &impl Fn(u64, u32) -> u64,
        pick: &impl Fn(u64) -> u32,
    ) -> Option<u64> {
        let span = 6 * level as u32;
        let free = match level {
            0 => self.pages[index / 64].words[index % 64][plane],
            _ => self.summary(level - 1, index).of(plane, class),
        };
        let mut siblings = free & among(first, span);
        while siblings != 0 {
            let digit = pick(siblings);
            let number = first | u64::from(digit) << span;
            let below = match level {
                0 => return Some(number),
                1 => index * 64 + digit as usize,
                _ => self.branches[index].below[digit as usize] as usize,
            };
            let found = self.search_in(level - 1, below, number, (plane, class), among, pick);
            if found.is_some() {
                return found;
            }
            siblings &= !(1 << digit);
        }
        None
    }

    /// Reads [`Self::last_free`] off the summaries.
    fn find_last(&self, plane: usize) -> Option<u64> {
        let mut number = 0;
        let mut index = 0;
        for _ in 0..self.height {
            let branch = &self.branches[index];
            let digit = branch.summary.any[plane].checked_ilog2()?;
            number = number << 6 | u64::from(digit);
            index = branch.below[digit as usize] as usize;
        }
        let page = &self.pages[index];
        let digit = page.summary.any[plane].checked_ilog2()?;
        number = number << 6 | u64::from(digit);
        let digit = page.words[digit as usize][plane].checked_ilog2()?;
        Some(number << 6 | u64::from(digit))
    }

    /// Changes the states of the 64 blocks that `number` is among, and what is
    /// known of all blocks with them.
    fn change<T>(&mut self, number: u64, change: impl FnOnce(&mut Word) -> T) -> T {
        let index = self.page_of(number);
        let page = &mut self.pages[index];
        let word = &mut page.words[digit(number, 1)];
        let answer = change(word);
        let free = [word[0], word[1]];
        let is_free = free.map(|plane| plane != 0);
        if let Some(is_free) = page.summary.note(bit(number, 1), is_free) {
            self.note_in_branches(self.height, 0, number, is_free);
        }
        self.update_last(number, free);
        answer
    }

    /// The index of the page that `number` is in. It is made if need be.
    fn page_of(&mut self, number: u64) -> usize {
        let mut index = 0;
        for level in (1..=self.height).rev() {
            if index == self.branches.len() {
                self.branches.push(Branch { summary: Summary::default(), below: [NONE; 64] });
            }
            let unused = if level == 1 { self.pages.len() } else { self.branches.len() };
            let below = &mut self.branches[index].below[digit(number, level + 1)];
            if *below == NONE {
                *below = unused as u32;
            }
            index = *below as usize;
        }
        if index == self.pages.len() {
            self.pages.push(Page { summary: Summary::default(), words: [[0; 4]; 64] });
        }
        index
    }

    /// Notes in the branches above a page whether that has free blocks, as far up
    /// as it is news.
    fn note_in_branches(
        &mut self,
        level: usize,
        index: usize,
        number: u64,
        page_is_free: [bool; 2],
    ) -> Option<[bool; 2]> {
        if level == 0 {
            return Some(page_is_free);
        }
        let below = self.branches[index].below[digit(number, level + 1)] as usize;
        let is_free = self.note_in_branches(level - 1, below, number, page_is_free)?;
        self.branches[index].summary.note(bit(number, level + 1), is_free)
    }

    /// Brings the summaries of multiples up to date, in and below a branch or, on
    /// level 0, in a page.
    fn refresh(&mut self, level: usize, index: usize) {
        let mut stale = self.summary(level, index).stale;
        while stale != 0 {
            let digit = stale.trailing_zeros() as usize;
            let is_free: [[bool; CLASSES]; 2] = if level == 0 {
                let word = self.pages[index].words[digit];
                [word[0], word[1]].map(|plane| MULTIPLES.map(|multiples| plane & multiples != 0))
            } else {
                let below = self.branches[index].below[digit] as usize;
                self.refresh(level - 1, below);
                let summary = self.summary(level - 1, below);
                summary.multiples.map(|plane| plane.map(|bits| bits != 0))
            };
            let bit = 1 << digit;
            let summary = match level {
                0 => &mut self.pages[index].summary,
                _ => &mut self.branches[index].summary,
            };
            for (plane, is_free) in summary.multiples.iter_mut().zip(is_free) {
                for (bits, is_free) in plane.iter_mut().zip(is_free) {
                    *bits = if is_free { *bits | bit } else { *bits & !bit };
                }
            }
            summary.stale &= !bit;
            stale &= !bit;
        }
    }

    /// The summary of a branch or, on level 0, of a page.
    fn summary(&self, level: usize, index: usize) -> &Summary {
        match level {
            0 => &self.pages[index].summary,
            _ => &self.branches[index].summary,
        }
    }

    /// Makes [`Self::last_plus_1`] right after a change of the word of `number`, in which
    /// the blocks in `free` are free now.
    fn update_last(&mut self, number: u64, free: [u64; 2]) {
        let first = number & !63;
        for (plane, free) in free.into_iter().enumerate() {
            let here = free.checked_ilog2().map_or(0, |digit| first + u64::from(digit) + 1);
            let last = self.last_plus_1[plane];
            if here > last {
                self.last_plus_1[plane] = here;
            } else if last > first && last <= first + 64 {
                self.last_plus_1[plane] = match here {
                    0 => self.find_last(plane).map_or(0, |last| last + 1),
                    here => here,
                };
            }
        }
    }
}
