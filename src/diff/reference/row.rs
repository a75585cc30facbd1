//! All blocks of one order: a sparse array of states, with an index of the free
//! ones.
//!
//! The blocks of an order are numbered by their place: number `n` starts at `n`
//! times their size. A state is a bit at position `n` of one of four bit maps
//! ("planes"). To find the last free block without reading a bit map from its end,
//! a free plane has summaries above it: a bit in a summary says whether 64 bits
//! one level down are all 0. So a search takes one step per 6 bits of `n`, and a
//! change seldom touches more than the lowest level. What no block has ever been
//! in has no memory: a space of many TiB costs what is used of it.

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
    /// Free planes come first: only these have summaries.
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

/// A bit for each of 64 things, on the plane of dirty and on that of clear
/// memory: whether there are free blocks in it.
type Summary = [u64; 2];

/// The states of 64 blocks.
type Word = [u64; 4];

/// The states of 4096 blocks.
#[derive(Clone, Debug)]
struct Page {
    free: Summary,
    words: [Word; 64],
}

/// 64 pages, or 64 branches of the level below.
#[derive(Clone, Debug)]
struct Branch {
    free: Summary,
    /// Indices; [`NONE`] where there has never been a block.
    below: [u32; 64],
}

const NONE: u32 = u32::MAX;

/// Block numbers have at most 52 bits. A page takes 12 of them.
const MAX_HEIGHT: usize = 7;

/// All blocks of one order.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// How many levels of branches are above the pages.
    height: usize,
    /// The first one is the top, unless that is the first page.
    branches: Vec<Branch>,
    pages: Vec<Page>,
    /// The highest number of a free block: what is asked for most.
    last: [Option<u64>; 2],
}

impl Row {
    /// No blocks. Numbers will be below `numbers`.
    pub(super) fn new(numbers: u64) -> Self {
        let bits = u64::BITS - numbers.saturating_sub(1).leading_zeros();
        Self {
            height: bits.saturating_sub(12).div_ceil(6) as usize,
            ..Self::default()
        }
    }

    /// `None` where there is no such block: it is split, or part of a larger one.
    pub(super) fn state(&self, number: u64) -> Option<State> {
        let mut index = 0;
        for level in (0..self.height).rev() {
            index = self.branches.get(index)?.below[digit(number, level + 2)] as usize;
        }
        let word = &self.pages.get(index)?.words[digit(number, 1)];
        let bit = bit(number, 0);
        State::ALL
            .into_iter()
            .find(|state| word[state.plane()] & bit != 0)
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
        self.last[usize::from(clear)]
    }

    /// The highest number of a free block that is at most `limit` and a multiple
    /// of two to the power of `zeros`.
    pub(super) fn last_free_where(&self, clear: bool, limit: u64, zeros: u32) -> Option<u64> {
        let among = |first: u64, span: u32| {
            // Of 64 siblings those that start no later than the limit...
            let reach = limit.saturating_sub(first) >> span;
            let not_beyond = if reach < 63 { (2 << reach) - 1 } else { !0 };
            // ...and those that can hold a multiple.
            let multiples = match zeros.saturating_sub(span) {
                0 => !0,
                1 => 0x5555_5555_5555_5555,
                2 => 0x1111_1111_1111_1111,
                3 => 0x0101_0101_0101_0101,
                4 => 0x0001_0001_0001_0001,
                5 => 0x0000_0001_0000_0001,
                _ => 1,
            };
            not_beyond & multiples
        };
        self.search(clear, among, u64::ilog2)
    }

    /// The lowest number of a free block that is at least `limit`.
    pub(super) fn first_free_from(&self, clear: bool, limit: u64) -> Option<u64> {
        let among = |first: u64, span: u32| {
            let skipped = limit.saturating_sub(first) >> span;
            if skipped < 64 { !0 << skipped } else { 0 }
        };
        self.search(clear, among, u64::trailing_zeros)
    }

    /// The number of a free block. Of 64 siblings with free blocks in them, each
    /// 2^`span` numbers long and the first one from number `first`, those that
    /// `among(first, span)` has a bit for are looked at, in the order that `pick`
    /// takes bits in.
    fn search(
        &self,
        clear: bool,
        among: impl Fn(u64, u32) -> u64,
        pick: impl Fn(u64) -> u32,
    ) -> Option<u64> {
        self.search_in(self.height + 1, 0, 0, clear, &among, &pick)
    }

    fn search_in(
        &self,
        level: usize,
        index: usize,
        first: u64,
        clear: bool,
        among: &impl Fn(u64, u32) -> u64,
        pick: &impl Fn(u64) -> u32,
    ) -> Option<u64> {
        let span = 6 * level as u32;
        let plane = usize::from(clear);
        let free = match level {
            0 => self.pages[index / 64].words[index % 64][plane],
            1 => self.pages.get(index)?.free[plane],
            _ => self.branches.get(index)?.free[plane],
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
            let found = self.search_in(level - 1, below, number, clear, among, pick);
            if found.is_some() {
                return found;
            }
            siblings &= !(1 << digit);
        }
        None
    }

    fn find_last(&self, plane: usize) -> Option<u64> {
        let mut number = 0;
        let mut index = 0;
        for _ in 0..self.height {
            let branch = self.branches.get(index)?;
            let digit = branch.free[plane].checked_ilog2()?;
            number = number << 6 | u64::from(digit);
            index = branch.below[digit as usize] as usize;
        }
        let page = self.pages.get(index)?;
        let digit = page.free[plane].checked_ilog2()?;
        number = number << 6 | u64::from(digit);
        let digit = page.words[digit as usize][plane].checked_ilog2()?;
        Some(number << 6 | u64::from(digit))
    }

    /// Changes the states of the 64 blocks that `number` is among, and what is
    /// known of all blocks with them.
    fn change<T>(&mut self, number: u64, change: impl FnOnce(&mut Word) -> T) -> T {
        let mut path = [0; MAX_HEIGHT];
        let mut index = 0;
        for level in (0..self.height).rev() {
            if index == self.branches.len() {
                self.branches.push(Branch {
                    free: [0; 2],
                    below: [NONE; 64],
                });
            }
            path[level] = index;
            let next = if level == 0 {
                self.pages.len()
            } else {
                self.branches.len()
            };
            let below = &mut self.branches[index].below[digit(number, level + 2)];
            if *below == NONE {
                *below = next as u32;
            }
            index = *below as usize;
        }
        if index == self.pages.len() {
            self.pages.push(Page {
                free: [0; 2],
                words: [[0; 4]; 64],
            });
        }

        let page = &mut self.pages[index];
        let word = &mut page.words[digit(number, 1)];
        let answer = change(word);
        let free_now = [word[0], word[1]];
        let mut is_free = free_now.map(|plane| plane != 0);
        let mut changed = summarise(&mut page.free, bit(number, 1), is_free);
        is_free = page.free.map(|plane| plane != 0);
        for (level, &index) in path[..self.height].iter().enumerate() {
            if !changed {
                break;
            }
            let free = &mut self.branches[index].free;
            changed = summarise(free, bit(number, level + 2), is_free);
            is_free = free.map(|plane| plane != 0);
        }
        for (plane, free_now) in free_now.into_iter().enumerate() {
            let highest = free_now.checked_ilog2().map(|digit| number & !63 | u64::from(digit));
            if highest > self.last[plane] {
                self.last[plane] = highest;
            } else if self.last[plane].is_some_and(|last| last >> 6 == number >> 6) {
                self.last[plane] = highest.or_else(|| self.find_last(plane));
            }
        }
        answer
    }
}

/// Which of 64 siblings on a level a number is in, or is.
const fn digit(number: u64, level: usize) -> usize {
    (number >> (6 * level)) as usize & 63
}

const fn bit(number: u64, level: usize) -> u64 {
    1 << digit(number, level)
}

/// Sets one bit of a summary, and says whether that changed anything.
fn summarise(summary: &mut Summary, bit: u64, is_free: [bool; 2]) -> bool {
    let before = *summary;
    for (plane, is_free) in summary.iter_mut().zip(is_free) {
        *plane = if is_free { *plane | bit } else { *plane & !bit };
    }
    *summary != before
}
