//! A set of chunks.

use core::ops::Range;
use std::collections::BTreeMap;

/// Up to this many chunks, one bit for each is fastest: 8 KiB.
pub(super) const FEW_CHUNKS: u64 = 1 << 16;

/// A bit for each chunk.
#[derive(Clone, Debug)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub fn new(chunks: u64) -> Self {
        Self(vec![0; chunks.div_ceil(64) as usize])
    }

    /// The words that a range touches, each with the mask of its bits.
    fn words(range: Range<u64>) -> impl DoubleEndedIterator<Item = (usize, u64)> {
        let Range { start, end } = range;
        let words = start / 64..end.div_ceil(64);
        words.map(move |word| {
            let mut mask = u64::MAX;
            if word * 64 < start {
                mask &= u64::MAX << (start % 64);
            }
            if word * 64 + 64 > end {
                mask &= u64::MAX >> (64 - end % 64);
            }
            (word as usize, mask)
        })
    }

    pub fn insert(&mut self, range: Range<u64>) {
        Self::words(range).for_each(|(word, mask)| self.0[word] |= mask);
    }

    pub fn remove(&mut self, range: Range<u64>) {
        Self::words(range).for_each(|(word, mask)| self.0[word] &= !mask);
    }

    pub fn has_all(&self, range: Range<u64>) -> bool {
        Self::words(range).all(|(word, mask)| self.0[word] & mask == mask)
    }

    pub fn has_any(&self, range: Range<u64>) -> bool {
        Self::words(range).any(|(word, mask)| self.0[word] & mask != 0)
    }

    /// The last chunk of a range that is in the set.
    pub fn last(&self, range: Range<u64>) -> Option<u64> {
        Self::words(range).rev().find_map(|(word, mask)| {
            let found = self.0[word] & mask;
            (found != 0).then(|| word as u64 * 64 + u64::from(found.ilog2()))
        })
    }

    pub fn fill(&mut self, set: bool) {
        self.0.fill(if set { u64::MAX } else { 0 });
    }

    /// The first chunk in `from..end` that is in the set (`set`) or not in it; or else `end`.
    pub fn find(&self, set: bool, from: u64, end: u64) -> u64 {
        let flip = if set { 0 } else { u64::MAX };
        for (word, mask) in Self::words(from..end) {
            let found = (self.0[word] ^ flip) & mask;
            if found != 0 {
                return word as u64 * 64 + u64::from(found.trailing_zeros());
            }
        }
        end
    }
}

/// A set of chunks. An empty range changes nothing.
#[derive(Clone, Debug)]
pub(super) enum ChunkSet {
    Few(Bits),
    /// The end of each range by its start, with a gap between any two; and the number of chunks.
    Many(BTreeMap<u64, u64>, u64),
}

impl ChunkSet {
    /// An empty set for this many chunks.
    pub fn new(chunks: u64) -> Self {
        if chunks <= FEW_CHUNKS {
            Self::Few(Bits::new(chunks))
        } else {
            Self::Many(BTreeMap::new(), chunks)
        }
    }

    /// All chunks, or none.
    pub fn reset(&mut self, all: bool) {
        match self {
            Self::Few(bits) => bits.fill(all),
            Self::Many(ranges, chunks) => {
                ranges.clear();
                ranges.extend(all.then_some((0, *chunks)));
            }
        }
    }

    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        match self {
            Self::Few(bits) => bits.insert(range),
            Self::Many(ranges, _) => {
                let Range { mut start, mut end } = range;
                // Merge it with each range that it overlaps or touches.
                while let Some((&from, &to)) = ranges.range(..=end).next_back()
                    && to >= start
                {
                    ranges.remove(&from);
                    (start, end) = (start.min(from), end.max(to));
                }
                ranges.insert(start, end);
            }
        }
    }

    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        match self {
            Self::Few(bits) => bits.remove(range),
            Self::Many(ranges, _) => {
                let Range { start, end } = range;
                while let Some((&from, &to)) = ranges.range(..end).next_back()
                    && to > start
                {
                    ranges.remove(&from);
                    if from < start {
                        ranges.insert(from, start);
                    }
                    if to > end {
                        ranges.insert(end, to);
                    }
                }
            }
        }
    }

    /// Whether the set contains the whole range.
    pub fn covers(&self, range: Range<u64>) -> bool {
        match self {
            Self::Few(bits) => bits.has_all(range),
            Self::Many(ranges, _) => {
                let around = ranges.range(..=range.start).next_back();
                range.is_empty() || around.is_some_and(|(_, &to)| to >= range.end)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bits, ChunkSet};
    use std::collections::BTreeMap;

    #[test]
    fn both_kinds_are_the_same_set() {
        let chunks = 300;
        let mut sets = [ChunkSet::Few(Bits::new(chunks)), ChunkSet::Many(BTreeMap::new(), chunks)];
        let mut plain = vec![false; chunks as usize];
        let mut random = 1u64;
        let mut below = |limit: u64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) % limit
        };
        for _ in 0..20_000 {
            let start = below(chunks + 1);
            let end = start + below((chunks - start).min(90) + 1);
            let insert = below(2) == 0;
            for set in &mut sets {
                if insert { set.insert(start..end) } else { set.remove(start..end) }
            }
            plain[start as usize..end as usize].fill(insert);
            let start = below(chunks + 1);
            let end = start + below((chunks - start).min(20) + 1);
            let covers = plain[start as usize..end as usize].iter().all(|&set| set);
            for set in &sets {
                assert_eq!(set.covers(start..end), covers, "{start}..{end}");
            }
            let ChunkSet::Few(bits) = &sets[0] else { unreachable!() };
            let any = plain[start as usize..end as usize].iter().any(|&set| set);
            assert_eq!(bits.has_any(start..end), any);
            let last = (start..end).rev().find(|&chunk| plain[chunk as usize]);
            assert_eq!(bits.last(start..end), last);
            for set in [false, true] {
                let found = (start..end).find(|&chunk| plain[chunk as usize] == set);
                assert_eq!(bits.find(set, start, end), found.unwrap_or(end));
            }
        }
    }
}
