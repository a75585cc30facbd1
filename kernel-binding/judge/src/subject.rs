//! The kernel's binding as an allocator under test.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use gpu_buddy::diff::{
    Block, Capabilities, Capability, Implementation, KernelC, Operation, Shareable, Space,
};
use gpu_buddy::{AllocRequest, Errno, GpuBuddyAllocFlag as Flag};
use kernel::gpu::buddy::{
    AllocatedBlocks, GpuBuddy, GpuBuddyAllocFlag, GpuBuddyAllocFlags, GpuBuddyAllocMode,
    GpuBuddyParams,
};
use kernel::prelude::*;
use kernel::ptr::Alignment;

/// The default base. It is not 0, so that a base that is forgotten or added twice shows in each
/// block.
const BASE: u64 = 1 << 40;

/// An allocator of the kernel's binding.
pub struct Binding {
    buddy: Arc<GpuBuddy>,
    base: u64,
    chunk_size: u64,
}

/// The error number of the kernel crate's error.
pub fn errno(error: Error) -> Errno {
    Errno::check(error.to_errno()).err().unwrap_or(Errno::EINVAL)
}

/// The capabilities that the binding's types can express and the kernel has.
fn capabilities() -> Capabilities {
    static OFFERED: OnceLock<Capabilities> = OnceLock::new();
    *OFFERED.get_or_init(|| {
        let can_say = Capability::Clear
            | Capability::Range
            | Capability::TopDown
            | Capability::Contiguous
            | Capability::Alignment
            | Capability::TrimDisable
            | Capability::OffsetAlign
            | Capability::RoundsUp;
        KernelC::create(Space::new(1 << 20, 1 << 12))
            .map_or(can_say, |c| c.capabilities() & can_say)
    })
}

/// The arguments of a request as the binding takes them.
pub fn arguments(request: &AllocRequest) -> (GpuBuddyAllocMode, GpuBuddyAllocFlags) {
    let mode = if request.range {
        GpuBuddyAllocMode::Range(request.start..request.end)
    } else if request.top_down {
        GpuBuddyAllocMode::TopDown
    } else {
        GpuBuddyAllocMode::Simple
    };
    let mut flags = GpuBuddyAllocFlags::default();
    for (ours, theirs) in [
        (Flag::Contiguous, GpuBuddyAllocFlag::Contiguous),
        (Flag::Clear, GpuBuddyAllocFlag::Clear),
        (Flag::TrimDisable, GpuBuddyAllocFlag::TrimDisable),
    ] {
        if request.flags.contains(ours) {
            flags |= theirs;
        }
    }
    (mode, flags)
}

fn alignment(bytes: u64) -> Option<Alignment> {
    Alignment::new_checked(usize::try_from(bytes).ok()?)
}

impl Implementation for Binding {
    type Allocation = Pin<KBox<AllocatedBlocks>>;

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    fn declines(&self, operation: &Operation) -> Option<&'static str> {
        let Operation::Alloc { request, .. } = operation else { return None };
        let power = request.min_block_size.is_power_of_two();
        (!power).then_some("the binding's Alignment is a power of two")
    }

    fn create(space: Space) -> Result<Self, Errno> {
        let Space { size, chunk_size, base } = space;
        let base = if base == 0 && size < 1 << 62 { BASE } else { base };
        let params = GpuBuddyParams {
            base_offset: base,
            size,
            chunk_size: alignment(chunk_size).ok_or(Errno::EINVAL)?,
        };
        let buddy = GpuBuddy::new(params).map_err(errno)?;
        assert_eq!(buddy.base_offset(), base, "base_offset()");
        assert_eq!(buddy.chunk_size().as_usize() as u64, chunk_size, "chunk_size()");
        Ok(Self { buddy: Arc::new(buddy), base, chunk_size })
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<Self::Allocation, Errno> {
        let alignment = alignment(request.min_block_size).ok_or(Errno::EINVAL)?;
        let (mode, flags) = arguments(request);
        let blocks = self.buddy.alloc_blocks(mode, request.size, alignment, flags);
        KBox::pin_init(blocks, GFP_KERNEL).map_err(errno)
    }

    fn blocks(&self, allocation: &Self::Allocation, blocks: &mut Vec<Block>) {
        let before = blocks.len();
        for block in allocation.iter() {
            let (offset, order) = (block.offset().wrapping_sub(self.base), block.order());
            assert_eq!(block.size(), self.chunk_size << order, "size() of order {order}");
            // The binding does not tell whether a block is clear, and cannot free one as cleared.
            blocks.push(Block { offset, order, clear: false });
        }
        assert_eq!(allocation.is_empty(), blocks.len() == before, "is_empty()");
    }

    fn free(&mut self, allocation: Self::Allocation, _cleared: bool) {
        drop(allocation);
    }

    fn avail(&self) -> u64 {
        self.buddy.avail()
    }
}

impl Shareable for Binding {
    fn share(&self) -> Self {
        Self { buddy: Arc::clone(&self.buddy), ..*self }
    }

    fn take_last_call(&mut self) -> Option<u64> {
        // The monitor counts the calls.
        None
    }
}
