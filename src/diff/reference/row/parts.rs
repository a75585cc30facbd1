//! The parts of a row.

/// The states of 64 blocks.
pub(super) type Word = [u64; 4];

/// The number of classes of block numbers: class 0 has all numbers, class 1 the even ones, up to
/// class 6 with the multiples of 64.
pub(super) const CLASSES: usize = 7;

/// Which of 64 items have free blocks: dirty ones, and clear ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary {
    pub any: [u64; 2],
    /// By class; class 0 is in `any`.
    pub multiples: [[u64; CLASSES]; 2],
    /// The items whose bits in `multiples` may be out of date.
    pub stale: u64,
}

impl Summary {
    /// Records whether the item of `bit` has free blocks. If that changes the summary as seen from
    /// above, returns whether any of the 64 items has free blocks.
    pub fn note(&mut self, bit: u64, is_free: [bool; 2]) -> Option<[bool; 2]> {
        let before = (self.is_free(), self.stale != 0);
        for (any, is_free) in self.any.iter_mut().zip(is_free) {
            *any = if is_free { *any | bit } else { *any & !bit };
        }
        self.stale |= bit;
        let now = self.is_free();
        ((now, true) != before).then_some(now)
    }

    /// Whether there are any free blocks, dirty and clear.
    pub fn is_free(&self) -> [bool; 2] {
        self.any.map(|any| any != 0)
    }

    pub fn of(&self, plane: usize, class: usize) -> u64 {
        if class == 0 { self.any[plane] } else { self.multiples[plane][class] }
    }
}

/// The states of 4096 blocks.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub summary: Summary,
    pub words: [Word; 64],
}

/// 64 pages, or 64 branches of the level below.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub summary: Summary,
    /// Indices; [`NONE`] if there has never been a block.
    pub below: [u32; 64],
}

pub(super) const NONE: u32 = u32::MAX;

/// Masks of the siblings whose position is a multiple of 1, 2, 4, ... 64.
pub(super) const MULTIPLES: [u64; CLASSES] = [
    !0,
    0x5555_5555_5555_5555,
    0x1111_1111_1111_1111,
    0x0101_0101_0101_0101,
    0x0001_0001_0001_0001,
    0x0000_0001_0000_0001,
    1,
];

/// The position among 64 siblings on a level of the item that holds a number.
pub(super) const fn digit(number: u64, level: usize) -> usize {
    (number >> (6 * level)) as usize & 63
}

pub(super) const fn bit(number: u64, level: usize) -> u64 {
    1 << digit(number, level)
}
