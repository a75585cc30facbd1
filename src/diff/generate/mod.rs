//! Random operations, distributed so that rare paths are reached.
//!
//! There is one generator. It takes [`Choices`] from a seed or from the bytes of a fuzzer.

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

/// A random space: often the usual one, else of any size from one chunk to more than 2^63 bytes,
/// with one root or many.
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

/// A space from a fuzzer's bytes. It may be invalid.
fn any_space(choices: &mut Bytes<'_>) -> Space {
    let least = SZ_4K as u64;
    match choices.below(8) {
        // Small spaces fill up quickly.
        0..=3 => Space::new(choices.between(1, 256) * least, least),
        4..=6 => space(choices),
        _ => Space::new(choices.number(), choices.number()),
    }
}

/// A trace from bytes has at most this many operations.
const MOST_OPERATIONS: usize = 300;

/// The largest space for traces with memory failures. Each failure makes the C try blocks of half
/// the size, twice as many of them: after thirty failures, a request of 2^30 chunks gets single
/// chunks.
const MOST_CHUNKS_WITH_FAULTS: u64 = 4096;

impl Trace {
    /// A trace from a fuzzer's bytes. Any bytes make a valid trace, and more bytes extend it. It
    /// uses only what `capabilities` has; with [`FailNth`](super::Capability::FailNth), memory
    /// fails in it.
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

    /// A random trace of this many operations. It is generated without running them, so a trace may
    /// free an allocation that has failed.
    #[must_use]
    pub fn random(seed: u64, space: Space, capabilities: Capabilities, operations: usize) -> Self {
        let mut generator = Generator::new(Seeded::new(seed), space, capabilities, 0.0);
        let operations = (0..operations).map(|_| generator.next_unseen()).collect();
        Self { space, operations }
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for Trace {
    /// A trace that uses all capabilities of the kernel's C except memory failures.
    fn arbitrary(bytes: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        let capabilities = !Capabilities::from_flag(super::Capability::FailNth);
        Ok(Self::from_bytes(bytes.bytes(bytes.len())?, capabilities))
    }
}
