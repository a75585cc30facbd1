//! Threads: one allocator for many, many allocators side by side, allocations
//! that travel, handles that go first. At the end of each: what is held and what
//! the allocator says is held are the same, its structures agree with each other,
//! it never warned, and all of it can be had again.

use std::cell::RefCell;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::common::{CHUNK, MIB, Random, alignment, exact, extents, params, simple, space};
use gpu_buddy::fault::Fault;
use gpu_buddy::{
    AllocatedBlocks, BlockInfo, BlockState, Errno, Error, Fini, GpuBuddy,
    GpuBuddyAllocFlags as Flags, GpuBuddyAllocMode as Mode, KERNEL, Snapshot,
};

/// More than there are processors, so that threads are stopped at any place.
const THREADS: u64 = 8;

fn none() -> Flags {
    Flags::empty()
}

/// Fewer under a sanitizer, which is slow.
fn rounds(count: usize) -> usize {
    if cfg!(sanitized) { count / 4 } else { count }
}

/// One thread's part: it allocates, trims, takes apart and frees at random.
struct Worker {
    buddy: GpuBuddy,
    random: Random,
    held: Vec<AllocatedBlocks>,
}

impl Worker {
    fn new(buddy: GpuBuddy, seed: u64) -> Self {
        Self { buddy, random: Random::new(seed), held: Vec::new() }
    }

    fn run(mut self, rounds: usize) -> Vec<AllocatedBlocks> {
        (0..rounds).for_each(|_| self.step());
        self.held
    }

    fn step(&mut self) {
        if self.held.len() > 12 || (self.random.below(3) == 0 && !self.held.is_empty()) {
            let index = self.random.below(self.held.len() as u64) as usize;
            let blocks = self.held.swap_remove(index);
            self.give_up(blocks);
        } else {
            self.alloc();
        }
    }

    fn alloc(&mut self) {
        let size = (1 + self.random.below(40)) * CHUNK;
        let start = self.random.below(self.buddy.size() / 2 / CHUNK) * CHUNK;
        let modes = [Mode::Simple, Mode::TopDown, Mode::Range(start..start + 64 * CHUNK)];
        let mode = self.random.pick(&modes).clone();
        let min_block_size = alignment(CHUNK << self.random.below(4));
        let flags = Flags::from_bits_truncate(self.random.next());
        match self.buddy.alloc_blocks(mode, size, min_block_size, flags) {
            Ok(blocks) => self.held.push(blocks),
            Err(error) => assert!(
                [Errno::ENOSPC, Errno::ENOMEM].contains(&error.errno()),
                "{error:?} for {size} bytes"
            ),
        }
    }

    fn give_up(&mut self, mut blocks: AllocatedBlocks) {
        match self.random.below(5) {
            0 => drop(blocks),
            1 => blocks.free_cleared(),
            2 => blocks.free_as_allocated(),
            3 => {
                let index = self.random.below(4) as usize;
                self.held.extend(blocks.take(index));
            }
            _ => {
                let half = (blocks.size() / 2).next_multiple_of(CHUNK);
                match blocks.trim(None, half) {
                    Ok(()) => assert_eq!(blocks.size(), half),
                    Err(Error::InvalidArgument(_) | Error::NoMemory) => {}
                    Err(error) => panic!("{error:?}"),
                }
                self.held.push(blocks);
            }
        }
    }
}

/// A snapshot is of one moment: it adds up, whatever other threads do.
fn assert_adds_up(snapshot: &Snapshot) {
    let (mut end, mut free, mut clear) = (0, 0, 0);
    for block in snapshot.leaves() {
        assert_eq!(block.offset, end, "{snapshot}");
        let size = snapshot.block_size(block);
        end += size;
        if block.state == BlockState::Free {
            free += size;
            clear += if block.clear { size } else { 0 };
        }
    }
    assert_eq!((end, free, clear), (snapshot.size, snapshot.avail, snapshot.clear_avail));
}

/// What is held is what the allocator says is allocated, block for block.
fn assert_held(buddy: &GpuBuddy, held: &[AllocatedBlocks]) {
    let mut blocks: Vec<BlockInfo> =
        held.iter().flat_map(|blocks| blocks.iter().map(|block| block.info())).collect();
    blocks.sort();
    let snapshot = buddy.snapshot().expect("usable");
    assert_adds_up(&snapshot);
    let allocated: Vec<_> =
        snapshot.leaves().filter(|block| block.state == BlockState::Allocated).copied().collect();
    assert_eq!(blocks, allocated);
    assert_eq!(buddy.check_integrity(), Ok(vec![]));
    assert_eq!(buddy.warnings(), []);
}

fn assert_clean(fini: &Fini) {
    assert_eq!((&*fini.warnings, fini.bug, fini.leaked_objects), (&[][..], None, 0));
}

/// Everything is free, can be had as one, and is torn down without a complaint.
fn finish(buddy: GpuBuddy) {
    let size = buddy.size();
    assert_held(&buddy, &[]);
    assert_eq!((buddy.avail(), buddy.longest_free_run()), (size, Ok(0..size)));
    let all = exact(&buddy, 0, size).expect("everything is free");
    assert_eq!((all.size(), buddy.avail()), (size, 0));
    drop(all);
    assert_held(&buddy, &[]);
    assert_clean(&buddy.fini().expect("the last handle"));
}

/// Runs `f` on as many threads, which begin together, and returns what they do.
fn on_threads<R: Send>(f: impl Fn(u64) -> R + Sync) -> Vec<R> {
    let barrier = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        let start = |index| {
            let (f, barrier) = (&f, &barrier);
            scope.spawn(move || {
                barrier.wait();
                f(index)
            })
        };
        let threads: Vec<_> = (0..THREADS).map(start).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

#[test]
fn many_share_one_allocator() {
    let buddy = space(8 * MIB - CHUNK);
    let held: Vec<_> =
        on_threads(|seed| Worker::new(buddy.clone(), seed).run(rounds(2000))).concat_held();
    assert!(!held.is_empty());
    assert_held(&buddy, &held);
    drop(held);
    finish(buddy);
}

trait ConcatHeld {
    fn concat_held(self) -> Vec<AllocatedBlocks>;
}

impl ConcatHeld for Vec<Vec<AllocatedBlocks>> {
    fn concat_held(self) -> Vec<AllocatedBlocks> {
        self.into_iter().flatten().collect()
    }
}

/// Each way to look at an allocator, while others change it.
#[test]
fn some_look_while_others_allocate() {
    let buddy = space(4 * MIB + 5 * CHUNK);
    // Some looking is at an allocation of the looker's own, without the lock.
    let kept = exact(&buddy, 3 * CHUNK, 21 * CHUNK).expect("free");
    let expected = extents(&kept);
    let done = AtomicUsize::new(0);
    let held = on_threads(|index| {
        if index % 2 == 0 {
            let held = Worker::new(buddy.clone(), index).run(rounds(2000));
            done.fetch_add(1, Ordering::Relaxed);
            return held;
        }
        let mut random = Random::new(index);
        while done.load(Ordering::Relaxed) < THREADS as usize / 2 {
            assert_adds_up(&buddy.snapshot().expect("usable"));
            assert_eq!(buddy.check_integrity(), Ok(vec![]));
            // It prints in one go, with the totals of that moment.
            assert!(buddy.print().expect("usable").len() > 10);
            assert!(buddy.avail() <= buddy.size() - kept.size());
            assert!(buddy.clear_avail() <= buddy.size());
            let statistics = buddy.statistics().expect("usable");
            let bytes =
                statistics.iter().map(|row| (row.free() + row.allocated) * (CHUNK << row.order));
            assert_eq!(bytes.sum::<u64>(), buddy.size());
            assert!(buddy.largest_free_block().expect("usable") < buddy.size());
            assert!(buddy.longest_free_run().expect("usable").end <= buddy.size());
            let offset = random.below(buddy.size());
            if let Some(block) = buddy.block_at(offset).expect("inside") {
                assert!(block.offset <= offset && offset < block.offset + (CHUNK << block.order));
            }
            assert_ne!(buddy.block_at(kept.iter().next().expect("a block").offset()), Ok(None));
            assert!(buddy.live_objects() > 0);
            assert_eq!((buddy.warnings(), buddy.bug(), buddy.fault()), (vec![], None, None));
            assert!(format!("{buddy:?} {buddy}").contains("chunk_size"));
            assert_eq!(extents(&kept), expected);
        }
        Vec::new()
    });
    let mut held = held.concat_held();
    held.push(kept);
    assert_held(&buddy, &held);
    drop(held);
    finish(buddy);
}

/// Resets of the clear state and failing memory in between.
#[test]
fn some_disturb_while_others_allocate() {
    let buddy = space(4 * MIB + 5 * CHUNK);
    let done = AtomicUsize::new(0);
    let held = on_threads(|index| {
        if index != 0 {
            let held = Worker::new(buddy.clone(), index + 100).run(rounds(2000));
            done.fetch_add(1, Ordering::Relaxed);
            return held;
        }
        let mut clear = false;
        while done.load(Ordering::Relaxed) < THREADS as usize - 1 {
            buddy.reset_clear(clear).expect("usable");
            clear = !clear;
            // A series that does not survive it is made unusable by it.
            if KERNEL.has("undo_splits") {
                buddy.set_fault(Some(Fault::probability(0.2, 7)));
                thread::yield_now();
                buddy.set_fault(None);
            }
        }
        Vec::new()
    });
    let held = held.concat_held();
    assert_held(&buddy, &held);
    drop(held);
    finish(buddy);
}

/// What a thread gets does not depend on what other threads do to allocators of
/// their own.
#[test]
fn many_allocators_on_many_threads() {
    let life = |seed: u64| -> Vec<Vec<(u64, u64)>> {
        let mut all = Vec::new();
        for size in [MIB, 3 * MIB + 5 * CHUNK] {
            let buddy = space(size);
            let held = Worker::new(buddy.clone(), seed).run(rounds(1000));
            assert_held(&buddy, &held);
            all.extend(held.iter().map(extents));
            drop(held);
            finish(buddy);
        }
        all
    };
    let alone: Vec<_> = (0..THREADS).map(life).collect();
    assert_eq!(on_threads(life), alone);
}

/// Each thread allocates, passes on to the next, and changes and frees what came
/// from the one before.
#[test]
fn allocations_are_used_and_dropped_elsewhere() {
    let buddy = space(8 * MIB);
    let (senders, receivers): (Vec<Sender<AllocatedBlocks>>, Vec<Receiver<_>>) =
        (0..THREADS).map(|_| channel()).unzip();
    let barrier = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        let mut next: Vec<_> = senders.into_iter().map(Some).collect();
        next.rotate_left(1);
        for ((index, next), receiver) in (0..THREADS).zip(next).zip(receivers) {
            let (buddy, barrier) = (buddy.clone(), &barrier);
            scope.spawn(move || {
                let next = next.expect("one for each");
                barrier.wait();
                // It brings no handle but the one that each allocation has.
                let mut worker = Worker::new(buddy, index + 300);
                for _ in 0..rounds(1000) {
                    worker.alloc();
                    if let Some(blocks) = worker.held.pop() {
                        // The last one ends before its neighbour, at times.
                        let _ = next.send(blocks);
                    }
                    while let Ok(blocks) = receiver.try_recv() {
                        worker.give_up(blocks);
                    }
                }
                drop(next);
                for blocks in receiver {
                    worker.give_up(blocks);
                }
            });
        }
    });
    finish(buddy);
}

/// The last allocation tears the allocator down, on whatever thread it is.
#[test]
fn handles_go_while_allocations_live() {
    let torn_down = AtomicUsize::new(0);
    let rounds = rounds(400);
    for round in 0..rounds as u64 {
        let buddy = space(MIB);
        let parts: Vec<_> =
            (0..THREADS).map(|_| simple(&buddy, 5 * CHUNK, none()).expect("room")).collect();
        let barrier = Barrier::new(THREADS as usize + 1);
        thread::scope(|scope| {
            for (index, blocks) in parts.into_iter().enumerate() {
                let (barrier, torn_down) = (&barrier, &torn_down);
                scope.spawn(move || {
                    barrier.wait();
                    assert_eq!(blocks.size(), 5 * CHUNK);
                    if (index as u64 + round).is_multiple_of(2) {
                        return drop(blocks);
                    }
                    // A handle made of an allocation, the last of all for one
                    // thread at most.
                    let buddy = blocks.buddy().clone();
                    drop(blocks);
                    if let Ok(fini) = buddy.fini() {
                        assert_clean(&fini);
                        torn_down.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            barrier.wait();
            drop(buddy);
        });
    }
    assert!(torn_down.load(Ordering::Relaxed) <= rounds);
}

/// A thread that ends drops its thread-local values after most of what it had.
#[test]
fn a_thread_that_ends_drops_what_it_kept() {
    thread_local! {
        static KEPT: RefCell<Vec<AllocatedBlocks>> = const { RefCell::new(Vec::new()) };
    }
    let buddy = space(8 * MIB);
    for _ in 0..rounds(40) {
        on_threads(|seed| {
            let held = Worker::new(buddy.clone(), seed).run(20);
            KEPT.with_borrow_mut(|kept| kept.extend(held));
        });
    }
    finish(buddy);
}

/// Nothing keeps a lock when a thread panics with handles and allocations.
#[test]
fn a_thread_that_panics_frees_what_it_held() {
    let buddy = space(8 * MIB);
    for seed in 0..THREADS {
        let buddy = buddy.clone();
        let thread = thread::spawn(move || {
            let _held = Worker::new(buddy, seed).run(50);
            // Without the message that a panic prints.
            std::panic::resume_unwind(Box::new("planted"));
        });
        let payload = thread.join().expect_err("it panicked");
        assert_eq!(payload.downcast_ref(), Some(&"planted"));
    }
    finish(buddy);
}

/// Blocks are read by many at once, by way of references.
#[test]
fn blocks_are_shared() {
    let buddy = space(8 * MIB);
    let blocks = exact(&buddy, CHUNK, MIB).expect("free");
    let first = blocks.iter().next().expect("a block");
    let infos: Vec<_> = blocks.iter().map(|block| block.info()).collect();
    let iter = blocks.iter();
    let stop = AtomicBool::new(false);
    let held = on_threads(|index| {
        if index < 2 {
            // It splits and merges right beside them.
            let held = Worker::new(buddy.clone(), index).run(rounds(2000));
            stop.store(true, Ordering::Relaxed);
            return held;
        }
        while !stop.load(Ordering::Relaxed) {
            assert_eq!((first.offset(), first.order(), first.is_clear()), (CHUNK, 0, false));
            let seen: Vec<_> = iter.clone().map(|block| block.info()).collect();
            assert_eq!(seen, infos);
            assert_eq!((blocks.size(), blocks.is_empty()), (MIB, false));
            assert_eq!(blocks.buddy().base_offset(), 0);
        }
        Vec::new()
    });
    drop(held);
    drop(blocks);
    finish(buddy);
}

#[test]
fn threads_make_and_refuse_allocators_at_once() {
    let refused = on_threads(|index| {
        let mut refused = 0;
        for round in 0..rounds(400) as u64 {
            let mut fault = Fault::nth(1 + (index + round) % 12);
            match GpuBuddy::with_fault(params(0, 3 * CHUNK, CHUNK), &mut fault) {
                Ok(buddy) => finish(buddy),
                Err(error) => {
                    assert_eq!((error, fault.failed()), (Error::NoMemory, 1));
                    refused += 1;
                }
            }
        }
        refused
    });
    assert!(refused.iter().all(|&refused| refused > 0));
}
