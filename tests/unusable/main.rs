//! Allocators that a BUG has made unusable: which calls fail from then on, what is kept, what
//! others notice, and that no memory is lost. docs/assurance/unusable.md has the promises.
//!
//! Some BUGs are provoked by spoiling a block behind the safe API's back. Those
//! in the middle of every function are planted in a copy of the kernel; see `planted.rs`.
//!
//! Alone, because this binary is built again with that copy, and installs a logger that panics.

#[path = "../common/mod.rs"]
mod common;

mod planted;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::Barrier;
use std::thread;

use crate::common::{CHUNK, MIB, exact, params, simple, space};
use gpu_buddy::fault::Fault;
use gpu_buddy::{
    AllocRequest, AllocatedBlock, AllocatedBlocks, Errno, Error, GpuBuddy,
    GpuBuddyAllocFlags as Flags, GpuBuddyAllocMode as Mode, KERNEL, KernelBug, ffi,
};
use rstest::rstest;

fn none() -> Flags {
    Flags::empty()
}

/// The address of a block, which the safe API does not give.
fn address(block: AllocatedBlock<'_>, buddy: &GpuBuddy) -> *mut ffi::gpu_buddy_block {
    // SAFETY: a block is two pointers: to itself, and to its allocator. If it
    // became something else, this would not compile.
    let pointers: [*mut ffi::gpu_buddy_block; 2] = unsafe { std::mem::transmute(block) };
    let is_handle = |pointer: &*mut ffi::gpu_buddy_block| {
        ptr::eq(pointer.cast_const().cast::<GpuBuddy>(), buddy)
    };
    let [block] = pointers.iter().filter(|pointer| !is_handle(pointer)).collect::<Vec<_>>()[..]
    else {
        panic!("one of the two is the handle");
    };
    *block
}

/// # Safety
///
/// `block` is alive, and nothing else looks at it.
unsafe fn set_state(block: *mut ffi::gpu_buddy_block, state: u32) {
    // SAFETY: as the caller says.
    unsafe {
        let header = (*block).header & !ffi::GPU_BUDDY_HEADER_STATE;
        (*block).header = header | u64::from(state);
    }
}

/// Makes the block at `index` say that it is free: freeing it is a BUG.
fn spoil(blocks: &AllocatedBlocks, index: usize) {
    let block = address(blocks.iter().nth(index).expect("a block"), blocks.buddy());
    // SAFETY: the block is alive, and this thread alone uses the allocator.
    unsafe { set_state(block, ffi::GPU_BUDDY_FREE) };
}

/// Makes the free buddy of the only block say that it is allocated, though it
/// is in a tree of free blocks: allocating it is a BUG.
fn spoil_buddy(blocks: &AllocatedBlocks) {
    let block = address(blocks.iter().next().expect("a block"), blocks.buddy());
    // SAFETY: a block that is no root is one of the two halves of its parent;
    // this thread alone uses the allocator.
    unsafe {
        let parent = (*block).parent;
        let (left, right) = ((*parent).left, (*parent).right);
        set_state(if left == block { right } else { left }, ffi::GPU_BUDDY_ALLOCATED);
    }
}

/// Makes a call that ends in a BUG, on an allocator in use. Returns the BUG that the call
/// reports, or none if it reports nothing.
type Provoke = fn(&GpuBuddy) -> Option<Error>;

fn free(buddy: &GpuBuddy) -> Option<Error> {
    let blocks = exact(buddy, 0, CHUNK).expect("free");
    spoil(&blocks, 0);
    drop(blocks);
    None
}

/// The last of several: those before it are freed.
fn free_several(buddy: &GpuBuddy) -> Option<Error> {
    let blocks = exact(buddy, 0, 7 * CHUNK).expect("free");
    spoil(&blocks, 2);
    blocks.free_cleared();
    None
}

fn free_as_allocated(buddy: &GpuBuddy) -> Option<Error> {
    let blocks = exact(buddy, 0, 7 * CHUNK).expect("free");
    spoil(&blocks, 1);
    blocks.free_as_allocated();
    None
}

/// The BUG comes after a first block was taken, which is lost.
fn alloc(buddy: &GpuBuddy) -> Option<Error> {
    let kept = exact(buddy, 0, CHUNK).expect("free");
    spoil_buddy(&kept);
    // It is to be the only free block of its size.
    let _others = [131, 195].map(|chunk| exact(buddy, chunk * CHUNK, CHUNK).expect("free"));
    simple(buddy, 3 * CHUNK, none()).err()
}

/// For series that do not survive it. In others it is no BUG.
fn out_of_memory(buddy: &GpuBuddy) -> Option<Error> {
    let mut blocks = exact(buddy, 0, 8 * CHUNK).expect("free");
    buddy.set_fault(Some(Fault::nth(3)));
    let error = blocks.trim(None, CHUNK).expect_err("out of memory");
    // The C had taken the block when it stopped.
    assert!(blocks.is_empty());
    Some(error)
}

/// Each method of an unusable allocator and of its allocations.
fn assert_unusable(buddy: &GpuBuddy, held: &mut AllocatedBlocks) {
    let bug = buddy.bug().expect("unusable");
    let error = Error::Bug(bug);
    assert_eq!(error.errno(), Errno::ENOTRECOVERABLE);
    assert_eq!(error.to_string(), format!("{bug}; the allocator is unusable"));
    let (chunk, size) = (buddy.chunk_size().as_u64(), buddy.size());

    // What would run the C, or read what it may have left half done.
    let min_block_size = buddy.chunk_size();
    let blocks = buddy.alloc_blocks(Mode::Simple, chunk, min_block_size, none());
    assert_eq!(blocks.map(|_| ()), Err(error));
    let request = AllocRequest { size: chunk, min_block_size: chunk, ..AllocRequest::default() };
    assert_eq!(buddy.alloc(&request).map(|_| ()), Err(error));
    assert_eq!(buddy.reset_clear(true), Err(error));
    assert_eq!(buddy.block_at(0), Err(error));
    assert_eq!(buddy.statistics(), Err(error));
    assert_eq!(buddy.largest_free_block(), Err(error));
    assert_eq!(buddy.longest_free_run(), Err(error));
    assert_eq!(buddy.snapshot(), Err(error));
    assert_eq!(buddy.check_integrity(), Err(error));
    assert_eq!(buddy.print(), Err(error));
    assert_eq!(held.trim(None, chunk), Err(error));

    // Wrong arguments are still called wrong.
    assert_eq!(buddy.block_at(size).map_err(|error| error.errno()), Err(Errno::ENXIO));
    let blocks = buddy.alloc_blocks(Mode::Simple, 0, min_block_size, none());
    assert_eq!(blocks.map(|_| ()).map_err(|error| error.errno()), Err(Errno::EINVAL));

    // What is known without the C.
    assert_eq!(buddy.params(), (0, size, chunk));
    assert!(buddy.avail() <= size && buddy.clear_avail() <= size);
    assert!(buddy.live_objects() > 0);
    buddy.set_fault(Some(Fault::nth(1)));
    assert_eq!(buddy.fault().map(|fault| fault.attempts()), Some(0));
    assert_eq!(buddy.to_string(), format!("{error}\n"));
    assert!(format!("{buddy:?}").starts_with("GpuBuddy {"));

    // What is allocated stays allocated, and freeing it does nothing.
    let (avail, objects) = (buddy.avail(), buddy.live_objects());
    assert_eq!((held.size(), held.iter().count()), (3 * chunk, 2));
    assert!(format!("{held:?}").contains("offset: "));
    assert_eq!(held.buddy().bug(), Some(bug));
    let taken = held.take(0).expect("two blocks");
    assert_eq!(taken.size() + held.size(), 3 * chunk);
    taken.free_cleared();
    let clone = buddy.clone();
    let clone = clone.fini().expect_err("not the last handle");
    assert_eq!((clone.avail(), clone.live_objects()), (avail, objects));
    assert_eq!((clone.bug(), clone.warnings()), (Some(bug), vec![]));
}

trait Params {
    fn params(&self) -> (u64, u64, u64);
}

impl Params for GpuBuddy {
    fn params(&self) -> (u64, u64, u64) {
        (self.base_offset(), self.size(), self.chunk_size().as_u64())
    }
}

/// The whole story of one BUG. Returns it.
fn unusable(chunk: u64, provoke: impl FnOnce(&GpuBuddy) -> Option<Error>) -> KernelBug {
    let other = space(MIB);
    let kept = simple(&other, CHUNK, none()).expect("room");

    let buddy = GpuBuddy::new(params(0, 256 * chunk, chunk)).expect("a space");
    let mut held = exact(&buddy, 128 * chunk, 3 * chunk).expect("free");
    let dropped = exact(&buddy, 192 * chunk, 3 * chunk).expect("free");
    let early = buddy.clone();
    let reported = provoke(&buddy);
    let bug = buddy.bug().expect("unusable");
    assert!([None, Some(Error::Bug(bug))].contains(&reported), "{reported:?}");

    assert_unusable(&buddy, &mut held);
    let objects = buddy.live_objects();
    dropped.free_as_allocated();
    drop(held);
    drop(early);
    assert_eq!(buddy.live_objects(), objects);
    // On another thread, too.
    let buddy = thread::spawn(move || buddy).join().expect("no panic");
    let fini = buddy.fini().expect("the last handle");
    assert_eq!((fini.bug, fini.leaked_objects), (Some(bug), 0));

    // Others never noticed.
    assert_eq!((other.bug(), other.check_integrity()), (None, Ok(vec![])));
    drop(kept);
    let fini = other.fini().expect("the last handle");
    assert_eq!((fini.bug, fini.leaked_objects, fini.warnings), (None, 0, vec![]));
    bug
}

#[rstest]
#[case::free(free)]
#[case::free_several(free_several)]
#[case::free_as_allocated(free_as_allocated)]
#[case::alloc(alloc)]
fn after_a_bug(#[case] provoke: Provoke) {
    let bug = unusable(CHUNK, provoke);
    assert_eq!(bug.file, "drivers/gpu/buddy.c");
    let line = common::kernel_line(bug.file, bug.line);
    assert!(line.starts_with("BUG_ON("), "{line}");
}

/// Memory runs out in the middle of a trim, at each place in turn.
#[test]
fn an_error_in_the_middle_of_a_trim() {
    if !KERNEL.has("undo_splits") {
        assert_eq!(unusable(CHUNK, out_of_memory), KernelBug::OUT_OF_MEMORY);
        return;
    }
    // Three splits, of two blocks each.
    for nth in 1..=6 {
        for times in [1, u64::MAX] {
            let buddy = space(MIB);
            let mut blocks = exact(&buddy, 0, 8 * CHUNK).expect("free");
            let before = buddy.snapshot();
            buddy.set_fault(Some(Fault::nth(nth).times(times)));
            assert_eq!(blocks.trim(None, CHUNK), Err(Error::NoMemory));
            // Nothing has changed, and nothing is unusable.
            assert_eq!((buddy.bug(), buddy.snapshot()), (None, before));
            assert_eq!(buddy.check_integrity(), Ok(vec![]));
            buddy.set_fault(None);
            assert_eq!(blocks.trim(None, CHUNK), Ok(()));
            drop(blocks);
            let fini = buddy.fini().expect("the last handle");
            assert_eq!((fini.bug, fini.leaked_objects, fini.warnings), (None, 0, vec![]));
        }
    }
}

/// The BUG is kept inside of the drop, so a panic may be on its way.
#[test]
fn a_bug_while_a_panic_unwinds() {
    let buddy = space(MIB);
    let payload = catch_unwind(AssertUnwindSafe(|| {
        let blocks = exact(&buddy, 0, CHUNK).expect("free");
        spoil(&blocks, 0);
        let _other = exact(&buddy, MIB / 2, CHUNK).expect("free");
        resume_unwind(Box::new(7));
    }))
    .expect_err("it panics");
    assert_eq!(payload.downcast_ref(), Some(&7));
    assert!(buddy.bug().is_some());
    assert!(buddy.fini().is_ok());
}

/// The last that is left is the allocation whose drop is a BUG.
#[test]
fn a_bug_in_the_drop_that_is_the_last() {
    let buddy = space(MIB);
    let blocks = exact(&buddy, 0, 7 * CHUNK).expect("free");
    spoil(&blocks, 0);
    drop(buddy);
    drop(blocks);
}

/// One thread meets the BUG; the others get an error from then on, at once, and
/// go on with what they have.
#[test]
fn others_that_share_it_get_the_error() {
    const THREADS: u64 = 8;
    let buddy = space(8 * MIB);
    let spoilt = exact(&buddy, 0, CHUNK).expect("free");
    // Held, or it would be freed by another thread, and merged with the spoilt one.
    let _neighbour = exact(&buddy, CHUNK, CHUNK).expect("free");
    spoil(&spoilt, 0);
    let barrier = Barrier::new(THREADS as usize + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (buddy, barrier) = (buddy.clone(), &barrier);
                scope.spawn(move || {
                    let mut held = Vec::new();
                    barrier.wait();
                    loop {
                        match simple(&buddy, 3 * CHUNK, none()) {
                            Ok(blocks) => held.push(blocks),
                            Err(error @ Error::Bug(_)) => break (error, held),
                            Err(error) => assert_eq!(error.errno(), Errno::ENOSPC),
                        }
                        if held.len() > 40 {
                            held.clear();
                        }
                    }
                })
            })
            .collect();
        barrier.wait();
        drop(spoilt);
        let expected = Error::Bug(buddy.bug().expect("unusable"));
        for thread in threads {
            let (error, held) = thread.join().expect("no panic");
            assert_eq!(error, expected);
            assert!(held.iter().all(|blocks| blocks.size() == 3 * CHUNK));
        }
    });
    assert!(buddy.bug().is_some());
}
