//! Checks allocators from public crates against the contract, with a few lines for each.
//!
//! Each has its own placement, so blocks are not compared with the kernel's. The results are in
//! `docs/public-crates.md`.
//!
//! `cargo run --release --example public_crates [OPERATIONS]`

use std::alloc::Layout;
use std::collections::HashMap;
use std::ptr::NonNull;

use gpu_buddy::diff::adapter::{Heap, HeapAllocator, RunAllocator, Runs};
use gpu_buddy::diff::{Comparison, Settings, torture};

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
        leading_bits(units, 4)
    }

    fn free_units(&self) -> Option<u64> {
        Some(self.allocator.storage_report().total_free_space.into())
    }
}

/// First fit over a list of holes that is kept in the free memory.
pub(crate) struct LinkedList(linked_list_allocator::Heap);

// SAFETY: the crate returns free memory inside its heap.
unsafe impl HeapAllocator for LinkedList {
    const ALIGNS: bool = true;

    unsafe fn new(start: NonNull<u8>, size: usize) -> Option<Self> {
        // SAFETY: the caller gives the region to this heap alone.
        Some(Self(unsafe { linked_list_allocator::Heap::new(start.as_ptr(), size) }))
    }

    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.0.allocate_first_fit(layout).ok()
    }

    unsafe fn deallocate(&mut self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller allocated it here with this layout.
        unsafe { self.0.deallocate(memory, layout) }
    }
}

/// Two-level segregated fit.
pub(crate) struct Tlsf(rlsf::Tlsf<'static, u32, u32, 32, 32>);

// SAFETY: the crate returns free memory inside its pool.
unsafe impl HeapAllocator for Tlsf {
    const HEADER: usize = 16;
    // Its pool ends with a block of 32 bytes that stays used.
    const MARGIN: usize = 64;

    unsafe fn new(start: NonNull<u8>, size: usize) -> Option<Self> {
        let mut tlsf = rlsf::Tlsf::new();
        // SAFETY: the result is inside the region, after the first margin.
        let pool = unsafe { start.add(Self::MARGIN) };
        let pool = NonNull::slice_from_raw_parts(pool, size - 2 * Self::MARGIN + 32);
        // SAFETY: the pool is inside the region, which the caller gives to this allocator alone.
        unsafe { tlsf.insert_free_block_ptr(pool) }?;
        Some(Self(tlsf))
    }

    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.0.allocate(layout)
    }

    unsafe fn deallocate(&mut self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller allocated it here with this alignment.
        unsafe { self.0.deallocate(memory, layout.align()) }
    }

    /// The smallest size in the list: the six leading bits.
    fn size_class(units: u64) -> u64 {
        leading_bits(units, 6)
    }
}

type TalcInner = talc::base::Talc<talc::source::Manual, talc::DefaultBinning>;

/// Good fit over bins, with a tag after each piece of memory.
pub(crate) struct Talc(TalcInner);

// SAFETY: the crate returns free memory inside its heaps.
unsafe impl HeapAllocator for Talc {
    const ALIGNS: bool = true;
    const TRAILER: usize = 8;
    // A separate heap for the lists, and its end before the memory.
    const MARGIN: usize = 8192;

    unsafe fn new(start: NonNull<u8>, size: usize) -> Option<Self> {
        let mut talc = TalcInner::new(talc::source::Manual);
        let start = start.as_ptr();
        let lists = talc::min_first_heap_size::<talc::DefaultBinning>();
        assert!(lists < Self::MARGIN - 64, "the lists take {lists} bytes");
        // SAFETY: the caller gives the region to this allocator alone; both heaps are inside it and
        // do not overlap.
        unsafe {
            talc.claim(start, lists)?;
            // The tag before the first piece of memory takes 32 bytes.
            let length = size - 2 * Self::MARGIN;
            talc.claim(start.add(Self::MARGIN - 32), 32 + length)?;
        }
        Some(Self(talc))
    }

    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the size is not 0.
        unsafe { self.0.allocate(layout) }
    }

    unsafe fn deallocate(&mut self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller allocated it here with this layout.
        unsafe { self.0.deallocate(memory.as_ptr(), layout) }
    }
}

/// A number, rounded down to its leading `bits` bits.
fn leading_bits(number: u64, bits: u32) -> u64 {
    let cut = number.checked_ilog2().map_or(0, |highest| (highest + 1).saturating_sub(bits));
    number >> cut << cut
}

/// The name of a crate, and how to check it.
pub(crate) type Check = (&'static str, fn(u64) -> (torture::Report, Option<Box<torture::Failure>>));

pub(crate) const CHECKS: [Check; 6] = [
    ("range-alloc", check::<Runs<RangeAlloc>>),
    ("buddy_system_allocator", check::<Runs<BuddySystem>>),
    ("offset-allocator", check::<Runs<Offset>>),
    ("linked_list_allocator", check::<Runs<Heap<LinkedList>>>),
    ("rlsf", check::<Runs<Heap<Tlsf>>>),
    ("talc", check::<Runs<Heap<Talc>>>),
];

fn check<S: gpu_buddy::diff::Implementation>(
    operations: u64,
) -> (torture::Report, Option<Box<torture::Failure>>) {
    let settings = Settings { comparison: Comparison::Contract, ..Settings::default() };
    let options = torture::Options { operations, settings, ..torture::Options::default() };
    torture::run_alone::<S>(&options, |_| true)
}

pub(crate) fn main() {
    let operations = std::env::args().nth(1).and_then(|text| text.parse().ok());
    for (name, check) in CHECKS {
        let (report, failure) = check(operations.unwrap_or(100_000));
        println!("{name}: {report}");
        match failure {
            Some(failure) => println!("{failure}\n"),
            None => println!("it keeps the contract\n"),
        }
    }
}
