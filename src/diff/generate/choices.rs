//! Sources of random choices.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A source of choices. 0 is the simplest choice.
pub(in crate::diff) trait Choices {
    /// A number below `limit`. `limit` is not 0.
    fn below(&mut self, limit: u64) -> u64;

    /// Any number.
    fn number(&mut self) -> u64;

    /// True one time in `count`.
    fn one_in(&mut self, count: u64) -> bool {
        // The simplest choice is the usual one.
        self.below(count) == count - 1
    }

    /// A number from `least` to `most`.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        match (most - least).checked_add(1) {
            Some(limit) => least + self.below(limit),
            None => self.number(),
        }
    }

    /// True this many times in a hundred.
    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) >= 100 - percent.min(100)
    }

    /// True at this rate, from 0 to 1.
    fn at_rate(&mut self, rate: f64) -> bool {
        const STEPS: u64 = 1 << 20;
        rate > 0.0 && self.below(STEPS) as f64 >= STEPS as f64 * (1.0 - rate)
    }

    /// A number from 1 to `most`, in which each power of two is equally likely.
    fn log_uniform(&mut self, most: u64) -> u64 {
        let bits = self.between(0, u64::from(most.ilog2()));
        self.between(1 << bits, most.min((1 << bits) | ((1 << bits) - 1)))
    }

    /// An index, with the probability of its weight. Not all weights are 0.
    fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u32 = weights.iter().sum();
        let mut at = self.below(u64::from(total.max(1))) as u32;
        weights
            .iter()
            .position(|&weight| {
                let here = at < weight;
                at = at.saturating_sub(weight);
                here
            })
            .unwrap_or_default()
    }
}

/// A seed: the same seed gives the same choices.
#[derive(Clone, Debug)]
pub(in crate::diff) struct Seeded(Xoshiro256PlusPlus);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }
}

impl Choices for Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0.random_range(0..limit)
    }

    fn number(&mut self) -> u64 {
        self.0.random()
    }
}

/// The bytes of a fuzzer, followed by zeros.
#[derive(Clone, Debug)]
pub(in crate::diff) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, count: usize) -> u64 {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }
}

impl Choices for Bytes<'_> {
    fn below(&mut self, limit: u64) -> u64 {
        // As few bytes as possible, so that a mutation changes one choice only.
        let bytes = (64 - (limit - 1).leading_zeros()).div_ceil(8);
        self.take(bytes as usize) % limit
    }

    fn number(&mut self) -> u64 {
        match self.below(4) {
            0 => 1 << self.below(64),
            1 => (1u64 << self.below(64)).wrapping_sub(1),
            _ => self.take(8),
        }
    }

    /// One byte: the rate need not be exact.
    fn at_rate(&mut self, rate: f64) -> bool {
        rate > 0.0 && self.below(256) as f64 >= 256.0 * (1.0 - rate)
    }
}
