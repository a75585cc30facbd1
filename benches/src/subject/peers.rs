//! Allocators of other crates. Each returns one run. They count in chunks, except `VirtualBlock`.

use std::ops::Range;

use gpu_buddy::diff::Space;

use super::{Kind, Subject, Want};

/// `offset-allocator`. It has no alignment: a larger one is asked for as a larger size, as its users
/// do.
pub struct Offset {
    allocator: offset_allocator::Allocator<u32>,
    slots: Vec<Option<offset_allocator::Allocation<u32>>>,
    chunk_size: u64,
}

impl Subject for Offset {
    fn create(_: Kind, space: Space, slots: usize) -> Option<Self> {
        let chunks = u32::try_from(space.size / space.chunk_size).ok()?;
        // It needs a node for each run, and for each hole between two.
        let nodes = u32::try_from(2 * slots + 16).ok()?;
        let allocator = offset_allocator::Allocator::with_max_allocs(chunks, nodes);
        let slots = (0..slots).map(|_| None).collect();
        Some(Self { allocator, slots, chunk_size: space.chunk_size })
    }

    fn alloc(&mut self, want: Want) -> bool {
        let size = want.size + want.align.saturating_sub(self.chunk_size);
        let Ok(chunks) = u32::try_from(size / self.chunk_size) else { return false };
        let slot = &mut self.slots[want.slot as usize];
        *slot = self.allocator.allocate(chunks);
        slot.is_some()
    }

    fn free(&mut self, slot: usize) {
        if let Some(allocation) = self.slots[slot].take() {
            self.allocator.free(allocation);
        }
    }
}

/// `buddy_system_allocator`. It rounds sizes up to powers of two.
pub struct BuddySystem {
    allocator: buddy_system_allocator::FrameAllocator<54>,
    /// The first chunk and the number of chunks; 0 for none.
    slots: Vec<(usize, usize)>,
    chunk_size: u64,
}

impl Subject for BuddySystem {
    fn create(_: Kind, space: Space, slots: usize) -> Option<Self> {
        let mut allocator = buddy_system_allocator::FrameAllocator::new();
        allocator.add_frame(0, (space.size / space.chunk_size) as usize);
        Some(Self { allocator, slots: vec![(0, 0); slots], chunk_size: space.chunk_size })
    }

    fn alloc(&mut self, want: Want) -> bool {
        // A run is aligned to its size.
        let chunks = (want.size.max(want.align) / self.chunk_size) as usize;
        let Some(start) = self.allocator.alloc(chunks) else { return false };
        self.slots[want.slot as usize] = (start, chunks);
        true
    }

    fn free(&mut self, slot: usize) {
        let (start, chunks) = std::mem::take(&mut self.slots[slot]);
        if chunks > 0 {
            self.allocator.dealloc(start, chunks);
        }
    }
}

/// `range-alloc`: best fit over a sorted list.
pub struct Ranges {
    allocator: range_alloc::RangeAllocator<u64>,
    /// Empty for none.
    slots: Vec<Range<u64>>,
    chunk_size: u64,
}

impl Subject for Ranges {
    fn create(_: Kind, space: Space, slots: usize) -> Option<Self> {
        let allocator = range_alloc::RangeAllocator::new(0..space.size / space.chunk_size);
        Some(Self { allocator, slots: vec![0..0; slots], chunk_size: space.chunk_size })
    }

    fn alloc(&mut self, want: Want) -> bool {
        let (chunks, align) = (want.size / self.chunk_size, want.align / self.chunk_size);
        let range = match align {
            0 | 1 => self.allocator.allocate_range(chunks),
            _ => self.allocator.allocate_range_aligned(chunks, align),
        };
        let Ok(range) = range else { return false };
        self.slots[want.slot as usize] = range;
        true
    }

    fn free(&mut self, slot: usize) {
        let range = std::mem::take(&mut self.slots[slot]);
        if !range.is_empty() {
            self.allocator.free_range(range);
        }
    }
}

/// VMA's `VirtualBlock`, which is a TLSF allocator, in bytes.
#[cfg(feature = "vma")]
pub struct Virtual {
    block: vk_mem::VirtualBlock,
    slots: Vec<Option<vk_mem::VirtualAllocation>>,
}

#[cfg(feature = "vma")]
impl Subject for Virtual {
    fn create(_: Kind, space: Space, slots: usize) -> Option<Self> {
        let block = vk_mem::VirtualBlock::new(vk_mem::VirtualBlockCreateInfo {
            size: space.size,
            flags: vk_mem::VirtualBlockCreateFlags::empty(),
            allocation_callbacks: None,
        });
        Some(Self { block: block.ok()?, slots: (0..slots).map(|_| None).collect() })
    }

    fn alloc(&mut self, want: Want) -> bool {
        let info = vk_mem::VirtualAllocationCreateInfo {
            size: want.size,
            alignment: want.align,
            user_data: 0,
            flags: vk_mem::VirtualAllocationCreateFlags::empty(),
        };
        // SAFETY: the size is not 0, and the alignment is a power of two.
        let allocation = unsafe { self.block.allocate(info) };
        let slot = &mut self.slots[want.slot as usize];
        *slot = allocation.ok().map(|(allocation, _)| allocation);
        slot.is_some()
    }

    fn free(&mut self, slot: usize) {
        if let Some(mut allocation) = self.slots[slot].take() {
            // SAFETY: the allocation is of this block, and is freed once.
            unsafe { self.block.free(&mut allocation) };
        }
    }
}

#[cfg(feature = "vma")]
impl Drop for Virtual {
    fn drop(&mut self) {
        // SAFETY: no allocation is used again.
        unsafe { self.block.clear() };
    }
}
