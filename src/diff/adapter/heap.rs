//! Allocators of real memory.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use rustc_hash::FxHashMap;

use super::RunAllocator;

/// An allocator that gives pointers into a region of memory, as a `GlobalAlloc` does.
/// [`Heap`] makes a [`RunAllocator`] of it.
///
/// # Safety
///
/// [`allocate`](Self::allocate) returns memory of that layout, in the region, that nobody
/// else uses until it is given back. A test is there to find out whether it does: that the
/// memory is in the region, and that it does not change, is checked. What breaks the promise
/// in another way may crash the test.
pub unsafe trait HeapAllocator: Sized {
    /// Bytes in a unit: a power of two from 64 on. Every run is a multiple of it.
    const UNIT: usize = 64;

    /// Bytes that the allocator keeps in front of each piece of memory.
    const HEADER: usize = 0;

    /// Bytes that it keeps behind each.
    const TRAILER: usize = 0;

    /// Bytes that it keeps at each end of its region; a multiple of the unit.
    const MARGIN: usize = 0;

    /// Whether it aligns to more than 16 bytes. Has to be false with a header, as it is the
    /// memory behind the header that is aligned.
    const ALIGNS: bool = false;

    /// As [`RunAllocator::size_class`]: in units, which include the header and the trailer.
    #[must_use]
    fn size_class(units: u64) -> u64 {
        units
    }

    /// A new allocator in a region of `size` bytes: the margins, and whole units between
    /// them. `None` if it cannot have so many.
    ///
    /// # Safety
    ///
    /// The region is zeroed, aligned to the unit, and the allocator's alone for as long as
    /// that lives.
    unsafe fn new(start: NonNull<u8>, size: usize) -> Option<Self>;

    /// Allocates. The size is a multiple of the unit, less the header and the trailer.
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>>;

    /// Gives back.
    ///
    /// # Safety
    ///
    /// The memory was allocated here with this layout, and not yet given back.
    unsafe fn deallocate(&mut self, memory: NonNull<u8>, layout: Layout);
}

/// Makes a [`RunAllocator`] of a [`HeapAllocator`]. Fills what it is given with a pattern,
/// and panics if that has changed when it is given back.
#[derive(Debug)]
pub struct Heap<A: HeapAllocator> {
    // Dropped before its memory.
    allocator: A,
    region: Region,
    /// What is allocated, by its first unit.
    allocated: FxHashMap<u64, (NonNull<u8>, Layout)>,
}

/// The most memory of one heap, in bytes.
const MOST_MEMORY: usize = 16 << 20;

impl<A: HeapAllocator> Heap<A> {
    /// The alignment of all memory: 16, or what a header leaves of it.
    const LEAST_ALIGNMENT: usize = if A::HEADER == 0 { 16 } else { 1 << Self::header_zeros() };

    const fn header_zeros() -> u32 {
        let zeros = A::HEADER.trailing_zeros();
        if zeros < 4 { zeros } else { 4 }
    }

    fn allocate(&mut self, units: u64, align: usize) -> Option<u64> {
        let size = units as usize * A::UNIT - A::HEADER - A::TRAILER;
        let layout = Layout::from_size_align(size, align).ok()?;
        let memory = self.allocator.allocate(layout)?;
        let first = self.region.start.addr().get() + A::MARGIN + A::HEADER;
        let offset = memory.addr().get().wrapping_sub(first);
        let end = self.region.size - 2 * A::MARGIN - A::HEADER;
        assert!(
            offset < end && size <= end - offset,
            "{layout:?} was allocated outside of the region"
        );
        assert!(
            offset.is_multiple_of(A::UNIT),
            "{layout:?} was allocated at byte {offset}, which is no multiple of {}",
            A::UNIT
        );
        let start = (offset / A::UNIT) as u64;
        assert!(
            !self.allocated.contains_key(&start),
            "{layout:?} was allocated at byte {offset}, where memory is allocated already"
        );
        // SAFETY: in the region, as was just checked, and ours as the trait promises.
        unsafe { memory.write_bytes(pattern(start), size) };
        self.allocated.insert(start, (memory, layout));
        Some(start)
    }
}

/// What a run is filled with.
fn pattern(start: u64) -> u8 {
    (start as u8).wrapping_mul(31) | 1
}

impl<A: HeapAllocator> RunAllocator for Heap<A> {
    const ALIGNS: bool = A::ALIGNS;

    fn new(units: u64) -> Option<Self> {
        const {
            assert!(
                A::UNIT.is_power_of_two() && A::UNIT >= 64 && A::MARGIN.is_multiple_of(A::UNIT)
            );
            assert!(A::HEADER + A::TRAILER < A::UNIT && (A::HEADER == 0 || !A::ALIGNS));
        };
        let size = usize::try_from(units).ok()?.checked_mul(A::UNIT)?;
        let region = Region::new(size, A::MARGIN)?;
        // SAFETY: `region` was just made, and is used by nobody else; it is dropped after
        // the allocator.
        let allocator = unsafe { A::new(region.start, region.size) }?;
        Some(Self { allocator, region, allocated: FxHashMap::default() })
    }

    fn get(&mut self, units: u64) -> Option<u64> {
        self.allocate(units, Self::LEAST_ALIGNMENT)
    }

    fn get_aligned(&mut self, units: u64, align: u64) -> Option<u64> {
        self.allocate(units, align as usize * A::UNIT)
    }

    fn put(&mut self, start: u64, _units: u64) {
        let (memory, layout) = self.allocated.remove(&start).expect("it was allocated");
        // SAFETY: in the region, written to when it was allocated, and still ours.
        let bytes = unsafe { NonNull::slice_from_raw_parts(memory, layout.size()).as_ref() };
        if let Some(changed) = bytes.iter().position(|&byte| byte != pattern(start)) {
            panic!("byte {changed} of {layout:?} was changed while it was allocated");
        }
        // SAFETY: allocated with this layout, and given back once.
        unsafe { self.allocator.deallocate(memory, layout) };
    }

    fn size_class(units: u64) -> u64 {
        A::size_class(units)
    }
}

/// Zeroed memory: what is between two margins is aligned to its own size.
#[derive(Debug)]
struct Region {
    start: NonNull<u8>,
    size: usize,
    /// With what the alignment takes in front of the region.
    all: (NonNull<u8>, Layout),
}

// SAFETY: it owns its memory.
unsafe impl Send for Region {}

impl Region {
    fn new(size: usize, margin: usize) -> Option<Self> {
        let align = size.checked_next_power_of_two().filter(|&align| align <= MOST_MEMORY)?;
        let front = margin.next_multiple_of(align);
        let layout = Layout::from_size_align(front + size + margin, align).ok()?;
        // SAFETY: there is at least one unit.
        let all = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        // SAFETY: the margin is a part of what is in front.
        let start = unsafe { all.add(front - margin) };
        Some(Self { start, size: size + 2 * margin, all: (all, layout) })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let (start, layout) = self.all;
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(start.as_ptr(), layout) };
    }
}
