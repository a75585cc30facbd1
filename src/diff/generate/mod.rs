//! Random operations, spread so that rare paths are met.
//!
//! There is one generator, over a source of [`Choices`]: a seed, or the bytes of a fuzzer.

mod choices;
mod faults;
mod mix;
mod operations;
mod request;
mod source;

pub(super) use choices::{Bytes, Choices, Seeded};
pub(super) use faults::Faults;
pub(super) use operations::Generator;
pub(super) use request::restrict;
pub(super) use source::{Source, space_for};

use crate::sizes::{SZ_2M, SZ_4K, SZ_64M};

use super::{Capabilities, Space, Trace};

/// A space at random: often the usual one, else of any size, from one chunk to more than
/// 2^63 bytes, with one root or many.
fn space(choices: &mut impl Choices) -> Space {
    if choices.one_in(3) {
        return Space::new(SZ_64M as u64, SZ_4K as u64);
    }
    let (least, most) = (u64::from((SZ_4K as u64).ilog2()), u64::from((SZ_2M as u64).ilog2()));
    let chunk_size = 1 << choices.between(least, most);
    let chunks = match choices.below(12) {
        0..4 => choices.between(1, 16),
        4..6 => 1 << choices.between(0, 14),
        // A root for each bit.
        6..8 => (1 << choices.between(1, 14)) - 1,
        8..10 => choices.log_uniform(1 << 16),
        _ => choices.log_uniform(u64::MAX / chunk_size),
    };
    let odd = if choices.one_in(4) { choices.below(chunk_size) } else { 0 };
    Space::new((chunks * chunk_size).saturating_add(odd), chunk_size)
}

/// A space out of bytes, which may be one that no allocator can have.
fn any_space(choices: &mut Bytes<'_>) -> Space {
    let least = SZ_4K as u64;
    match choices.below(8) {
        // Small ones fill up, and are quick.
        0..=3 => Space::new(choices.between(1, 256) * least, least),
        4..=6 => space(choices),
        _ => Space::new(choices.number(), choices.number()),
    }
}

/// More operations than these are left out of a trace that is made of bytes.
const MOST_OPERATIONS: usize = 300;

/// With failures, no space has more chunks. Each failure makes the C look for blocks of half
/// the size, and so for twice as many: after thirty failures a request of 2^30 chunks is met
/// chunk by chunk.
const MOST_CHUNKS_WITH_FAULTS: u64 = 4096;

impl Trace {
    /// A trace out of bytes, as a fuzzer makes them. All bytes are a trace, and one more
    /// adds to its end. It asks for nothing that `capabilities` lacks; with
    /// [`FailNth`](super::Capability::FailNth), memory fails in it.
    ///
    /// ```
    /// use gpu_buddy::diff::{Capabilities, Trace};
    ///
    /// let trace = Trace::from_bytes(&[7; 100], Capabilities::empty());
    /// assert!(!trace.operations.is_empty());
    /// ```
    #[must_use]
    pub fn from_bytes(bytes: &[u8], capabilities: Capabilities) -> Self {
        let mut choices = Bytes::new(bytes);
        let mut space = any_space(&mut choices);
        let faults = capabilities.contains(super::Capability::FailNth);
        if faults {
            space.size = space.size.min(space.chunk_size.saturating_mul(MOST_CHUNKS_WITH_FAULTS));
        }
        let rate = if faults { 0.1 } else { 0.0 };
        let mut generator = Generator::new(choices, space, capabilities, rate);
        let mut operations = Vec::new();
        while !generator.choices().is_empty() && operations.len() < MOST_OPERATIONS {
            operations.push(generator.next_unseen());
        }
        Self { space, operations }
    }

    /// A random trace with so many operations, none of which has been tried: an allocation
    /// may fail that a later one frees.
    #[must_use]
    pub fn random(seed: u64, space: Space, capabilities: Capabilities, operations: usize) -> Self {
        let mut generator = Generator::new(Seeded::new(seed), space, capabilities, 0.0);
        let operations = (0..operations).map(|_| generator.next_unseen()).collect();
        Self { space, operations }
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for Trace {
    /// A trace that asks for whatever the kernel's C offers but the failure of memory.
    fn arbitrary(bytes: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        let capabilities = !Capabilities::from_flag(super::Capability::FailNth);
        Ok(Self::from_bytes(bytes.bytes(bytes.len())?, capabilities))
    }
}
