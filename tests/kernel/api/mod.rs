//! What the safe API does.

mod flags;
mod freeing;
mod life;
mod looking;
mod modes;
mod parameters;
mod sizes_and_alignment;
mod snapshots;
mod taking;
mod threads;
mod trimming;

use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::thread;

use crate::common::{
    CHUNK, GIB, KIB, MIB, Random, alignment, exact, extents, params, simple, space,
};
use gpu_buddy::{
    AllocRequest, AllocatedBlocks, BlockInfo, BlockState, Errno, Error, GpuBuddy,
    GpuBuddyAllocFlag as Flag, GpuBuddyAllocFlags as Flags, GpuBuddyAllocMode as Mode,
    InvalidArgument, LogLevel, Snapshot,
};
use rstest::rstest;

fn none() -> Flags {
    Flags::empty()
}

/// The state of a space, to see whether something changed it.
fn state(buddy: &GpuBuddy) -> Snapshot {
    buddy.snapshot().expect("usable")
}

fn assert_all_free(buddy: &GpuBuddy) {
    assert_eq!(buddy.avail(), buddy.size());
    let snapshot = state(buddy);
    assert_eq!(snapshot.blocks.len(), buddy.size().count_ones() as usize, "{snapshot}");
    assert!(snapshot.blocks.iter().all(|block| block.state == BlockState::Free));
}

/// Frees and allocates at random, in all the ways there are.
fn churn(buddy: &GpuBuddy, seed: u64, mut each: impl FnMut()) -> Vec<AllocatedBlocks> {
    let mut random = Random::new(seed);
    let mut held: Vec<AllocatedBlocks> = Vec::new();
    for _ in 0..500 {
        if held.len() > 20 || (random.below(3) == 0 && !held.is_empty()) {
            let blocks = held.swap_remove(random.below(held.len() as u64) as usize);
            match random.below(3) {
                0 => drop(blocks),
                1 => blocks.free_cleared(),
                _ => blocks.free_as_allocated(),
            }
        } else {
            let size = (1 + random.below(40)) * CHUNK;
            let start = random.below(buddy.size() / 2 / CHUNK) * CHUNK;
            let modes = [Mode::Simple, Mode::TopDown, Mode::Range(start..start + 64 * CHUNK)];
            let flags = Flags::from_bits_truncate(random.next());
            let min_block_size = alignment(CHUNK << random.below(4));
            let mode = random.pick(&modes).clone();
            match buddy.alloc_blocks(mode, size, min_block_size, flags) {
                Ok(blocks) => held.push(blocks),
                Err(error) => assert_eq!(error.errno(), Errno::ENOSPC),
            }
        }
        each();
    }
    held
}
