//! What docs/findings.md says of the binding. Each entry is run: a binding that has been
//! changed may have it no more, which is said and is no failure.

use std::panic::{self, AssertUnwindSafe};

use gpu_buddy::wrapper::Monitor;
use kernel::gpu::buddy::{
    AllocatedBlocks, GpuBuddy, GpuBuddyAllocFlag, GpuBuddyAllocFlags, GpuBuddyAllocMode,
    GpuBuddyParams,
};
use kernel::prelude::*;
use kernel::ptr::Alignment;

const CHUNK: u64 = 4096;
const SIZE: u64 = 1 << 20;

/// Whether the binding still does it.
type Finding = (&'static str, fn(&Monitor) -> Result<bool>);

/// By the names that docs/findings.md has for them.
const FINDINGS: &[Finding] = &[
    ("binding-size-is-as-asked", |_| {
        let buddy = buddy(0, SIZE + 100)?;
        Ok(buddy.size() != buddy.avail())
    }),
    ("binding-range-is-without-base", |_| {
        let buddy = buddy(SIZE, SIZE)?;
        let blocks = alloc(&buddy, GpuBuddyAllocMode::Range(0..CHUNK))?;
        let at = blocks.iter().next().map(|block| block.offset());
        let address = SIZE + CHUNK..SIZE + 2 * CHUNK;
        let refused = alloc(&buddy, GpuBuddyAllocMode::Range(address)).is_err();
        Ok(at == Some(SIZE) && refused)
    }),
    ("binding-base-overflows", |_| {
        let Ok(buddy) = buddy(u64::MAX - CHUNK, SIZE) else { return Ok(false) };
        let blocks = alloc(&buddy, GpuBuddyAllocMode::Simple)?;
        // It panics, or wraps round.
        let hook = panic::take_hook();
        panic::set_hook(Box::new(|_| {}));
        let offset = AssertUnwindSafe(|| blocks.iter().next().map(|block| block.offset()));
        let offset = panic::catch_unwind(offset);
        panic::set_hook(hook);
        Ok(offset.is_err() || matches!(offset, Ok(Some(offset)) if offset < u64::MAX - CHUNK))
    }),
    ("binding-refuses-empty-range", |_| {
        let buddy = buddy(0, SIZE)?;
        Ok(alloc(&buddy, GpuBuddyAllocMode::Range(0..0)).err() == Some(EINVAL))
    }),
    ("binding-knows-no-clear-memory", |monitor| {
        let buddy = buddy(0, SIZE)?;
        let (mode, flags) = (GpuBuddyAllocMode::Simple, GpuBuddyAllocFlag::Clear);
        drop(KBox::pin_init(buddy.alloc_blocks(mode, CHUNK, alignment(), flags), GFP_KERNEL)?);
        Ok(monitor.snapshot().is_some_and(|snapshot| snapshot.clear_avail == 0))
    }),
];

fn alignment() -> Alignment {
    Alignment::new::<{ CHUNK as usize }>()
}

fn buddy(base_offset: u64, size: u64) -> Result<GpuBuddy> {
    GpuBuddy::new(GpuBuddyParams { base_offset, size, chunk_size: alignment() })
}

fn alloc(buddy: &GpuBuddy, mode: GpuBuddyAllocMode) -> Result<Pin<KBox<AllocatedBlocks>>> {
    let blocks = buddy.alloc_blocks(mode, CHUNK, alignment(), GpuBuddyAllocFlags::default());
    KBox::pin_init(blocks, GFP_KERNEL)
}

/// Says which of them there are.
pub fn say() -> String {
    let is_there = |&&(_, shows): &&Finding| {
        let monitor = Monitor::new();
        monitor.run(|| shows(&monitor)) == Ok(true)
    };
    let (there, gone): (Vec<_>, Vec<_>) = FINDINGS.iter().partition(is_there);
    let names = |findings: Vec<&Finding>| {
        findings.iter().map(|finding| finding.0).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!("known, see docs/findings.md: {}", names(there));
    if !gone.is_empty() {
        text += &format!("; no more: {}", names(gone));
    }
    text
}
