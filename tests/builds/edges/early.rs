//! Uses the allocator before main(), and in main() again.

mod safe;

use std::sync::Mutex;

use gpu_buddy::{
    Alignment, AllocatedBlocks, GpuBuddy, GpuBuddyAllocFlags, GpuBuddyAllocMode, GpuBuddyParams,
    sizes::*,
};

static EARLY: Mutex<Option<AllocatedBlocks>> = Mutex::new(None);

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

extern "C" fn constructor() {
    let chunk_size = Alignment::new::<SZ_4K>();
    let params = GpuBuddyParams { base_offset: 0, size: SZ_1M as u64, chunk_size };
    let buddy = GpuBuddy::new(params).expect("a space");
    let flags = GpuBuddyAllocFlags::default();
    let blocks = buddy.alloc_blocks(GpuBuddyAllocMode::Simple, SZ_64K as u64, chunk_size, flags);
    *EARLY.lock().expect("no panic") = Some(blocks.expect("room"));
    safe::check();
    println!("before main");
}

fn main() {
    let blocks = EARLY.lock().expect("no panic").take().expect("made before main");
    let buddy = blocks.buddy().clone();
    assert_eq!(buddy.avail(), (SZ_1M - SZ_64K) as u64);
    drop(blocks);
    assert_eq!(buddy.avail(), SZ_1M as u64);
    assert_eq!(buddy.fini().expect("the last handle").warnings, []);
    println!("done");
}
