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
//! is, at a number that ends in so many binary zeros. Therefore a summary is kept
//! once for all free blocks, once for those with even numbers, and so on up to
//! multiples of 64. Above that a search may have to turn back.

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

/// The states of 64 blocks.
type Word = [u64; 4];

/// How many things are summarised per plane: free blocks whose numbers are
/// multiples of 1, 2, 4, ... 64.
const CLASSES: usize = 7;

/// In which of 64 things there are free blocks, by class of number.
type Summary = [u64; CLASSES];

/// The states of 4096 blocks.
#[derive(Clone, Debug)]
struct Page {
    free: [Summary; 2],
    words: [Word; 64],
}

/// 64 pages, or 64 branches of the level below.
#[derive(Clone, Debug)]
struct Branch {
    free: [Summary; 2],
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

    /// The highest number of a free block that is at most `limit` and ends in
    /// `zeros` binary zeros.
    pub(super) fn last_free_where(&self, clear: bool, limit: u64, zeros: u32) -> Option<u64> {
        let among = |first: u64, span: u32| {
            // Of 64 siblings those that start no later than the limit...
            let reach = limit.saturating_sub(first) >> span;
            let not_beyond = if reach < 63 { (2 << reach) - 1 } else { !0 };
            // ...and those that can hold a multiple.
            let multiples = MULTIPLES[zeros.saturating_sub(span).min(6) as usize];
            not_beyond & multiples
        };
        let class = (zeros as usize).min(CLASSES - 1);
        self.search(clear, class, among, u64::ilog2)
    }

    /// The lowest number of a free block that is at least `limit`.
    pub(super) fn first_free_from(&self, clear: bool, limit: u64) -> Option<u64> {
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
            1 => self.pages[index].free[plane][class],
            _ => self.branches[index].free[plane][class],
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

    /// Reads [`Self::last`] off the summaries.
    fn find_last(&self, plane: usize) -> Option<u64> {
        let mut number = 0;
        let mut index = 0;
        for _ in 0..self.height {
            let branch = &self.branches[index];
            let digit = branch.free[plane][0].checked_ilog2()?;
            number = number << 6 | u64::from(digit);
            index = branch.below[digit as usize] as usize;
        }
        let page = &self.pages[index];
        let digit = page.free[plane][0].checked_ilog2()?;
        number = number << 6 | u64::from(digit);
        let digit = page.words[digit as usize][plane].checked_ilog2()?;
        Some(number << 6 | u64::from(digit))
    }

    /// Changes the states of the 64 blocks that `number` is among, and what is
    /// known of all blocks with them.
    fn change<T>(&mut self, number: u64, change: impl FnOnce(&mut Word) -> T) -> T {
        let mut path = [0; MAX_HEIGHT];
        let page = self.path_to(number, &mut path);
        let word = &mut self.pages[page].words[digit(number, 1)];
        let before = *word;
        let answer = change(word);
        let after = *word;
        for plane in 0..2 {
            if before[plane] != after[plane] {
                let classes = [before, after].map(|word| classes_of_word(word[plane]));
                self.summarise(number, plane, page, &path, classes);
                self.update_last(number, plane, after[plane]);
            }
        }
        answer
    }

    /// The index of the page that `number` is in, which is made if need be. The
    /// branches above it go to `path`, the lowest first.
    fn path_to(&mut self, number: u64, path: &mut [usize; MAX_HEIGHT]) -> usize {
        let mut index = 0;
        for level in (0..self.height).rev() {
            if index == self.branches.len() {
                self.branches.push(Branch {
                    free: [[0; CLASSES]; 2],
                    below: [NONE; 64],
                });
            }
            path[level] = index;
            let unused = if level == 0 {
                self.pages.len()
            } else {
                self.branches.len()
            };
            let below = &mut self.branches[index].below[digit(number, level + 2)];
            if *below == NONE {
                *below = unused as u32;
            }
            index = *below as usize;
        }
        if index == self.pages.len() {
            self.pages.push(Page {
                free: [[0; CLASSES]; 2],
                words: [[0; 4]; 64],
            });
        }
        index
    }

    /// Makes the summaries above a word right, as far up as they change.
    /// `classes`: how many classes of free blocks the word had, and has.
    fn summarise(
        &mut self,
        number: u64,
        plane: usize,
        page: usize,
        path: &[usize; MAX_HEIGHT],
        mut classes: [usize; 2],
    ) {
        for level in 0..=self.height {
            let [before, after] = classes;
            if before == after {
                return;
            }
            let summary = match level {
                0 => &mut self.pages[page].free[plane],
                _ => &mut self.branches[path[level - 1]].free[plane],
            };
            let bit = bit(number, level + 1);
            classes[0] = classes_of_summary(summary);
            for class in &mut summary[after.min(before)..after.max(before)] {
                *class ^= bit;
            }
            classes[1] = classes_of_summary(summary);
        }
    }

    /// Makes [`Self::last`] right after a change of the word of `number`.
    fn update_last(&mut self, number: u64, plane: usize, word: u64) {
        let last = self.last[plane];
        let last_here = word
            .checked_ilog2()
            .map(|digit| number & !63 | u64::from(digit));
        if last_here > last {
            self.last[plane] = last_here;
        } else if last.is_some_and(|last| last >> 6 == number >> 6) {
            self.last[plane] = last_here.or_else(|| self.find_last(plane));
        }
    }
}

/// Of 64 siblings, those whose position is a multiple of 1, 2, 4, ... 64.
const MULTIPLES: [u64; CLASSES] = [
    !0,
    0x5555_5555_5555_5555,
    0x1111_1111_1111_1111,
    0x0101_0101_0101_0101,
    0x0001_0001_0001_0001,
    0x0000_0001_0000_0001,
    1,
];

/// How many classes of free blocks there are in a word. What is in one class is
/// in those before it as well.
fn classes_of_word(word: u64) -> usize {
    MULTIPLES
        .iter()
        .map(|multiples| usize::from(word & multiples != 0))
        .sum()
}

/// How many classes of free blocks there are in 64 summarised things.
fn classes_of_summary(summary: &Summary) -> usize {
    summary.iter().map(|&class| usize::from(class != 0)).sum()
}

/// Which of 64 siblings on a level a number is in, or is.
const fn digit(number: u64, level: usize) -> usize {
    (number >> (6 * level)) as usize & 63
}

const fn bit(number: u64, level: usize) -> u64 {
    1 << digit(number, level)
}
