//! The reference model with more free blocks of an order than it lists: it finds them through an
//! index then. The C shows what it must find.

use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::{Id, KernelC, Lockstep, Operation, Settings, Space};
use gpu_buddy::module::Module;
use gpu_buddy::{AllocRequest, GpuBuddyAllocFlag, GpuBuddyAllocFlags};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const CHUNK: u64 = 4 << 10;
const CHUNKS: u64 = 4096;
const SPACE: Space = Space::new(CHUNKS * CHUNK, CHUNK);

struct Waves {
    pair: Lockstep,
    random: Xoshiro256PlusPlus,
    /// Names of allocations.
    alive: Vec<Id>,
    next: Id,
}

impl Waves {
    fn step(&mut self, operation: &Operation) -> bool {
        let step = self.pair.step(operation);
        assert_eq!(step.findings, [], "{operation:?}");
        step.outcome.errno().is_none()
    }

    fn alloc(&mut self, request: AllocRequest) -> bool {
        let id = self.next;
        self.next += 1;
        let done = self.step(&Operation::Alloc { id, request });
        if done {
            self.alive.push(id);
        }
        done
    }

    /// Allocates single chunks, sometimes a larger or an aligned piece, or one in a range.
    fn alloc_some(&mut self) -> bool {
        let chunks = 1 << [0, 0, 0, 0, 0, 0, 1, 3][self.random.random_range(0..8)];
        let align = CHUNK << [0, 0, 0, 0, 2, 5][self.random.random_range(0..6)];
        let flags = match self.random.random_range(0..3) {
            0 => GpuBuddyAllocFlag::Clear.into(),
            _ => GpuBuddyAllocFlags::empty(),
        };
        let range = self.random.random_range(0..6) == 0;
        let start = if range { self.random.random_range(0..CHUNKS / 2) * CHUNK } else { 0 };
        let top_down = self.random.random_range(0..8) == 0;
        self.alloc(AllocRequest {
            start,
            end: SPACE.size,
            size: chunks * CHUNK,
            min_block_size: if range { CHUNK } else { align },
            flags,
            range,
            top_down,
            ..AllocRequest::default()
        })
    }

    fn free_some(&mut self) {
        let at = self.random.random_range(0..self.alive.len());
        let id = self.alive.swap_remove(at);
        let cleared = self.random.random_range(0..2) == 0;
        self.step(&Operation::Free { id, cleared });
    }
}

/// Frees most of a full space, which leaves hundreds of free chunks in either state, and fills it
/// again, several times.
#[test]
fn the_model_finds_what_the_c_finds() {
    if !Reference::models(Module::compiled_in().features()) {
        return;
    }
    let settings = Settings { full_check_interval: 64, ..Settings::default() };
    let pair = Lockstep::new::<KernelC, Reference>(SPACE, settings).expect("an allocator");
    let mut waves =
        Waves { pair, random: Xoshiro256PlusPlus::seed_from_u64(1), alive: Vec::new(), next: 0 };
    for wave in 0..6 {
        // Until nothing is free.
        let chunk = AllocRequest { size: CHUNK, min_block_size: CHUNK, ..AllocRequest::default() };
        while waves.alloc(chunk.clone()) {}
        while waves.alive.len() > 1000 {
            waves.free_some();
            // Blocks are taken, too, while there are many.
            if waves.random.random_range(0..4) == 0 {
                waves.alloc_some();
            }
        }
        let chunks = waves.pair.snapshot().expect("a tree").statistics()[0];
        let [most, least] = [u64::max, u64::min].map(|of| of(chunks.free_dirty, chunks.free_clear));
        assert!(most > 500 && least > 300, "wave {wave}: too few free chunks: {chunks:?}");
    }
}
