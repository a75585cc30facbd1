//! An allocation and a free take no memory on the Rust side.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use common::{CHUNK, MIB, exact, simple, space};
use gpu_buddy::{Error, GpuBuddyAllocFlag, GpuBuddyAllocFlags};
use rstest::rstest;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Counts what each thread allocates.
struct Counting;

// SAFETY: it hands each call on as it is; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller says.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(f: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    f();
    COUNT.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(Box::new(1_u64)))), 1);
    assert_eq!(allocations(|| drop(black_box(vec![1_u64; 100]))), 1);
}

#[rstest]
#[case::one_block(MIB, GpuBuddyAllocFlags::empty())]
#[case::many_blocks(MIB - CHUNK, GpuBuddyAllocFlags::empty())]
#[case::contiguous_and_trimmed(MIB - CHUNK, GpuBuddyAllocFlag::Contiguous.into())]
#[case::clear(MIB, GpuBuddyAllocFlag::Clear.into())]
fn an_allocation_and_a_free(#[case] size: u64, #[case] flags: GpuBuddyAllocFlags) {
    let buddy = space(16 * MIB);
    let once = || {
        let blocks = simple(&buddy, size, flags).expect("room");
        assert!(blocks.iter().map(|block| block.size()).sum::<u64>() == size);
    };
    // The arena gets its slabs, and the thread its thread-local values.
    once();
    assert_eq!(allocations(|| (0..100).for_each(|_| once())), 0);
}

#[test]
fn each_way_to_free() {
    let buddy = space(16 * MIB);
    let once = || {
        simple(&buddy, MIB, GpuBuddyAllocFlag::Clear).expect("room").free_cleared();
        simple(&buddy, MIB, GpuBuddyAllocFlag::Clear).expect("room").free_as_allocated();
        let mut blocks = simple(&buddy, MIB - CHUNK, GpuBuddyAllocFlags::empty()).expect("room");
        drop(blocks.take(1).expect("a second block"));
        let mut block = simple(&buddy, MIB, GpuBuddyAllocFlags::empty()).expect("room");
        block.trim(None, MIB / 2).expect("half of it stays");
    };
    once();
    assert_eq!(allocations(|| (0..100).for_each(|_| once())), 0);
}

#[test]
fn an_allocation_that_finds_no_room() {
    let buddy = space(MIB);
    let _all = exact(&buddy, 0, MIB).expect("all of it");
    let once = || {
        let result = simple(&buddy, CHUNK, GpuBuddyAllocFlags::empty());
        assert!(matches!(result, Err(Error::NoSpace { .. })));
    };
    once();
    assert_eq!(allocations(|| (0..100).for_each(|_| once())), 0);
}
