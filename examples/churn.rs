//! Compares the speed of the twin and the C: the same calls through the same trait, in turns, so
//! that other load affects both.
//!
//! `cargo run --release --example churn [OPERATIONS]`

use std::time::{Duration, Instant};

use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::{Implementation, SafeApi, Space};
use gpu_buddy::{AllocRequest, Errno};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const SPACE: Space = Space::new(1 << 30, 4 << 10);
const ROUNDS: u64 = 10;
/// Live allocations.
const ALIVE: usize = 2000;

/// Allocates 4 KiB to 512 KiB and frees, at random.
fn churn<I: Implementation>(seed: u64, operations: u64) -> Result<Duration, Errno> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut space = I::create(SPACE)?;
    let mut alive = Vec::with_capacity(ALIVE);
    let started = Instant::now();
    for _ in 0..operations {
        if alive.len() == ALIVE || (!alive.is_empty() && random.random_ratio(1, 2)) {
            let allocation = alive.swap_remove(random.random_range(0..alive.len()));
            space.free(allocation, false);
        } else {
            let size = random.random_range(1..=128) * SPACE.chunk_size;
            let request =
                AllocRequest { size, min_block_size: SPACE.chunk_size, ..AllocRequest::default() };
            alive.push(space.alloc(&request)?);
        }
    }
    Ok(started.elapsed())
}

fn main() -> Result<(), Errno> {
    let operations = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let operations = operations.unwrap_or(200_000);
    let mut ratios = Vec::new();
    for seed in 1..=ROUNDS {
        let (c, twin) =
            (churn::<SafeApi>(seed, operations)?, churn::<Reference>(seed, operations)?);
        let ratio = c.as_secs_f64() / twin.as_secs_f64();
        println!("C {c:9.1?}  twin {twin:9.1?}  the twin is {ratio:.2} times as fast");
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median {:.2}", ratios[ratios.len() / 2]);
    Ok(())
}
