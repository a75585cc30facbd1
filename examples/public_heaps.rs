//! Allocators of memory from public crates, held against the contract: a few lines for each.
//!
//! They have real memory to work in, since they keep what they need in what is free.
//! What was found is in `docs/public-crates.md`.
//!
//! `cargo run --release --example public_heaps [OPERATIONS]`

use std::alloc::Layout;
use std::ptr::NonNull;

use gpu_buddy::diff::adapter::{Heap, HeapAllocator, check};
use gpu_buddy::diff::torture::Options;

/// First fit over a list of holes that is kept in the free memory.
pub(crate) struct LinkedList(linked_list_allocator::Heap);

// SAFETY: the crate allocates within its heap what is not allocated.
unsafe impl HeapAllocator for LinkedList {
    const ALIGNS: bool = true;

    unsafe fn new(start: NonNull<u8>, size: usize) -> Option<Self> {
        // SAFETY: the region is the heap's alone.
        Some(Self(unsafe { linked_list_allocator::Heap::new(start.as_ptr(), size) }))
    }

    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.0.allocate_first_fit(layout).ok()
    }

    unsafe fn deallocate(&mut self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: allocated here with this layout.
        unsafe { self.0.deallocate(memory, layout) }
    }
}

/// Two-level segregated fit.
pub(crate) struct Tlsf(rlsf::Tlsf<'static, u32, u32, 32, 32>);

// SAFETY: the crate allocates within its pool what is not allocated.
unsafe impl HeapAllocator for Tlsf {
    const HEADER: usize = 16;
    // Its pool ends with a block of 32 bytes that stays used.
    const MARGIN: usize = 64;

    unsafe fn new(start: NonNull<u8>, size: usize) -> Option<Self> {
        let mut tlsf = rlsf::Tlsf::new();
        // SAFETY: past the first margin, and within the last.
        let pool = unsafe { start.add(Self::MARGIN) };
        let pool = NonNull::slice_from_raw_parts(pool, size - 2 * Self::MARGIN + 32);
        // SAFETY: the region is the allocator's alone.
        unsafe { tlsf.insert_free_block_ptr(pool) }?;
        Some(Self(tlsf))
    }

    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.0.allocate(layout)
    }

    unsafe fn deallocate(&mut self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: allocated here with this alignment.
        unsafe { self.0.deallocate(memory, layout.align()) }
    }

    /// The least size of the list: the six leading bits.
    fn size_class(units: u64) -> u64 {
        let rest = units.checked_ilog2().map_or(0, |highest| highest.saturating_sub(5));
        units >> rest << rest
    }
}

type TalcInner = talc::base::Talc<talc::source::Manual, talc::DefaultBinning>;

/// Good fit over bins, with a tag behind each piece of memory.
pub(crate) struct Talc(TalcInner);

// SAFETY: the crate allocates within its heaps what is not allocated.
unsafe impl HeapAllocator for Talc {
    const ALIGNS: bool = true;
    const TRAILER: usize = 8;
    // A heap of its own for the lists, and then the end of that before the memory.
    const MARGIN: usize = 8192;

    unsafe fn new(start: NonNull<u8>, size: usize) -> Option<Self> {
        let mut talc = TalcInner::new(talc::source::Manual);
        let start = start.as_ptr();
        let lists = talc::min_first_heap_size::<talc::DefaultBinning>();
        assert!(lists < Self::MARGIN - 64, "the lists take {lists} bytes");
        // SAFETY: the region is the allocator's alone, and the two heaps are apart.
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
        // SAFETY: allocated here with this layout.
        unsafe { self.0.deallocate(memory.as_ptr(), layout) }
    }
}

pub(crate) fn main() {
    let operations = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let options = Options { operations: operations.unwrap_or(100_000), ..Options::default() };
    // Each panics with a short trace if it breaks the contract.
    println!("linked_list_allocator keeps the contract: {}", check::<Heap<LinkedList>>(&options));
    println!("rlsf keeps the contract: {}", check::<Heap<Tlsf>>(&options));
    println!("talc keeps the contract: {}", check::<Heap<Talc>>(&options));
}
