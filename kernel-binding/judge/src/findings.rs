//! What docs/findings/ says of the binding. Each entry is run: a binding that has been
//! changed may have it no more, which is said and is no failure.

// `gpu-buddy binding` makes it from the code on the pages.
#[rustfmt::skip]
mod pages;

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

fn alignment() -> Alignment {
    Alignment::new::<{ CHUNK as usize }>()
}

fn buddy(base_offset: u64, size: u64) -> Result<GpuBuddy> {
    GpuBuddy::new(GpuBuddyParams { base_offset, size, chunk_size: alignment() })
}

fn alloc_size(
    buddy: &GpuBuddy,
    size: u64,
    min_block_size: Alignment,
) -> Result<Pin<KBox<AllocatedBlocks>>> {
    let (mode, flags) = (GpuBuddyAllocMode::Simple, GpuBuddyAllocFlags::default());
    KBox::pin_init(buddy.alloc_blocks(mode, size, min_block_size, flags), GFP_KERNEL)
}

fn alloc(buddy: &GpuBuddy, mode: GpuBuddyAllocMode) -> Result<Pin<KBox<AllocatedBlocks>>> {
    let blocks = buddy.alloc_blocks(mode, CHUNK, alignment(), GpuBuddyAllocFlags::default());
    KBox::pin_init(blocks, GFP_KERNEL)
}

/// Nothing if it panics.
fn without_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    panic::set_hook(hook);
    done.ok()
}

/// Says which of them there are, a line each.
pub fn say() -> String {
    let lines = pages::FINDINGS.iter().map(|(name, shows)| {
        let monitor = Monitor::new();
        let there = monitor.run(|| shows(&monitor)) == Ok(true);
        format!("finding {name}: {}", if there { "there" } else { "gone" })
    });
    lines.collect::<Vec<_>>().join("\n")
}
