//! Random operations, distributed so that rare paths are reached.
//!
//! There is one generator. It takes [`Choices`] from a seed or from the bytes of a fuzzer.

mod choices;
mod faults;
mod mix;
mod operations;
mod request;
mod source;
mod space;

pub(super) use choices::{Bytes, Choices, Seeded};
pub(super) use faults::Faults;
pub(super) use operations::Generator;
pub(super) use request::restrict;
pub(super) use source::Source;
pub(super) use space::space_for;

use super::{Capabilities, Space, Trace};

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
        let mut space = space::any(&mut choices);
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
