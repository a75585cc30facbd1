//! The operations of a driver.

use std::collections::VecDeque;

use crate::diff::generate::{Faults, Seeded, restrict};
use crate::diff::{Block, Capabilities, Capability, Id, Operation, Outcome, Space};
use crate::{AllocRequest, Errno, GpuBuddyAllocFlag};

use super::Load;
use super::driver::{Driver, Kept, Want};
use super::population::Population;

/// The most buffers that are evicted for one request. A real driver has no such limit.
const MOST_EVICTED: u32 = 64;

/// The most evicted buffers that may be moved back.
const MOST_AWAY: usize = 256;

/// A planned step.
pub(super) enum Step {
    Alloc(Asked),
    Free(Id),
    Trim { id: Id, start: u64, new_size: u64 },
    ResetClear,
}

/// A request, and its purpose.
pub(super) struct Asked {
    want: Want,
    owner: Option<u64>,
    /// The number of buffers that were evicted for it.
    evicted: u32,
    /// The allocation that it replaces, which is freed after it.
    moves: Option<Id>,
}

impl Asked {
    pub fn new(want: Want, owner: Option<u64>) -> Self {
        Self { want, owner, evicted: 0, moves: None }
    }

    /// Moves an allocation: the old one is freed after the new one.
    pub fn moving(want: Want, owner: Option<u64>, from: Id) -> Self {
        Self { moves: Some(from), ..Self::new(want, owner) }
    }
}

/// The operations of a driver on one allocator. The same seed and the same outcomes give the
/// same operations.
pub(in crate::diff) struct Workload {
    pub(super) choices: Seeded,
    pub(super) driver: Box<dyn Driver>,
    pub(super) space: Space,
    capabilities: Capabilities,
    faults: Faults,
    pub(super) population: Population,
    pub(super) plan: VecDeque<Step>,
    /// The request of the last operation.
    asked: Option<(Id, Asked)>,
    /// Requests that wait for room.
    waiting: Vec<Want>,
    pub(super) away: VecDeque<(u64, Want)>,
    next_id: Id,
    pub(super) avail: u64,
    visible_avail: u64,
    /// How much of the space is to be in use, in percent. Above 100, buffers are evicted.
    pub(super) target: u64,
}

impl Workload {
    pub fn new(
        load: Load,
        mut choices: Seeded,
        space: Space,
        capabilities: Capabilities,
        faults: f64,
    ) -> Self {
        let space = Space { size: space.size - space.size % space.chunk_size, ..space };
        let driver = load.driver(space, &mut choices);
        let wants = driver.load(&mut choices);
        let mut workload = Self {
            driver,
            space,
            capabilities,
            faults: Faults::new(faults),
            population: Population::default(),
            plan: VecDeque::new(),
            asked: None,
            waiting: Vec::new(),
            away: VecDeque::new(),
            next_id: 0,
            avail: space.size,
            visible_avail: 0,
            target: 0,
            choices,
        };
        workload.visible_avail = workload.driver.visible();
        workload.draw_target();
        workload.ask(wants, None);
        workload
    }

    /// The number of live allocations.
    pub fn alive(&self) -> usize {
        self.population.len()
    }

    /// Frees the oldest allocation, whatever was planned. One must be alive.
    pub fn free_first(&mut self) -> Operation {
        self.plan.clear();
        let first = self.population.first().and_then(|id| self.free(id));
        first.expect("it is allocated")
    }

    pub fn next(&mut self) -> Operation {
        // After this many steps without an operation, there will be none: see below.
        const PATIENCE: u32 = 1000;
        if let Some(operation) = self.faults.next(&mut self.choices) {
            return operation;
        }
        for _ in 0..PATIENCE {
            let Some(step) = self.plan.pop_front() else {
                self.go_on();
                continue;
            };
            if let Some(operation) = self.perform(step) {
                return operation;
            }
        }
        // The driver has no room for anything in this space.
        match self.population.first() {
            Some(id) => self.free(id).expect("it is allocated"),
            None => {
                let size = self.space.chunk_size;
                let request =
                    AllocRequest { size, min_block_size: size, ..AllocRequest::default() };
                self.alloc(Asked::new(Want::new(request, Kept::ByDevice), None))
            }
        }
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
            Operation::Alloc { .. } => {
                let Some((id, asked)) = self.asked.take() else { return };
                match outcome {
                    Outcome::Done => self.place(id, asked, blocks),
                    Outcome::Failed(Errno::ENOSPC) => self.find_room(asked),
                    _ => {}
                }
            }
            Operation::Trim { id, .. } if outcome == Outcome::Done => {
                let visible = self.visible(blocks);
                let before = self.population.get(id).map_or(0, |buffer| buffer.visible);
                self.population.set_visible(id, visible);
                self.visible_avail += before.saturating_sub(visible);
            }
            _ => {}
        }
    }

    /// The bytes of these blocks that the CPU can reach.
    fn visible(&self, blocks: &[Block]) -> u64 {
        let end = self.driver.visible();
        let reached = |block: &Block| {
            let size = block.size(self.space.chunk_size);
            block.offset.saturating_add(size).min(end).saturating_sub(block.offset)
        };
        blocks.iter().map(reached).sum()
    }

    /// Records an allocation.
    fn place(&mut self, id: Id, asked: Asked, blocks: &[Block]) {
        let visible = self.visible(blocks);
        self.visible_avail = self.visible_avail.saturating_sub(visible);
        let Asked { want, owner, moves, .. } = asked;
        if let Some((multiple, new_size)) = want.trim
            && let Some(first) = blocks.first()
        {
            let start = first.offset.next_multiple_of(multiple);
            self.plan.push_front(Step::Trim { id, start, new_size });
        }
        if let Some(old) = moves {
            self.plan.push_front(Step::Free(old));
        }
        self.population.insert(id, want, owner, visible);
    }

    /// After a request found no room: tries again in pieces or after an eviction, or gives up.
    fn find_room(&mut self, asked: Asked) {
        if asked.want.waits {
            self.waiting.push(asked.want);
            return;
        }
        if asked.want.falls_back && asked.want.request.flags.contains(GpuBuddyAllocFlag::Contiguous)
        {
            let mut pieces = asked;
            pieces.want.request.flags.remove(GpuBuddyAllocFlag::Contiguous);
            self.plan.push_front(Step::Alloc(pieces));
            return;
        }
        self.evict_for(asked);
    }

    /// Evicts an allocation, then tries the request again.
    fn evict_for(&mut self, mut asked: Asked) {
        if let Some(victim) = self.victim(&asked) {
            asked.evicted += 1;
            self.plan.push_front(Step::Alloc(asked));
            self.plan.push_front(Step::Free(victim));
            self.remember(victim);
        }
    }

    fn victim(&self, asked: &Asked) -> Option<Id> {
        if !self.driver.evicts() || asked.evicted >= MOST_EVICTED {
            return None;
        }
        let visible = asked.want.request.end <= self.driver.visible();
        self.population.victim(visible).filter(|victim| asked.moves != Some(*victim))
    }

    /// Remembers an evicted buffer, which may be moved back.
    pub(super) fn remember(&mut self, id: Id) {
        if let Some(buffer) = self.population.get(id)
            && let Some(owner) = buffer.owner
            && self.away.len() < MOST_AWAY
        {
            self.away.push_back((owner, buffer.want.clone()));
        }
    }

    fn perform(&mut self, step: Step) -> Option<Operation> {
        match step {
            Step::Alloc(asked) => {
                // Its process may have ended, or the allocation that it moves may be freed.
                let gone = asked.moves.is_some_and(|id| self.population.get(id).is_none());
                if gone || !self.population.is_alive(asked.owner) {
                    return None;
                }
                if self.driver.refuses(&asked.want, self.avail, self.visible_avail) {
                    self.evict_for(asked);
                    return None;
                }
                Some(self.alloc(asked))
            }
            Step::Free(id) => self.free(id),
            Step::Trim { id, start, new_size } => {
                let offered = self.capabilities.contains(Capability::Trim | Capability::TrimStart);
                let there = offered && self.population.get(id).is_some();
                there.then_some(Operation::Trim { id, start: Some(start), new_size })
            }
            Step::ResetClear => {
                let offered = self.capabilities.contains(Capability::ResetClear);
                offered.then_some(Operation::ResetClear { clear: false })
            }
        }
    }

    fn alloc(&mut self, asked: Asked) -> Operation {
        let id = self.next_id;
        self.next_id += 1;
        let mut request = asked.want.request.clone();
        restrict(&mut request, self.capabilities, self.space.chunk_size);
        self.asked = Some((id, asked));
        Operation::Alloc { id, request }
    }

    fn free(&mut self, id: Id) -> Option<Operation> {
        let buffer = self.population.remove(id)?;
        self.visible_avail += buffer.visible;
        for want in self.waiting.drain(..) {
            self.plan.push_front(Step::Alloc(Asked::new(want, None)));
        }
        let cleared =
            buffer.want.freed_cleared && self.capabilities.contains(Capability::FreeCleared);
        Some(Operation::Free { id, cleared })
    }
}
