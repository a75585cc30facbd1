//! Threads: a shared allocator, many allocators side by side, allocations that move between
//! threads, handles that are dropped first. At the end of each test, the blocks that are held are
//! those that the allocator reports as allocated, its structures are consistent, it never warned,
//! and the whole space can be allocated again.

mod lifetimes;
mod shared;

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

/// More than there are processors, so that threads are preempted anywhere.
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

/// Checks that a snapshot adds up: it is of one moment, whatever other threads do.
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

/// Checks that the held blocks are those that the allocator reports as allocated.
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

/// Checks that everything is free and can be allocated as one, and tears it down without a
/// warning.
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

/// Runs `f` on [`THREADS`] threads, which begin together, and returns their results.
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

trait ConcatHeld {
    fn concat_held(self) -> Vec<AllocatedBlocks>;
}

impl ConcatHeld for Vec<Vec<AllocatedBlocks>> {
    fn concat_held(self) -> Vec<AllocatedBlocks> {
        self.into_iter().flatten().collect()
    }
}
