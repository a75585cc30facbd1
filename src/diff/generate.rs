//! Random operations, spread so that rare paths are met.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::sizes::{SZ_2M, SZ_4K, SZ_64M};
use crate::{AllocRequest, GpuBuddyAllocFlag, GpuBuddyAllocFlags};

use super::{Capabilities, Capability, Id, Operation, Outcome, Space};

/// More allocations than this are not kept alive at once.
const MOST_ALIVE: usize = 4096;

/// An allocation that is alive.
struct Alive {
    id: Id,
    blocks: usize,
    /// The place of its first block, in bytes.
    start: u64,
    end: u64,
}

/// A source of operations for one allocator. The same seed and the same outcomes
/// give the same operations.
pub(super) struct Generator {
    random: Xoshiro256PlusPlus,
    space: Space,
    /// Nothing else is asked for.
    capabilities: Capabilities,
    alive: Vec<Alive>,
    next_id: Id,
    avail: u64,
    /// How much of the space should be in use, in percent.
    target: u64,
    /// How often memory fails, from 0 to 1.
    faults: f64,
    /// Memory was told to fail until told otherwise.
    failing: bool,
    /// How many operations are to come, where everything is freed by the last ones and
    /// then torn down.
    left: Option<u64>,
}

/// A space at random: often the usual one, else of any size, from one chunk to
/// more than 2^63 bytes, a power of two or not.
pub(super) fn space(random: &mut Xoshiro256PlusPlus) -> Space {
    if random.random_ratio(1, 2) {
        return Space::new(SZ_64M as u64, SZ_4K as u64);
    }
    let (least, most) = ((SZ_4K as u64).ilog2(), (SZ_2M as u64).ilog2());
    let chunk_size = 1 << random.random_range(least..=most);
    let chunks = match random.random_range(0..10) {
        0..4 => random.random_range(1..=16),
        4..8 => log_uniform(random, 1 << 16),
        _ => log_uniform(random, u64::MAX / chunk_size),
    };
    let odd = if random.random_ratio(1, 4) { random.random_range(0..chunk_size) } else { 0 };
    Space::new((chunks * chunk_size).saturating_add(odd), chunk_size)
}

/// A number from 1 to `most`, each power of two as likely as the others.
pub(super) fn log_uniform(random: &mut Xoshiro256PlusPlus, most: u64) -> u64 {
    let bits = random.random_range(0..=most.ilog2());
    random.random_range(1 << bits..=most.min((1 << bits) | ((1 << bits) - 1)))
}

impl Generator {
    pub fn new(seed: u64, space: Space, capabilities: Capabilities, faults: f64) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let size = space.size - space.size % space.chunk_size;
        let target = random.random_range(5..=99);
        Self {
            random,
            space: Space { size, ..space },
            capabilities,
            alive: Vec::new(),
            next_id: 0,
            avail: size,
            target,
            faults,
            failing: false,
            left: None,
        }
    }

    /// After so many operations everything has been freed, some of it as cleared, and the
    /// allocator torn down in the state that it is in.
    pub fn end_with_fini(&mut self, operations: u64) {
        self.left = Some(operations).filter(|_| self.capabilities.contains(Capability::Fini));
    }

    /// The next operation.
    pub fn next(&mut self) -> Operation {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
            if self.alive.is_empty() && *left == 0 {
                return Operation::Fini;
            }
            if !self.alive.is_empty() && *left <= self.alive.len() as u64 {
                return self.free();
            }
        }
        if self.failing && self.random.random_ratio(1, 4) {
            self.failing = false;
            return Operation::FailNth { nth: 1, times: 0 };
        }
        if self.faults > 0.0 && self.random.random_bool(self.faults.min(1.0)) {
            let nth = self.random.random_range(1..=8);
            let times = match self.random.random_range(0..4) {
                0 => u64::MAX,
                1 => self.random.random_range(2..=4),
                _ => 1,
            };
            self.failing = times == u64::MAX;
            return Operation::FailNth { nth, times };
        }
        // Fill up and drain in turn.
        if self.random.random_ratio(1, 512) {
            self.target = self.random.random_range(1..=100);
        }
        let used = self.space.size - self.avail.min(self.space.size);
        let full = used / 128 >= self.space.size / 128 * self.target / 100;
        let wants_room = full || self.alive.len() >= MOST_ALIVE;
        match self.choice() {
            0..2 => Operation::ResetClear { clear: self.random.random() },
            2..80 => self.lookup(),
            80..120 if !self.alive.is_empty() => self.trim(),
            120..160 if !self.alive.is_empty() => self.free_block(),
            160..650 if !wants_room || self.alive.is_empty() => self.alloc(),
            160..350 if wants_room && self.alive.len() < MOST_ALIVE => self.alloc(),
            _ if self.alive.is_empty() => self.alloc(),
            _ => self.free(),
        }
    }

    /// Per mille, which decides on the kind of operation: one that is offered.
    fn choice(&mut self) -> u32 {
        loop {
            let choice = self.random.random_range(0..1000);
            let needs = match choice {
                0..2 => Capability::ResetClear,
                2..80 => Capability::BlockAt,
                80..120 => Capability::Trim,
                120..160 => Capability::FreeBlock,
                _ => return choice,
            };
            if self.capabilities.contains(needs) {
                return choice;
            }
        }
    }

    /// Whether what is freed next has been cleared.
    fn cleared(&mut self) -> bool {
        self.random.random_ratio(2, 5) && self.capabilities.contains(Capability::Clear)
    }

    /// What came of the operation that was made last. `blocks` are those of the
    /// allocation, after an allocation or a trim.
    pub fn observe(
        &mut self,
        operation: &Operation,
        outcome: Outcome,
        blocks: &[super::Block],
        avail: u64,
    ) {
        self.avail = avail;
        match *operation {
            Operation::Alloc { id, .. } if outcome == Outcome::Done => {
                let chunk_size = self.space.chunk_size;
                let (start, end) = blocks.first().map_or((0, 0), |block| {
                    (block.offset, block.offset.saturating_add(chunk_size << block.order))
                });
                self.alive.push(Alive { id, blocks: blocks.len(), start, end });
            }
            Operation::Trim { id, .. } if outcome == Outcome::Done => {
                if let Some(alive) = self.alive.iter_mut().find(|alive| alive.id == id) {
                    alive.blocks = blocks.len();
                }
            }
            _ => {}
        }
    }

    fn pick(&mut self) -> usize {
        self.random.random_range(0..self.alive.len())
    }

    fn free(&mut self) -> Operation {
        let index = self.pick();
        let id = self.alive.swap_remove(index).id;
        Operation::Free { id, cleared: self.cleared() }
    }

    fn free_block(&mut self) -> Operation {
        let index = self.pick();
        let alive = &mut self.alive[index];
        let id = alive.id;
        let block = self.random.random_range(0..alive.blocks.max(1));
        alive.blocks = alive.blocks.saturating_sub(1);
        if alive.blocks == 0 {
            self.alive.swap_remove(index);
        }
        Operation::FreeBlock { id, index: block, cleared: self.cleared() }
    }

    fn trim(&mut self) -> Operation {
        let index = self.pick();
        let Alive { id, start, end, .. } = self.alive[index];
        let chunk_size = self.space.chunk_size;
        let chunks = ((end - start) / chunk_size).max(1);
        let mut new_size = self.random.random_range(1..=chunks) * chunk_size;
        let mut at = self.random.random_bool(0.5).then(|| {
            let most = (end - start).saturating_sub(new_size) / chunk_size;
            start + self.random.random_range(0..=most) * chunk_size
        });
        let takes_start = self.capabilities.contains(Capability::TrimStart);
        match self.random.random_range(0..40) {
            0 => new_size = self.odd_number(),
            1 => at = Some(self.odd_number()),
            2 => at = Some(start.wrapping_sub(chunk_size)),
            _ => {}
        }
        Operation::Trim { id, start: at.filter(|_| takes_start), new_size }
    }

    fn lookup(&mut self) -> Operation {
        let offset = match self.random.random_range(0..20) {
            0 => self.odd_number(),
            1 => self.space.size,
            // The edges of an allocation.
            2..8 if !self.alive.is_empty() => {
                let index = self.pick();
                let Alive { start, end, .. } = self.alive[index];
                [start, end - 1, end][self.random.random_range(0..3)]
            }
            _ => self.random.random_range(0..self.space.size),
        };
        Operation::BlockAt { offset }
    }

    fn alloc(&mut self) -> Operation {
        let size = self.size();
        let mut request = AllocRequest {
            size,
            min_block_size: self.min_block_size(size),
            flags: self.flags(),
            ..AllocRequest::default()
        };
        self.place(&mut request);
        if self.random.random_ratio(1, 64) {
            self.spoil(&mut request);
        }
        self.restrict(&mut request);
        let id = self.next_id;
        self.next_id += 1;
        Operation::Alloc { id, request }
    }

    /// Takes away what is not offered.
    fn restrict(&self, request: &mut AllocRequest) {
        let lacks = |capability| !self.capabilities.contains(capability);
        for (flag, capability) in [
            (GpuBuddyAllocFlag::Contiguous, Capability::Contiguous),
            (GpuBuddyAllocFlag::Clear, Capability::Clear),
            (GpuBuddyAllocFlag::TrimDisable, Capability::TrimDisable),
        ] {
            if lacks(capability) {
                request.flags.remove(flag);
            }
        }
        if lacks(Capability::Range) {
            (request.range, request.start, request.end) = (false, 0, 0);
        }
        request.top_down &= self.capabilities.contains(Capability::TopDown);
        let AllocRequest { size, min_block_size, .. } = *request;
        if size < min_block_size && lacks(Capability::OffsetAlign) {
            request.min_block_size = self.space.chunk_size;
        }
        if lacks(Capability::RoundsUp) && min_block_size.is_power_of_two() {
            let bits = size.trailing_zeros().min(63);
            request.min_block_size =
                request.min_block_size.min(1 << bits).max(self.space.chunk_size);
        }
        if lacks(Capability::Alignment) {
            request.min_block_size = request.min_block_size.min(self.space.chunk_size);
        }
    }

    fn size(&mut self) -> u64 {
        let Space { size, chunk_size, .. } = self.space;
        let most = size / chunk_size;
        let chunks = match self.random.random_range(0..100) {
            // What drivers ask for most.
            0..50 => 1 << self.random.random_range(0..=most.ilog2().min(8)),
            50..78 => self.random.random_range(1..=16),
            78..90 => log_uniform(&mut self.random, most),
            90..97 => {
                let power: u64 = 1 << self.random.random_range(0..=most.ilog2());
                if self.random.random() { power + 1 } else { (power - 1).max(1) }
            }
            // What is left, and a part of it.
            97..99 => (self.avail / chunk_size) >> self.random.random_range(0..4),
            _ => most - self.random.random_range(0..most.min(4)),
        };
        chunks.clamp(1, most) * chunk_size
    }

    fn min_block_size(&mut self, size: u64) -> u64 {
        let chunk_size = self.space.chunk_size;
        match self.random.random_range(0..10) {
            0..5 => chunk_size,
            5..8 => 1 << self.random.random_range(chunk_size.ilog2()..=size.ilog2()),
            // Above the size: aligned without being rounded up.
            8 => 1 << (size.ilog2() + self.random.random_range(1..=6)).min(63),
            _ => 1 << self.random.random_range(chunk_size.ilog2()..=self.space.size.ilog2()),
        }
    }

    fn flags(&mut self) -> GpuBuddyAllocFlags {
        let mut flags = GpuBuddyAllocFlags::empty();
        for (flag, percent) in [
            (GpuBuddyAllocFlag::Contiguous, 30),
            (GpuBuddyAllocFlag::Clear, 40),
            (GpuBuddyAllocFlag::TrimDisable, 12),
        ] {
            if self.random.random_ratio(percent, 100) {
                flags |= flag;
            }
        }
        flags
    }

    /// The mode: simple, top-down or in a range, and what goes with each.
    fn place(&mut self, request: &mut AllocRequest) {
        let Space { size, chunk_size, .. } = self.space;
        let chunks = size / chunk_size;
        match self.random.random_range(0..100) {
            0..26 => {}
            26..46 => request.end = size,
            46..58 => request.top_down = true,
            58..70 => {
                request.top_down = true;
                request.end = size;
            }
            70..90 => {
                request.range = true;
                let start = self.random.random_range(0..chunks);
                let mut room = log_uniform(&mut self.random, chunks - start);
                if room * chunk_size < request.size && self.random.random_ratio(3, 4) {
                    room = (request.size / chunk_size).clamp(room, chunks - start);
                }
                request.start = start * chunk_size;
                request.end = (start + room) * chunk_size;
                if self.random.random_ratio(1, 2) {
                    // Aligned, as a driver's ranges are.
                    let power = room.ilog2().saturating_sub(1);
                    request.start = (start >> power << power) * chunk_size;
                }
            }
            90..97 => {
                // The exact range, with the flag or without.
                request.range = self.random.random();
                let most = (size - request.size.min(size)) / chunk_size;
                let step = (request.min_block_size / chunk_size).max(1);
                let start = self.random.random_range(0..=most) / step * step;
                request.start = start * chunk_size;
                request.end = request.start.saturating_add(request.size);
            }
            _ => {
                // Bounds without the flag.
                let start = self.random.random_range(0..chunks);
                request.start = start * chunk_size;
                request.end = self.random.random_range(0..=chunks) * chunk_size;
                request.top_down = self.random.random();
            }
        }
    }

    /// Makes an argument wrong.
    fn spoil(&mut self, request: &mut AllocRequest) {
        let number = self.odd_number();
        match self.random.random_range(0..5) {
            0 => request.size = number,
            1 => request.min_block_size = number,
            2 => request.start = number,
            3 => request.end = number,
            _ => {
                request.range = true;
                (request.start, request.end) = (request.end, request.start);
            }
        }
    }

    /// A number from where trouble is.
    fn odd_number(&mut self) -> u64 {
        let Space { size, chunk_size, .. } = self.space;
        let numbers = [
            0,
            1,
            chunk_size - 1,
            chunk_size,
            chunk_size + 1,
            size - 1,
            size,
            size.saturating_add(chunk_size),
            1 << 31,
            1 << 32,
            1 << 44,
            (1 << 44) + chunk_size,
            1 << 63,
            u64::MAX - chunk_size + 1,
            u64::MAX,
        ];
        numbers[self.random.random_range(0..numbers.len())]
    }
}
