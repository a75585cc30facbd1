//! Sizes of buffers. How often each occurs is assumed.

use crate::diff::generate::Choices;
use crate::sizes::{SZ_1M, SZ_4K, SZ_64K};

pub const PAGE: u64 = SZ_4K as u64;
pub const LARGE_PAGE: u64 = 2 * SZ_1M as u64;

/// Of a class of sizes: its weight, the smallest, the largest, and what they are multiples
/// of.
pub type Class = (u32, u64, u64, u64);

/// A size in one of several classes, each power of two in it as likely as the others. None
/// is above `most`, which is a multiple of `least_multiple`, as is the size.
pub fn draw(choices: &mut dyn Choices, classes: &[Class], least_multiple: u64, most: u64) -> u64 {
    let weights: [u32; 8] =
        core::array::from_fn(|index| classes.get(index).map_or(0, |class| class.0));
    let (_, least, largest, multiple) = classes[choices.weighted(&weights[..classes.len()])];
    let multiple = multiple.max(least_multiple);
    let (least, largest) = (u64::from(least.ilog2()), u64::from(largest.ilog2()));
    let power = 1 << choices.between(least, largest - 1);
    let size = power + choices.below(power);
    // Powers of two are frequent.
    let size = if choices.one_in(3) { power } else { size };
    size.next_multiple_of(multiple).min(most - most % least_multiple).max(least_multiple)
}

/// The sizes of the pictures that a screen shows, at 4 bytes a pixel, in whole pages.
pub fn screen(choices: &mut dyn Choices, page: u64, most: u64) -> u64 {
    const SCREENS: [(u64, u64); 6] =
        [(1280, 720), (1920, 1080), (1920, 1200), (2560, 1440), (3440, 1440), (3840, 2160)];
    let (width, height) = SCREENS[choices.below(SCREENS.len() as u64) as usize];
    (4 * width * height).next_multiple_of(page).min(most - most % page).max(page)
}

/// What one request may be large, so that a space holds several of them.
pub fn most(size: u64) -> u64 {
    (size / 8).max(SZ_64K as u64).min(size)
}

/// The last-level page tables of a mapping of `size` bytes: one page of 512 entries for
/// each 2M, unless that is mapped by 2M. Neighbours share tables, so that small buffers
/// seldom need a new one.
pub fn page_tables(choices: &mut dyn Choices, size: u64, by_large_pages: bool) -> u64 {
    const MOST: u64 = 16;
    if by_large_pages {
        return u64::from(choices.one_in(16));
    }
    let (whole, rest) = (size / LARGE_PAGE, size % LARGE_PAGE);
    (whole + u64::from(choices.below(LARGE_PAGE) < rest)).min(MOST)
}
