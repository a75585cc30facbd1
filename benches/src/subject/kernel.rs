//! The kernel's C, in three ways, and the reference model.

use gpu_buddy::diff::{Implementation, Space};
use gpu_buddy::{
    Alignment, AllocRequest, AllocatedBlocks, GpuBuddy, GpuBuddyAllocFlag, GpuBuddyAllocFlags,
    GpuBuddyAllocMode, GpuBuddyParams, ffi,
};

use super::{Kind, Subject, Want};

/// The C as a driver in C calls it.
pub struct RawC {
    mm: Box<ffi::gpu_buddy>,
    /// A list for each slot. They point to themselves, so they stay in place.
    lists: Box<[ffi::list_head]>,
    size: u64,
    top_down: bool,
}

impl Subject for RawC {
    fn create(kind: Kind, space: Space, slots: usize) -> Option<Self> {
        let mut mm = Box::<ffi::gpu_buddy>::default();
        // SAFETY: `mm` is there to be initialised, and stays in its box until it is torn down.
        if unsafe { ffi::gpu_buddy_init(&raw mut *mm, space.size, space.chunk_size) } != 0 {
            return None;
        }
        let null = std::ptr::null_mut();
        let mut lists: Box<[_]> =
            (0..slots).map(|_| ffi::list_head { next: null, prev: null }).collect();
        for list in &mut lists {
            (list.next, list.prev) = (&raw mut *list, &raw mut *list);
        }
        let top_down = kind == Kind::RawCTopDown;
        Some(Self { mm, lists, size: space.size, top_down })
    }

    fn alloc(&mut self, want: Want) -> bool {
        let mut flags = 0;
        if self.top_down {
            flags |= ffi::GPU_BUDDY_TOPDOWN_ALLOCATION;
        }
        if want.contiguous {
            flags |= GpuBuddyAllocFlags::from(GpuBuddyAllocFlag::Contiguous).bits();
        }
        let list = &raw mut self.lists[want.slot as usize];
        let mm = &raw mut *self.mm;
        // SAFETY: `mm` is initialised and used by this thread alone, and the list is empty. Sizes and
        // alignments are multiples of the chunk size, and within the space.
        let result = unsafe {
            ffi::gpu_buddy_alloc_blocks(mm, 0, self.size, want.size, want.align, list, flags)
        };
        result == 0
    }

    fn free(&mut self, slot: usize) {
        let list = &raw mut self.lists[slot];
        // SAFETY: the list is initialised, and has allocated blocks of `mm` or none.
        unsafe {
            if (*list).next != list {
                ffi::gpu_buddy_free_list(&raw mut *self.mm, list, 0);
            }
        }
    }
}

impl Drop for RawC {
    fn drop(&mut self) {
        (0..self.lists.len()).for_each(|slot| self.free(slot));
        // SAFETY: `mm` is initialised, everything is free, and it is not used again.
        unsafe { ffi::gpu_buddy_fini(&raw mut *self.mm) };
    }
}

/// The safe API.
pub struct Safe {
    // Before the handle, so that the last of them tears the allocator down.
    slots: Vec<Option<AllocatedBlocks>>,
    buddy: GpuBuddy,
    mode: GpuBuddyAllocMode,
}

impl Subject for Safe {
    fn create(kind: Kind, space: Space, slots: usize) -> Option<Self> {
        let chunk_size = Alignment::new_checked(usize::try_from(space.chunk_size).ok()?)?;
        let params = GpuBuddyParams { base_offset: space.base, size: space.size, chunk_size };
        let mode = match kind {
            Kind::SafeTopDown => GpuBuddyAllocMode::TopDown,
            _ => GpuBuddyAllocMode::Simple,
        };
        let buddy = GpuBuddy::new(params).ok()?;
        Some(Self { slots: (0..slots).map(|_| None).collect(), buddy, mode })
    }

    fn alloc(&mut self, want: Want) -> bool {
        let flags = match want.contiguous {
            true => GpuBuddyAllocFlag::Contiguous.into(),
            false => GpuBuddyAllocFlags::empty(),
        };
        let Some(align) = Alignment::new_checked(want.align as usize) else { return false };
        let blocks = self.buddy.alloc_blocks(self.mode.clone(), want.size, align, flags).ok();
        let slot = &mut self.slots[want.slot as usize];
        *slot = blocks;
        slot.is_some()
    }

    fn free(&mut self, slot: usize) {
        self.slots[slot] = None;
    }
}

/// The reference model, or the C in the laboratory.
pub struct Model<I: Implementation> {
    model: I,
    slots: Vec<Option<I::Allocation>>,
    steps: Option<u64>,
}

impl<I: Implementation> Model<I> {
    fn count(&mut self) {
        if let Some(steps) = &mut self.steps {
            *steps += self.model.report().cost.unwrap_or(0);
        }
    }
}

impl<I: Implementation> Subject for Model<I> {
    fn create(kind: Kind, space: Space, slots: usize) -> Option<Self> {
        let model = I::create(space).ok()?;
        let steps = (kind == Kind::Counted).then_some(0);
        Some(Self { model, slots: (0..slots).map(|_| None).collect(), steps })
    }

    fn alloc(&mut self, want: Want) -> bool {
        let flags = match want.contiguous {
            true => GpuBuddyAllocFlag::Contiguous.into(),
            false => GpuBuddyAllocFlags::empty(),
        };
        let Want { size, align: min_block_size, .. } = want;
        let request = AllocRequest { size, min_block_size, flags, ..AllocRequest::default() };
        let allocation = self.model.alloc(&request).ok();
        self.count();
        let slot = &mut self.slots[want.slot as usize];
        *slot = allocation;
        slot.is_some()
    }

    fn free(&mut self, slot: usize) {
        if let Some(allocation) = self.slots[slot].take() {
            self.model.free(allocation, false);
            self.count();
        }
    }

    fn steps(&self) -> Option<u64> {
        self.steps
    }
}
