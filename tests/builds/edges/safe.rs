//! Calls every function of the C that the safe API uses, and checks what comes back.

use gpu_buddy::{
    Alignment, GpuBuddy, GpuBuddyAllocFlag, GpuBuddyAllocFlags, GpuBuddyAllocMode, GpuBuddyParams,
    sizes::*,
};

pub fn check() {
    let chunk_size = Alignment::new::<SZ_4K>();
    let size = (SZ_16M + SZ_4K) as u64;
    let buddy = GpuBuddy::new(GpuBuddyParams { base_offset: 0, size, chunk_size }).expect("new");
    let alloc = |size: usize, flags: GpuBuddyAllocFlags| {
        let mode = GpuBuddyAllocMode::Simple;
        buddy.alloc_blocks(mode, size as u64, chunk_size, flags).expect("room")
    };
    let mut some: Vec<_> =
        (1..40).map(|chunks| alloc(chunks * SZ_4K, GpuBuddyAllocFlags::empty())).collect();
    some.push(alloc(3 * SZ_64K, GpuBuddyAllocFlag::Contiguous.into()));
    let mut one = alloc(SZ_1M, GpuBuddyAllocFlag::Clear.into());
    one.trim(None, SZ_4K as u64 * 5).expect("inside");
    let first = one.iter().next().expect("a block").info();
    assert_eq!(buddy.block_at(first.offset), Ok(Some(first)));
    some.extend(one.take(0));
    one.free_cleared();
    while let Some(blocks) = some.pop() {
        some.truncate(some.len() / 8 * 8);
        blocks.free_as_allocated();
    }
    assert_eq!(buddy.avail(), size);
    buddy.reset_clear(true).expect("usable");
    assert_eq!(buddy.clear_avail(), size);
    assert!(buddy.to_string().contains("chunk_size: 4KiB"), "{buddy}");
    assert_eq!(buddy.check_integrity(), Ok(vec![]));
    let fini = buddy.fini().expect("the last handle");
    assert_eq!((fini.warnings, fini.bug, fini.leaked_objects), (vec![], None, 0));
}
