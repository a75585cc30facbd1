//! Random spaces.

use crate::diff::{Load, Space};
use crate::sizes::{SZ_2M, SZ_4K, SZ_64M};

use super::{Bytes, Choices};

/// The space of an episode: that of a card of the driver, or a random one. One in eight random ones is
/// invalid: they cost no time, because they have no operations.
pub(in crate::diff) fn space_for(load: Option<Load>, choices: &mut impl Choices) -> Space {
    if let Some(load) = load {
        return load.draw_space(choices);
    }
    match choices.below(24) {
        0..3 => invalid(choices),
        choice => valid(choice >= 16, choices),
    }
}

/// A space from a fuzzer's bytes. It may be invalid.
pub(super) fn any(choices: &mut Bytes<'_>) -> Space {
    match choices.below(8) {
        // Small spaces fill up quickly.
        0..=3 => Space::new(choices.between(1, 256) * LEAST, LEAST),
        4..=6 => {
            let usual = choices.one_in(3);
            valid(usual, choices)
        }
        _ => Space::new(choices.number(), choices.number()),
    }
}

/// The smallest chunk size.
const LEAST: u64 = SZ_4K as u64;

/// The usual space, or else one of any size from one chunk to more than 2^63 bytes, with one root
/// or many.
fn valid(usual: bool, choices: &mut impl Choices) -> Space {
    if usual {
        return Space::new(SZ_64M as u64, LEAST);
    }
    let chunk_size = 1 << choices.between(LEAST.ilog2().into(), SZ_2M.ilog2().into());
    let chunks = match choices.below(48) {
        // The largest order that there is.
        0 => return Space::new(u64::MAX - choices.below(LEAST), LEAST),
        1..16 => choices.between(1, 16),
        16..24 => 1 << choices.between(0, 14),
        // A root for each bit.
        24..32 => (1 << choices.between(1, 14)) - 1,
        32..40 => choices.log_uniform(1 << 16),
        _ => choices.log_uniform(u64::MAX / chunk_size),
    };
    let odd = if choices.one_in(4) { choices.below(chunk_size) } else { 0 };
    Space::new((chunks * chunk_size).saturating_add(odd), chunk_size)
}

/// A space that must be refused: mostly for one reason alone, so that no other check refuses it.
fn invalid(choices: &mut impl Choices) -> Space {
    // A valid space that is not small.
    let order = choices.between(LEAST.ilog2().into(), 40);
    let (chunk_size, chunks) = (1u64 << order, choices.between(1, 64));
    let size = chunk_size * chunks;
    match choices.below(8) {
        // The chunk is a power of two, but too small.
        0 => Space::new(size, LEAST / 2),
        1 => Space::new(size, LEAST >> choices.between(1, 12)),
        // The chunk is not a power of two.
        2 => Space::new(size + LEAST + 1, LEAST + 1),
        3 => Space::new(3 * size, 3 * chunk_size),
        4 => {
            let chunk_size = chunk_size + choices.between(1, chunk_size - 1);
            Space::new(chunk_size * chunks, chunk_size)
        }
        // The size is less than a chunk.
        5 => Space::new(if choices.one_in(2) { 0 } else { chunk_size - 1 }, chunk_size),
        6 => Space::new(choices.below(chunk_size), chunk_size),
        // Several reasons.
        _ => Space::new(choices.below(LEAST), choices.below(LEAST)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Seeded;
    use super::*;

    #[test]
    fn one_space_in_eight_is_invalid_for_each_reason() {
        const SPACES: u32 = 8000;
        let mut choices = Seeded::new(1);
        let mut reasons = BTreeMap::new();
        for _ in 0..SPACES {
            if let Some(reason) = space_for(None, &mut choices).why_invalid() {
                *reasons.entry(reason).or_insert(0u32) += 1;
            }
        }
        assert!((900..1100).contains(&reasons.values().sum::<u32>()), "{reasons:?}");
        assert_eq!(reasons.len(), 3, "{reasons:?}");
        assert!(reasons.values().all(|&count| count > 200), "{reasons:?}");
    }

    #[test]
    fn what_is_to_be_refused_is_invalid_for_any_choices() {
        let mut choices = Seeded::new(2);
        for _ in 0..10_000 {
            let space = invalid(&mut choices);
            assert!(!space.is_valid(), "{space:?}");
        }
    }
}
