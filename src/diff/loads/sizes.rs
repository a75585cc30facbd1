//! Sizes of buffers. The frequencies are assumed.

use crate::diff::generate::Choices;
use crate::sizes::{SZ_1M, SZ_4K, SZ_64K};

pub const PAGE: u64 = SZ_4K as u64;
pub const LARGE_PAGE: u64 = 2 * SZ_1M as u64;

/// A class of sizes: its weight, the smallest and the largest size, and what sizes are multiples
/// of, in bytes.
pub type Class = (u32, u64, u64, u64);

/// Draws a size in bytes from one of several classes. Within a class, each power of two is equally
/// likely. The size is a multiple of `least_multiple`, and at most `most`, which is one too.
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

/// The size in bytes of an image for a screen, with 4 bytes for each pixel, in whole pages.
pub fn screen(choices: &mut dyn Choices, page: u64, most: u64) -> u64 {
    const SCREENS: [(u64, u64); 6] =
        [(1280, 720), (1920, 1080), (1920, 1200), (2560, 1440), (3440, 1440), (3840, 2160)];
    let (width, height) = SCREENS[choices.below(SCREENS.len() as u64) as usize];
    (4 * width * height).next_multiple_of(page).min(most - most % page).max(page)
}

/// The largest size of a request in bytes, so that a space has room for several.
pub fn most(size: u64) -> u64 {
    (size / 8).max(SZ_64K as u64).min(size)
}

/// The number of last-level page tables for a mapping of `size` bytes: one page of 512 entries for
/// each 2M, unless that is mapped as one large page. Neighbours share tables, so small buffers
/// seldom need a new one.
pub fn page_tables(choices: &mut dyn Choices, size: u64, by_large_pages: bool) -> u64 {
    const MOST: u64 = 16;
    if by_large_pages {
        return u64::from(choices.one_in(16));
    }
    let (whole, rest) = (size / LARGE_PAGE, size % LARGE_PAGE);
    (whole + u64::from(choices.below(LARGE_PAGE) < rest)).min(MOST)
}
