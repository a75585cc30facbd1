//! Allocators of real memory.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use rustc_hash::FxHashMap;

use super::RunAllocator;

/// An allocator that returns pointers into a region of memory, as a `GlobalAlloc` does. [`Heap`]
/// makes it a [`RunAllocator`].
///
/// # Safety
///
/// [`allocate`](Self::allocate) returns memory of the given layout, inside the region, that nobody
/// else uses until it is freed. A test checks some of this: that memory is in the region, and that
/// it does not change while it is allocated. Other violations may crash the test.
pub unsafe trait HeapAllocator: Sized + 'static {
    /// The size of a unit in bytes: a power of two, at least 64. Every run is a multiple of it.
    const UNIT: usize = 64;

    /// Bytes that the allocator keeps before each piece of memory.
    const HEADER: usize = 0;

    /// Bytes that it keeps after each piece.
    const TRAILER: usize = 0;

    /// Bytes that it keeps at each end of its region: a multiple of the unit.
    const MARGIN: usize = 0;

    /// Whether it can align to more than 16 bytes. Must be false with a header, because the memory
    /// after the header is what is aligned.
    const ALIGNS: bool = false;

    /// As [`RunAllocator::size_class`]. In units, which include the header and the trailer.
    #[must_use]
    fn size_class(units: u64) -> u64 {
        units
    }

    /// Creates an allocator in a region of `size` bytes: the margins, and whole units between them.
    /// `None` if that size is not supported.
    ///
    /// # Safety
    ///
    /// The region is zeroed, aligned to the unit, and used only by this allocator as long as that
    /// exists.
    unsafe fn new(start: NonNull<u8>, size: usize) -> Option<Self>;

    /// Allocates. The size is a multiple of the unit minus the header and the trailer.
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>>;

    /// Frees.
    ///
    /// # Safety
    ///
    /// The memory was allocated here with this layout, and not freed since.
    unsafe fn deallocate(&mut self, memory: NonNull<u8>, layout: Layout);
}

/// Makes a [`HeapAllocator`] a [`RunAllocator`]. Fills all memory with a pattern, and panics if
/// that has changed when the memory is freed.
#[derive(Debug)]
pub struct Heap<A: HeapAllocator> {
    // Dropped before its memory.
    allocator: A,
    region: Region,
    /// The allocations, by first unit.
    allocated: FxHashMap<u64, (NonNull<u8>, Layout)>,
}

/// The most memory of one heap, in bytes.
const MOST_MEMORY: usize = 16 << 20;

impl<A: HeapAllocator> Heap<A> {
    /// The alignment of all memory in bytes: 16, or less if a header does not keep that.
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
            "{layout:?} was allocated outside the region"
        );
        assert!(
            offset.is_multiple_of(A::UNIT),
            "{layout:?} was allocated at byte {offset}, which is not a multiple of {}",
            A::UNIT
        );
        let start = (offset / A::UNIT) as u64;
        assert!(
            !self.allocated.contains_key(&start),
            "{layout:?} was allocated at byte {offset}, where memory is allocated already"
        );
        // SAFETY: it is inside the region, as was just checked, and ours as the trait promises.
        unsafe { memory.write_bytes(pattern(start), size) };
        self.allocated.insert(start, (memory, layout));
        Some(start)
    }
}

/// The pattern of a run.
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
        // SAFETY: `region` is zeroed and aligned, used by nobody else, and dropped after the
        // allocator.
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
        // SAFETY: it is inside the region, was written when it was allocated, and is still ours.
        let bytes = unsafe { NonNull::slice_from_raw_parts(memory, layout.size()).as_ref() };
        if let Some(changed) = bytes.iter().position(|&byte| byte != pattern(start)) {
            panic!("byte {changed} of {layout:?} was changed while it was allocated");
        }
        // SAFETY: it was allocated with this layout, and removed from the map, so it is freed once.
        unsafe { self.allocator.deallocate(memory, layout) };
    }

    fn size_class(units: u64) -> u64 {
        A::size_class(units)
    }
}

/// Zeroed memory. The part between the two margins is aligned to its own size.
#[derive(Debug)]
struct Region {
    start: NonNull<u8>,
    size: usize,
    /// The whole allocation, with the padding for the alignment.
    all: (NonNull<u8>, Layout),
}

impl Region {
    fn new(size: usize, margin: usize) -> Option<Self> {
        let align = size.checked_next_power_of_two().filter(|&align| align <= MOST_MEMORY)?;
        let front = margin.next_multiple_of(align);
        let layout = Layout::from_size_align(front + size + margin, align).ok()?;
        // SAFETY: the layout is not empty, because there is at least one unit.
        let all = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        // SAFETY: `front` is at least the margin, so the result is inside the allocation.
        let start = unsafe { all.add(front - margin) };
        Some(Self { start, size: size + 2 * margin, all: (all, layout) })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let (start, layout) = self.all;
        // SAFETY: it was allocated in `new` with this layout.
        unsafe { dealloc(start.as_ptr(), layout) };
    }
}
