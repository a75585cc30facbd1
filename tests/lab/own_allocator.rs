//! A user's own allocator under `torture::check`: a correct one passes, and the default options
//! find each of several planted mistakes, whatever the seed.

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::time::Duration;

use gpu_buddy::diff::torture::{self, Options};
use gpu_buddy::diff::{
    Block, Capabilities, Capability, Comparison, Implementation, Settings, Space,
};
use gpu_buddy::{AllocRequest, Errno};
use rstest::rstest;

const NONE: u8 = 0;
const NEVER_MERGES: u8 = 1;
const MERGES_WITH_WRONG_BUDDY: u8 = 2;
const LOSES_A_BLOCK: u8 = 3;
const FREES_TOO_MUCH: u8 = 4;
const HANDS_OUT_TWICE: u8 = 5;
const FORGETS_TO_ROLL_BACK: u8 = 6;
const IGNORES_ALIGNMENT: u8 = 7;
const GIVES_TOO_LITTLE: u8 = 8;
const TAKES_ANY_SIZE: u8 = 9;
const ORDER_64: u8 = 10;
const PANICS_WHEN_FULL: u8 = 11;
const HANGS: u8 = 12;
const CREATE_PANICS: u8 = 13;

/// A plain buddy allocator with one mistake.
struct Own<const FLAW: u8> {
    space: Space,
    /// The first chunks of free blocks, by order.
    free: Vec<BTreeSet<u64>>,
    avail: u64,
}

impl<const FLAW: u8> Own<FLAW> {
    fn take(&mut self, order: usize) -> Option<u64> {
        let from = (order..self.free.len()).find(|&order| !self.free[order].is_empty())?;
        let start = self.free[from].pop_first()?;
        for half in order..from {
            self.free[half].insert(start + (1 << half));
        }
        if FLAW == HANDS_OUT_TWICE && order == 3 {
            self.free[order].insert(start);
        }
        Some(start)
    }

    fn put(&mut self, mut start: u64, mut order: usize) {
        if FLAW == LOSES_A_BLOCK && order == 2 {
            return;
        }
        while FLAW != NEVER_MERGES && order + 1 < self.free.len() {
            let buddy = match FLAW {
                MERGES_WITH_WRONG_BUDDY if order == 1 => start + (1 << order),
                _ => start ^ (1 << order),
            };
            if !self.free[order].remove(&buddy) {
                break;
            }
            start = start.min(buddy);
            order += 1;
        }
        self.free[order].insert(start);
    }
}

impl<const FLAW: u8> Implementation for Own<FLAW> {
    type Allocation = Vec<Block>;

    fn capabilities(&self) -> Capabilities {
        Capability::Alignment.into()
    }

    fn create(space: Space) -> Result<Self, Errno> {
        let Space { size, chunk_size, .. } = space;
        if !space.is_valid() {
            return Err(Errno::EINVAL);
        }
        assert_ne!(FLAW, CREATE_PANICS, "no memory");
        let chunks = size / chunk_size;
        let mut free = vec![BTreeSet::new(); chunks.ilog2() as usize + 1];
        let mut start = 0;
        for order in (0..free.len()).rev().filter(|order| chunks >> order & 1 == 1) {
            free[order].insert(start);
            start += 1 << order;
        }
        Ok(Self { space, free, avail: chunks * chunk_size })
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<Vec<Block>, Errno> {
        let AllocRequest { size, min_block_size, .. } = *request;
        let Space { chunk_size, .. } = self.space;
        let managed = self.space.size - self.space.size % chunk_size;
        let valid = min_block_size >= chunk_size && min_block_size.is_power_of_two() && size > 0;
        let is_multiple = size.is_multiple_of(chunk_size) || FLAW == TAKES_ANY_SIZE;
        if !valid || !is_multiple || size > managed {
            return Err(Errno::EINVAL);
        }
        let least = (min_block_size / chunk_size).ilog2() as usize;
        let mut left = size.div_ceil(chunk_size).max(1);
        let mut order = left.ilog2() as usize;
        let mut taken = Vec::new();
        if FLAW == HANGS && left == 13 {
            // It never returns, but leaves the processor to other tests.
            loop {
                std::thread::park();
            }
        }
        while left > 0 {
            order = order.min(left.ilog2() as usize);
            if let Some(start) = self.take(order) {
                taken.push((start, order));
                left -= 1 << order;
            } else if order > least || (FLAW == IGNORES_ALIGNMENT && order > 0) {
                order -= 1;
            } else {
                assert_ne!(FLAW, PANICS_WHEN_FULL, "full");
                if FLAW != FORGETS_TO_ROLL_BACK {
                    taken.into_iter().for_each(|(start, order)| self.put(start, order));
                }
                return Err(Errno::ENOSPC);
            }
        }
        if FLAW == GIVES_TOO_LITTLE && taken.len() > 2 {
            let (start, order) = taken.pop().unwrap();
            self.put(start, order);
        }
        let given = taken.iter().map(|&(_, order)| chunk_size << order).sum::<u64>();
        self.avail = self.avail.saturating_sub(given);
        let block = |(start, order): (u64, usize)| Block {
            offset: start * chunk_size,
            order: if FLAW == ORDER_64 && order == 2 { 64 } else { order as u32 },
            clear: false,
        };
        Ok(taken.into_iter().map(block).collect())
    }

    fn blocks(&self, allocation: &Vec<Block>, blocks: &mut Vec<Block>) {
        blocks.extend(allocation);
    }

    fn free(&mut self, allocation: Vec<Block>, _cleared: bool) {
        for block in allocation {
            let order = block.order as usize % 64;
            let size = self.space.chunk_size << order;
            self.put(block.offset / self.space.chunk_size, order);
            let twice = FLAW == FREES_TOO_MUCH && order == 4;
            self.avail += if twice { 2 * size } else { size };
        }
    }

    fn avail(&self) -> u64 {
        self.avail
    }
}

fn options(seed: u64) -> Options {
    let settings = Settings { comparison: Comparison::Contract, ..Settings::default() };
    let (patience, shrink) = (Duration::from_secs(2), Duration::from_secs(5));
    Options { seed, settings, patience, shrink, ..Options::default() }
}

/// What `check` panics with, if it does.
fn finding<const FLAW: u8>(seed: u64) -> Option<String> {
    let payload = catch_unwind(|| torture::check::<Own<FLAW>>(&options(seed))).err()?;
    Some(payload.downcast_ref::<String>().expect("a text").clone())
}

#[test]
fn a_right_allocator_passes_and_says_what_was_done() {
    let report = torture::check::<Own<NONE>>(&options(1)).to_string();
    assert!(report.starts_with("100000 operations on "), "{report}");
    assert!(report.contains("not compared: Clear, ResetClear, Trim,"), "{report}");
}

#[rstest]
#[case::never_merges(finding::<NEVER_MERGES>, &["room: "])]
#[case::wrong_buddy(finding::<MERGES_WITH_WRONG_BUDDY>, &["no-overlap: ", "block-shape: ", "in-space: ", "room: "])]
#[case::lost_block(finding::<LOSES_A_BLOCK>, &["room: "])]
#[case::frees_too_much(finding::<FREES_TOO_MUCH>, &["avail: "])]
#[case::hands_out_twice(finding::<HANDS_OUT_TWICE>, &["no-overlap: ", "avail: "])]
#[case::no_roll_back(finding::<FORGETS_TO_ROLL_BACK>, &["room: ", "repeatable: "])]
#[case::unaligned(finding::<IGNORES_ALIGNMENT>, &["aligned: ", "min-block-size: "])]
#[case::too_little(finding::<GIVES_TOO_LITTLE>, &["adds-up: "])]
#[case::any_size(finding::<TAKES_ANY_SIZE>, &["refuses-invalid: "])]
#[case::order_64(finding::<ORDER_64>, &["block-shape: "])]
#[case::panics(finding::<PANICS_WHEN_FULL>, &[concat!("no-panic: panicked at ", file!(), ":")])]
#[case::create_panics(finding::<CREATE_PANICS>, &[concat!("no-panic: panicked at ", file!(), ":")])]
fn a_mistake_is_found_by_every_seed(
    #[case] finding: fn(u64) -> Option<String>,
    #[case] expected: &[&str],
) {
    for seed in 1..=20 {
        let found = finding(seed).unwrap_or_else(|| panic!("seed {seed} finds nothing"));
        assert!(expected.iter().any(|text| found.starts_with(text)), "seed {seed}: {found}");
        let (head, trace) = found.split_once("\n\n").expect("a head and a trace");
        assert!(head.lines().count() <= 7, "{found}");
        assert!(trace.lines().count() <= 100, "{found}");
    }
}

#[test]
fn a_call_that_does_not_end_is_named() {
    let found = finding::<HANGS>(1).expect("it is found");
    let call = "hang: a call takes longer than 2 s: ";
    assert!(found.starts_with(call) && found.contains(" = alloc "), "{found}");
}
