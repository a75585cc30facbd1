//! Findings that only callers of the raw layer meet: the safe API never makes such requests.
//! See docs/findings/.

use core::mem::MaybeUninit;
use core::ptr;

use gpu_buddy::fault::Fault;
use gpu_buddy::wrapper::Monitor;
use gpu_buddy::{AllocRequest, Errno, GpuBuddyAllocFlag, ffi};

use crate::common::{self, CHUNK, List, Raw};

/// A list head. `empty` has to be called on it when it is in its place.
fn head() -> ffi::list_head {
    ffi::list_head { next: ptr::null_mut(), prev: ptr::null_mut() }
}

fn empty(head: &mut ffi::list_head) {
    let this = ptr::from_mut(head);
    (head.next, head.prev) = (this, this);
}

fn is_empty(head: &ffi::list_head) -> bool {
    ptr::eq(head.next, head)
}

/// A request of more than 2^32 chunks is made up of blocks of the order of its low 32 bits:
/// here of single chunks, until there is no memory for more.
#[test]
fn a_request_above_2_to_the_32_chunks_is_made_of_single_ones() {
    if !gpu_buddy::KERNEL.has("undo_splits") {
        common::not_tested("a request without an end", "memory that runs out is a BUG here");
        return;
    }
    const SPACE: u64 = 32 << 40;
    // Its monitor has a limit of 2^22 objects.
    let monitor = Monitor::new();
    let mut mm = Box::new(ffi::gpu_buddy::default());
    let mut list = ffi::list_head::boxed();
    let (mm, list, lock) = (&raw mut *mm, &raw mut *list, ());
    let _held = ffi::hold(&lock);
    // SAFETY: the allocator and the list stay in place, are initialised before they are used
    // and belong to this thread.
    unsafe {
        assert_eq!(monitor.run(|| ffi::gpu_buddy_init(mm, SPACE, CHUNK)), 0);
        let objects = monitor.live_objects();
        monitor.set_fault(Some(Fault::none()));
        let alloc = |size| ffi::gpu_buddy_alloc_blocks(mm, 0, SPACE, size, CHUNK, list, 0);
        assert_eq!(alloc((1 << 44) + CHUNK), -Errno::ENOSPC.code());
        let attempts = monitor.set_fault(None).unwrap().attempts();
        assert!(attempts > 4_000_000, "{attempts} objects: take this off the findings");
        assert_eq!((monitor.live_objects(), (*mm).avail), (objects, SPACE));

        assert_eq!(alloc((1 << 44) + (1 << 32)), 0);
        assert!(ffi::blocks(list).all(|block| ffi::block_info(block).order == 20));
        assert_eq!(ffi::blocks(list).count(), 4097);
        ffi::gpu_buddy_free_list(mm, list, 0);
        ffi::gpu_buddy_fini(mm);
    }
    assert_eq!((monitor.take_seen().misuses, monitor.finish()), (vec![], vec![]));
}

/// A contiguous request that fails frees what the caller's list held before: the
/// list is documented as one to add to, and the KUnit suite collects several
/// allocations in one.
#[test]
fn a_failing_contiguous_request_frees_the_callers_list() {
    // SAFETY: the allocator and the lists stay in place, are initialised before
    // they are used and belong to this thread; what is freed is not used again.
    unsafe {
        let mut mm = MaybeUninit::<ffi::gpu_buddy>::zeroed();
        let mm = mm.as_mut_ptr();
        let size = 4 * CHUNK;
        assert_eq!(ffi::gpu_buddy_init(mm, size, CHUNK), 0);
        let alloc = |start, end, size, list: &mut ffi::list_head, flags| {
            ffi::gpu_buddy_alloc_blocks(mm, start, end, size, CHUNK, list, flags)
        };
        let (mut list, mut other) = (head(), head());
        empty(&mut list);
        empty(&mut other);

        assert_eq!(alloc(0, CHUNK, CHUNK, &mut list, 0), 0);
        assert_eq!(alloc(CHUNK, 2 * CHUNK, CHUNK, &mut other, 0), 0);
        assert_eq!((*mm).avail, 2 * CHUNK);

        // Two contiguous chunks are free, so three cannot be allocated.
        let flags = ffi::GPU_BUDDY_CONTIGUOUS_ALLOCATION;
        assert_ne!(alloc(0, size, 3 * CHUNK, &mut list, flags), 0);

        // It failed, and the first chunk, which was on the list, is free.
        assert!(
            is_empty(&list),
            "the C keeps what the caller's list held: take this off the findings"
        );
        assert_eq!((*mm).avail, 3 * CHUNK);

        ffi::gpu_buddy_free_list(mm, &mut other, 0);
        ffi::gpu_buddy_fini(mm);
    }
}

/// `clear-mark-outlives-write`: no trace frees a block by itself without a word on its state.
#[test]
fn a_block_that_is_freed_by_itself_keeps_its_mark() {
    let mut raw = Raw::new(2 * CHUNK, CHUNK).expect("an allocator");
    let mut list = raw.simple(2 * CHUNK);
    // SAFETY: the list is one of allocated blocks of this allocator, and is empty then.
    unsafe { ffi::gpu_buddy_free_list(raw.mm(), list.head(), ffi::GPU_BUDDY_CLEARED as u32) }
    let request = AllocRequest {
        end: 2 * CHUNK,
        size: CHUNK,
        min_block_size: CHUNK,
        flags: GpuBuddyAllocFlag::Clear.into(),
        ..AllocRequest::default()
    };
    let mut list = List::new();
    assert_eq!(raw.alloc(&request, &mut list), 0);
    let [block] = list.blocks()[..] else { panic!("one block") };
    // Here a driver writes to it.
    // SAFETY: the block is allocated, and its list is not used again.
    unsafe { ffi::gpu_buddy_free_block(raw.mm(), block) }
    // SAFETY: the allocator is initialised, and nobody else has it.
    let clear = unsafe { (*raw.mm()).clear_avail };
    assert_eq!(clear, 2 * CHUNK, "the mark is taken off: take this off the findings");
}
