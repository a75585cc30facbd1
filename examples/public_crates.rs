//! Checks run allocators from public crates against the contract, with a few lines for each.
//!
//! Each has its own placement, so blocks are not compared with the kernel's. The results are in
//! `docs/public-crates.md`.
//!
//! `cargo run --release --example public_crates [OPERATIONS]`

use std::collections::HashMap;

use gpu_buddy::diff::adapter::{RunAllocator, check};
use gpu_buddy::diff::torture::Options;

/// Best fit over a sorted list.
pub(crate) struct RangeAlloc(range_alloc::RangeAllocator<u64>);

impl RunAllocator for RangeAlloc {
    const ALIGNS: bool = true;
    const TAKES_PARTS: bool = true;

    fn new(units: u64) -> Option<Self> {
        Some(Self(range_alloc::RangeAllocator::new(0..units)))
    }

    fn get(&mut self, units: u64) -> Option<u64> {
        Some(self.0.allocate_range(units).ok()?.start)
    }

    fn get_aligned(&mut self, units: u64, align: u64) -> Option<u64> {
        Some(self.0.allocate_range_aligned(units, align).ok()?.start)
    }

    fn put(&mut self, start: u64, units: u64) {
        self.0.free_range(start..start + units);
    }

    fn free_units(&self) -> Option<u64> {
        Some(self.0.total_available())
    }
}

/// A buddy allocator over sets of frame numbers.
pub(crate) struct BuddySystem(buddy_system_allocator::FrameAllocator<54>);

impl RunAllocator for BuddySystem {
    const IS_BUDDY: bool = true;

    fn new(units: u64) -> Option<Self> {
        let mut frames = buddy_system_allocator::FrameAllocator::new();
        frames.add_frame(0, units as usize);
        Some(Self(frames))
    }

    fn get(&mut self, units: u64) -> Option<u64> {
        Some(self.0.alloc(units as usize)? as u64)
    }

    fn put(&mut self, start: u64, units: u64) {
        self.0.dealloc(start as usize, units as usize);
    }
}

/// Good fit over bins whose sizes are small floating-point numbers.
pub(crate) struct Offset {
    allocator: offset_allocator::Allocator,
    /// It frees the allocation that it returned, not an offset.
    given: HashMap<u64, offset_allocator::Allocation>,
}

impl RunAllocator for Offset {
    fn new(units: u64) -> Option<Self> {
        // It needs a node for each run, and one unused.
        let size = u32::try_from(units).ok().filter(|&size| size <= 1 << 16)?;
        let allocator = offset_allocator::Allocator::with_max_allocs(size, size + 2);
        Some(Self { allocator, given: HashMap::new() })
    }

    fn get(&mut self, units: u64) -> Option<u64> {
        let allocation = self.allocator.allocate(units as u32)?;
        self.given.insert(allocation.offset.into(), allocation);
        Some(allocation.offset.into())
    }

    fn put(&mut self, start: u64, _units: u64) {
        self.allocator.free(self.given.remove(&start).expect("it was given"));
    }

    /// The smallest size in the bin: the four leading bits.
    fn size_class(units: u64) -> u64 {
        let rest = units.checked_ilog2().map_or(0, |highest| highest.saturating_sub(3));
        units >> rest << rest
    }

    fn free_units(&self) -> Option<u64> {
        Some(self.allocator.storage_report().total_free_space.into())
    }
}

pub(crate) fn main() {
    let operations = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let options = Options { operations: operations.unwrap_or(100_000), ..Options::default() };
    // Each panics with a short trace if it breaks the contract.
    println!("range-alloc keeps the contract: {}", check::<RangeAlloc>(&options));
    println!("buddy_system_allocator keeps the contract: {}", check::<BuddySystem>(&options));
    println!("offset-allocator keeps the contract: {}", check::<Offset>(&options));
}
