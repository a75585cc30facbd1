//! The allocators that are measured.

mod kernel;
mod peers;

use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::{Churn, ChurnStep, KernelC, Space};

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// The slot of the allocation.
    pub slot: u32,
    /// The size in bytes; 0 only frees what is in the slot.
    pub size: u64,
    /// The alignment in bytes.
    pub align: u64,
    /// Whether it must be one run. A peer always returns one run.
    pub contiguous: bool,
}

impl Want {
    /// The request of a step of a load.
    #[must_use]
    pub fn new(churn: Churn, ChurnStep { slot, size }: ChurnStep) -> Self {
        Self { slot, size, align: churn.space.chunk_size, contiguous: churn.contiguous }
    }
}

/// An allocator with numbered slots, each of which has one allocation or none.
trait Subject: Sized {
    /// `None` if it cannot manage this space.
    fn create(kind: Kind, space: Space, slots: usize) -> Option<Self>;

    /// Allocates for an empty slot. False if there is no room.
    fn alloc(&mut self, want: Want) -> bool;

    /// Frees what is in a slot, if anything.
    fn free(&mut self, slot: usize);

    /// The steps of all calls so far, if they are counted.
    fn steps(&self) -> Option<u64> {
        None
    }
}

/// A subject under a load.
pub trait Runner {
    /// Does one step after the other: frees the slot and allocates for it. Returns how many
    /// allocations failed.
    fn run(&mut self, wants: &[Want]) -> u64;

    /// The steps of all calls so far, if they are counted.
    fn steps(&self) -> Option<u64>;

    /// Whether `size` bytes can be allocated in one run. `slot` must be empty.
    fn fits(&mut self, size: u64, align: u64, slot: u32) -> bool;
}

impl<S: Subject> Runner for S {
    #[inline(never)]
    fn run(&mut self, wants: &[Want]) -> u64 {
        let mut failed = 0;
        for &want in wants {
            self.free(want.slot as usize);
            if want.size > 0 {
                failed += u64::from(!self.alloc(want));
            }
        }
        failed
    }

    fn steps(&self) -> Option<u64> {
        Subject::steps(self)
    }

    fn fits(&mut self, size: u64, align: u64, slot: u32) -> bool {
        let fits = self.alloc(Want { slot, size, align, contiguous: true });
        self.free(slot as usize);
        fits
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The C through [`gpu_buddy::ffi`], over `malloc`. The yardstick.
    RawC,
    /// The same, top-down.
    RawCTopDown,
    /// The C through [`gpu_buddy::GpuBuddy`].
    Safe,
    /// The same, top-down.
    SafeTopDown,
    /// The C in the laboratory, which counts its steps. It is not timed.
    Counted,
    /// The reference model in Rust.
    Reference,
    /// The crate `offset-allocator`.
    OffsetAllocator,
    /// The crate `buddy_system_allocator`.
    BuddySystem,
    /// The crate `range-alloc`.
    RangeAlloc,
    /// VMA's `VirtualBlock`, through the crate `vk-mem`.
    #[cfg(feature = "vma")]
    VirtualBlock,
}

impl Kind {
    /// Those that are timed, the yardstick first.
    pub const ALL: &[Self] = &[
        Self::RawC,
        Self::RawCTopDown,
        Self::Safe,
        Self::SafeTopDown,
        Self::Reference,
        Self::OffsetAllocator,
        Self::BuddySystem,
        Self::RangeAlloc,
        #[cfg(feature = "vma")]
        Self::VirtualBlock,
    ];

    /// The name in tables and plots.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RawC => "raw C",
            Self::RawCTopDown => "raw C, top-down",
            Self::Safe => "safe API",
            Self::SafeTopDown => "safe API, top-down",
            Self::Counted => "C with steps",
            Self::Reference => "reference model",
            Self::OffsetAllocator => "offset-allocator",
            Self::BuddySystem => "buddy_system_allocator",
            Self::RangeAlloc => "range-alloc",
            #[cfg(feature = "vma")]
            Self::VirtualBlock => "VirtualBlock",
        }
    }

    /// Whether it is the kernel's allocator, or makes its choices: a request that need not be one
    /// run is then filled from several blocks.
    #[must_use]
    pub const fn returns_pieces(self) -> bool {
        match self {
            Self::RawC
            | Self::RawCTopDown
            | Self::Safe
            | Self::SafeTopDown
            | Self::Counted
            | Self::Reference => true,
            Self::OffsetAllocator | Self::BuddySystem | Self::RangeAlloc => false,
            #[cfg(feature = "vma")]
            Self::VirtualBlock => false,
        }
    }

    /// The subject with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = Self::ALL.iter().chain(&[Self::Counted]);
        all.copied().find(|kind| kind.name() == name)
    }

    /// Its place among the colours of a plot.
    #[must_use]
    pub fn colour(self) -> usize {
        Self::ALL.iter().position(|&kind| kind == self).unwrap_or(0)
    }

    /// With all of `space` free; `None` if it cannot manage that.
    #[must_use]
    pub fn start(self, space: Space, slots: usize) -> Option<Box<dyn Runner>> {
        fn boxed<S: Subject + 'static>(
            kind: Kind,
            space: Space,
            slots: usize,
        ) -> Option<Box<dyn Runner>> {
            Some(Box::new(S::create(kind, space, slots)?))
        }
        match self {
            Self::RawC | Self::RawCTopDown => boxed::<kernel::RawC>(self, space, slots),
            Self::Safe | Self::SafeTopDown => boxed::<kernel::Safe>(self, space, slots),
            Self::Counted => boxed::<kernel::Model<KernelC>>(self, space, slots),
            Self::Reference => boxed::<kernel::Model<Reference>>(self, space, slots),
            Self::OffsetAllocator => boxed::<peers::Offset>(self, space, slots),
            Self::BuddySystem => boxed::<peers::BuddySystem>(self, space, slots),
            Self::RangeAlloc => boxed::<peers::Ranges>(self, space, slots),
            #[cfg(feature = "vma")]
            Self::VirtualBlock => boxed::<peers::Virtual>(self, space, slots),
        }
    }
}
