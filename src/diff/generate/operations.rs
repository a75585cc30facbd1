//! Generates the next operation on an allocator.

use crate::AllocRequest;
use crate::diff::{Block, Capabilities, Capability, Contract, Id, Operation, Outcome, Space};

use super::mix::Mix;
use super::{Choices, Faults};

/// The most allocations that are alive at once.
const MOST_ALIVE: usize = 4096;

/// An allocation that is alive.
struct Alive {
    id: Id,
    blocks: usize,
    /// Start and end of its first block, in bytes.
    start: u64,
    end: u64,
}

/// The kinds of operations, as [`Mix::operations`] weighs them.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Alloc,
    Free,
    BlockAt,
    Trim,
    FreeBlock,
    ResetClear,
}

const KINDS: [Kind; 6] =
    [Kind::Alloc, Kind::Free, Kind::BlockAt, Kind::Trim, Kind::FreeBlock, Kind::ResetClear];

/// Operations for one allocator. The same choices and the same outcomes give the same
/// operations.
pub(in crate::diff) struct Generator<C> {
    pub(super) choices: C,
    pub(super) mix: Mix,
    pub(super) space: Space,
    /// Only these are used.
    pub(super) capabilities: Capabilities,
    alive: Vec<Alive>,
    next_id: Id,
    pub(super) avail: u64,
    /// How much of the space is to be in use, in percent.
    target: u64,
    faults: Faults,
    /// The last request, if it failed.
    failed: Option<AllocRequest>,
}

impl<C: Choices> Generator<C> {
    pub fn new(mut choices: C, space: Space, capabilities: Capabilities, faults: f64) -> Self {
        // An invalid space is treated as the smallest one.
        let chunk_size = space.chunk_size.checked_next_power_of_two().unwrap_or(1).max(4096);
        let size = (space.size - space.size % chunk_size).max(chunk_size);
        let mut mix = Mix::draw(&mut choices);
        for (kind, capability) in [
            (Kind::BlockAt, Capability::BlockAt),
            (Kind::Trim, Capability::Trim),
            (Kind::FreeBlock, Capability::FreeBlock),
            (Kind::ResetClear, Capability::ResetClear),
        ] {
            if !capabilities.contains(capability) {
                mix.operations[kind as usize] = 0;
            }
        }
        let target = choices.between(5, 99);
        Self {
            choices,
            mix,
            space: Space::new(size, chunk_size),
            capabilities,
            alive: Vec::new(),
            next_id: 0,
            avail: size,
            target,
            faults: Faults::new(faults),
            failed: None,
        }
    }

    pub fn choices(&self) -> &C {
        &self.choices
    }

    /// The number of allocations that are alive.
    pub fn alive(&self) -> usize {
        self.alive.len()
    }

    /// The next operation. `contract` knows what is allocated.
    pub fn next(&mut self, contract: Option<&Contract>) -> Operation {
        self.next_with(|| contract?.largest_free_block())
    }

    /// The next operation, without outcomes: every operation is assumed to succeed.
    pub fn next_unseen(&mut self) -> Operation {
        let operation = self.next_with(|| None);
        if let Operation::Alloc { id, request } = &operation {
            let (start, end) = (request.start, request.start.saturating_add(request.size));
            self.alive.push(Alive { id: *id, blocks: 1, start, end });
            self.avail = self.avail.saturating_sub(request.size);
        }
        if let Operation::Free { .. } = operation {
            // The size of the allocation is not known.
            self.avail = self.space.size / 2;
        }
        operation
    }

    fn next_with(&mut self, largest: impl FnOnce() -> Option<(u64, u64)>) -> Operation {
        if let Some(operation) = self.faults.next(&mut self.choices) {
            return operation;
        }
        // The same request must fail again.
        if let Some(request) = self.failed.take()
            && self.choices.one_in(16)
        {
            return self.alloc(request);
        }
        // Fill and drain the space in turn.
        if self.choices.one_in(self.mix.tide) {
            self.target = self.choices.between(1, 100);
        }
        let used = self.space.size - self.avail.min(self.space.size);
        let full = used / 128 >= self.space.size / 128 * self.target / 100;
        let wants_room = full || self.alive.len() >= MOST_ALIVE;
        match self.kind(wants_room) {
            Kind::Alloc => {
                let request = self.request(largest);
                self.alloc(request)
            }
            Kind::Free => self.free(),
            Kind::BlockAt => self.lookup(),
            Kind::Trim => self.trim(),
            Kind::FreeBlock => self.free_block(),
            Kind::ResetClear => Operation::ResetClear { clear: self.choices.one_in(2) },
        }
    }

    fn kind(&mut self, wants_room: bool) -> Kind {
        let kind = KINDS[self.choices.weighted(&self.mix.operations)];
        match kind {
            _ if self.alive.is_empty() && !matches!(kind, Kind::BlockAt | Kind::ResetClear) => {
                Kind::Alloc
            }
            // A full space still gets requests. Most of them find no room.
            Kind::Alloc if wants_room && self.choices.percent(60) => Kind::Free,
            Kind::Alloc if self.alive.len() >= MOST_ALIVE => Kind::Free,
            Kind::Free if !wants_room && self.choices.percent(20) => Kind::Alloc,
            kind => kind,
        }
    }

    /// Whether the next free is as cleared.
    fn cleared(&mut self) -> bool {
        self.capabilities.contains(Capability::FreeCleared)
            && self.choices.percent(self.mix.cleared)
    }

    /// Records the outcome of the last operation. `blocks` are those of the allocation, after an
    /// allocation or a trim.
    pub fn observe(
        &mut self,
        operation: &Operation,
        outcome: Outcome,
        blocks: &[Block],
        avail: u64,
    ) {
        self.avail = avail;
        match *operation {
            Operation::Alloc { ref request, .. } if outcome.errno().is_some() => {
                self.failed = Some(request.clone());
            }
            Operation::Alloc { id, .. } if outcome == Outcome::Done => {
                let chunk_size = self.space.chunk_size;
                let (start, end) = blocks.first().map_or((0, chunk_size), |block| {
                    let size = block.size(chunk_size).max(chunk_size);
                    (block.offset, block.offset.saturating_add(size))
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
        self.choices.below(self.alive.len() as u64) as usize
    }

    fn alloc(&mut self, request: AllocRequest) -> Operation {
        let id = self.next_id;
        self.next_id += 1;
        Operation::Alloc { id, request }
    }

    /// Frees a random allocation, some of them as cleared. One must be alive.
    pub fn free(&mut self) -> Operation {
        let index = self.pick();
        let id = self.alive.swap_remove(index).id;
        Operation::Free { id, cleared: self.cleared() }
    }

    fn free_block(&mut self) -> Operation {
        let index = self.pick();
        let alive = &mut self.alive[index];
        let id = alive.id;
        let block = self.choices.below(alive.blocks.max(1) as u64) as usize;
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
        let chunks = (end.saturating_sub(start) / chunk_size).max(1);
        let mut new_size = self.choices.between(1, chunks) * chunk_size;
        let mut at = None;
        if self.capabilities.contains(Capability::TrimStart) && self.choices.one_in(2) {
            let most = (end - start).saturating_sub(new_size) / chunk_size;
            at = Some(start.saturating_add(self.choices.between(0, most) * chunk_size));
        }
        match self.choices.below(40) {
            37 => new_size = self.odd_number(),
            38 => at = at.map(|_| self.odd_number()),
            39 => at = at.map(|_| start.wrapping_sub(chunk_size)),
            _ => {}
        }
        Operation::Trim { id, start: at, new_size }
    }

    fn lookup(&mut self) -> Operation {
        let offset = match self.choices.below(20) {
            19 => self.odd_number(),
            18 => self.space.size,
            // The edges of an allocation.
            12..18 if !self.alive.is_empty() => {
                let index = self.pick();
                let Alive { start, end, .. } = self.alive[index];
                [start, end.saturating_sub(1), end][self.choices.below(3) as usize]
            }
            _ => self.choices.below(self.space.size),
        };
        Operation::BlockAt { offset }
    }

    /// An edge case of a size or offset.
    pub(super) fn odd_number(&mut self) -> u64 {
        let Space { size, chunk_size, .. } = self.space;
        let numbers = [
            0,
            1,
            chunk_size - 1,
            chunk_size,
            chunk_size.saturating_add(1),
            size - 1,
            size,
            size.saturating_add(chunk_size),
            1 << 31,
            1 << 32,
            1 << 44,
            (1u64 << 44).saturating_add(chunk_size),
            1 << 63,
            u64::MAX - chunk_size + 1,
            u64::MAX,
        ];
        numbers[self.choices.below(numbers.len() as u64) as usize]
    }
}
