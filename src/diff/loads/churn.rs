//! Loads with a fixed number of live allocations, to measure speed.

use crate::diff::generate::{Choices, Seeded};
use crate::diff::{Id, Operation, Space, Trace};
use crate::sizes::{SZ_1G, SZ_4K};
use crate::{AllocRequest, GpuBuddyAllocFlag, GpuBuddyAllocFlags};

const CHUNK: u64 = SZ_4K as u64;
const SPACE: Space = Space::new(80 * SZ_1G as u64, CHUNK);

/// A load with a fixed number of live allocations: each step frees one of them at random and
/// allocates another, of a random size.
///
/// The steps do not depend on the allocator, so that each one under test gets the same sequence.
///
/// ```
/// use gpu_buddy::diff::Churn;
///
/// let churn = Churn::ALL[0];
/// let first: Vec<_> = churn.steps(1).take(2).collect();
/// assert_eq!((first[0].slot, first[1].slot), (0, 1));
/// // As a trace, in which the oldest allocations are freed from the 1001st step on.
/// assert_eq!(churn.trace(1, 1001).operations.len(), 1002);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Churn {
    /// Its name.
    pub name: &'static str,
    /// The memory.
    pub space: Space,
    /// The number of live allocations.
    pub live: u32,
    /// The largest size, in chunks. The smallest is one chunk.
    pub largest: u64,
    /// Whether every size is a power of two, all equally likely. Otherwise it is any number of
    /// chunks.
    pub powers: bool,
    /// Whether each allocation is one run.
    pub contiguous: bool,
}

/// A step of a [`Churn`]: what is in the slot is freed, and `size` bytes are allocated for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChurnStep {
    /// The slot, below [`Churn::live`].
    pub slot: u32,
    /// The size of the new allocation in bytes.
    pub size: u64,
}

impl Churn {
    /// The loads that `docs/performance.md` compares.
    pub const ALL: [Self; 6] = [
        Self { name: "1k live, 4K", live: 1_000, largest: 1, ..Self::ODD },
        Self { name: "10k live, 4K to 2M, powers of two", powers: true, ..Self::ODD },
        Self::ODD,
        Self { name: "10k live, 4K to 2M, odd, contiguous", contiguous: true, ..Self::ODD },
        Self { name: "100k live, 4K to 1M, odd", live: 100_000, largest: 256, ..Self::ODD },
        Self { name: "500k live, 4K to 128K, odd", live: 500_000, largest: 32, ..Self::ODD },
    ];

    const ODD: Self = Self {
        name: "10k live, 4K to 2M, odd",
        space: SPACE,
        live: 10_000,
        largest: 512,
        powers: false,
        contiguous: false,
    };

    /// The steps, without end. The first ones fill the slots in turn. The same seed gives the same
    /// steps.
    ///
    /// # Panics
    ///
    /// If `live` or `largest` is 0.
    pub fn steps(self, seed: u64) -> impl Iterator<Item = ChurnStep> {
        assert!(self.live > 0 && self.largest > 0, "{self:?}");
        let mut choices = Seeded::new(seed);
        (0..).map(move |index: u64| {
            let live = u64::from(self.live);
            let slot = if index < live { index } else { choices.below(live) };
            let chunks = if self.powers {
                1 << choices.between(0, self.largest.ilog2().into())
            } else {
                choices.between(1, self.largest)
            };
            ChurnStep { slot: slot as u32, size: chunks * self.space.chunk_size }
        })
    }

    /// The request for the allocation of a step.
    #[must_use]
    pub fn request(self, step: ChurnStep) -> AllocRequest {
        let flags = match self.contiguous {
            true => GpuBuddyAllocFlag::Contiguous.into(),
            false => GpuBuddyAllocFlags::empty(),
        };
        let Space { size: end, chunk_size: min_block_size, .. } = self.space;
        AllocRequest { size: step.size, end, min_block_size, flags, ..AllocRequest::default() }
    }

    /// The first `steps` steps as a trace.
    ///
    /// # Panics
    ///
    /// As [`steps`](Self::steps).
    #[must_use]
    pub fn trace(self, seed: u64, steps: usize) -> Trace {
        let mut slots: Vec<Option<Id>> = vec![None; self.live as usize];
        let mut operations = Vec::new();
        for (id, step) in (0..).zip(self.steps(seed).take(steps)) {
            if let Some(id) = slots[step.slot as usize].replace(id) {
                operations.push(Operation::Free { id, cleared: false });
            }
            operations.push(Operation::Alloc { id, request: self.request(step) });
        }
        Trace { space: self.space, operations }
    }
}
