//! The next operation of a driver.

use std::collections::VecDeque;

use crate::diff::generate::{Choices, Faults, Seeded, restrict};
use crate::diff::{Block, Capabilities, Capability, Id, Operation, Outcome, Space};
use crate::{Errno, GpuBuddyAllocFlag};

use super::Load;
use super::driver::{Driver, Process, Program, Want};
use super::population::Population;

/// More allocations than this are not kept alive at once.
const MOST_ALIVE: usize = 4096;

/// Processes that run at once.
const MOST_PROCESSES: usize = 12;

/// For one request no more buffers are evicted. A driver goes on as long as there are any.
const MOST_EVICTED: u32 = 64;

/// Buffers that were evicted, and may be moved back.
const MOST_AWAY: usize = 256;

/// So many frames are underway at once.
const FRAMES: usize = 3;

/// What is to be done next.
enum Step {
    Alloc(Asked),
    Free(Id),
    Trim { id: Id, start: u64, new_size: u64 },
    ResetClear,
}

/// A request, and what it is for.
struct Asked {
    want: Want,
    owner: Option<u64>,
    /// How many buffers were evicted for it.
    evicted: u32,
    /// What it replaces, and is freed after it.
    moves: Option<Id>,
}

impl Asked {
    fn new(want: Want, owner: Option<u64>) -> Self {
        Self { want, owner, evicted: 0, moves: None }
    }
}

/// What happens next, as [`Workload::happens`] weighs it.
#[derive(Clone, Copy)]
enum Event {
    Buffer,
    Free,
    Frame,
    Begin,
    End,
    MoveBack,
    Move,
    Seldom,
    Suspend,
}

const EVENTS: [Event; 9] = [
    Event::Buffer,
    Event::Free,
    Event::Frame,
    Event::Begin,
    Event::End,
    Event::MoveBack,
    Event::Move,
    Event::Seldom,
    Event::Suspend,
];

/// The operations of a driver on one allocator. The same seed and the same outcomes give the
/// same operations.
pub(in crate::diff) struct Workload {
    choices: Seeded,
    driver: Box<dyn Driver>,
    space: Space,
    capabilities: Capabilities,
    faults: Faults,
    population: Population,
    plan: VecDeque<Step>,
    /// What the last operation has asked for.
    asked: Option<(Id, Asked)>,
    /// What waits for room.
    waiting: Vec<Want>,
    away: VecDeque<(u64, Want)>,
    next_id: Id,
    avail: u64,
    visible_avail: u64,
    /// How much of the space should be in use, in percent. Above 100, buffers are evicted.
    target: u64,
    /// How many operations are to come, if everything is freed by the last ones and then
    /// torn down.
    left: Option<u64>,
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
            left: None,
            choices,
        };
        workload.visible_avail = workload.driver.visible();
        workload.draw_target();
        workload.ask(wants, None);
        workload
    }

    /// After so many operations everything has been freed, and the allocator torn down.
    pub fn end_with_fini(&mut self, operations: u64) {
        self.left = Some(operations).filter(|_| self.capabilities.contains(Capability::Fini));
    }

    pub fn next(&mut self) -> Operation {
        // If nothing is asked for in so many steps, nothing can be: see below.
        const PATIENCE: u32 = 1000;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
            match self.population.first() {
                None if *left == 0 => return Operation::Fini,
                Some(id) if *left <= self.population.len() as u64 => {
                    self.plan.clear();
                    return self.free(id).expect("it is allocated");
                }
                _ => {}
            }
        }
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
        // A space in which the driver has no room for anything of its own.
        match self.population.first() {
            Some(id) => self.free(id).expect("it is allocated"),
            None => {
                let size = self.space.chunk_size;
                let request =
                    crate::AllocRequest { size, min_block_size: size, ..Default::default() };
                self.alloc(Asked::new(Want::new(request, super::driver::Kept::ByDevice), None))
            }
        }
    }

    /// What came of the operation that was made last. `blocks` are those of the allocation,
    /// after an allocation or a trim.
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

    /// How many bytes of these the processor can reach.
    fn visible(&self, blocks: &[Block]) -> u64 {
        let end = self.driver.visible();
        let reached = |block: &Block| {
            let size = block.size(self.space.chunk_size);
            block.offset.saturating_add(size).min(end).saturating_sub(block.offset)
        };
        blocks.iter().map(reached).sum()
    }

    /// It has been allocated.
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

    /// There was no room for a request: is it asked for in pieces, or once more after
    /// something has been evicted, or not at all?
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

    /// Evicts something, after which the request is made once more.
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

    /// What is evicted may be moved back.
    fn remember(&mut self, id: Id) {
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
                // Its process may have ended, and what it moves may have been freed.
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

    fn ask(&mut self, wants: Vec<Want>, owner: Option<u64>) {
        self.plan.extend(wants.into_iter().map(|want| Step::Alloc(Asked::new(want, owner))));
    }

    /// A quarter of the time, programs want more than there is.
    fn draw_target(&mut self) {
        self.target = match self.choices.below(4) {
            0 => 120,
            _ => self.choices.between(50, 95),
        };
    }

    /// Decides what happens next.
    fn go_on(&mut self) {
        if self.population.processes.is_empty() {
            return self.begin_process();
        }
        if self.choices.one_in(2048) {
            self.draw_target();
        }
        let index = self.choices.below(self.population.processes.len() as u64) as usize;
        self.touch(index);
        match self.happens() {
            Event::Buffer => self.buffer(index),
            Event::Free => {
                let buffers = &self.population.processes[index].buffers;
                if !buffers.is_empty() {
                    let id = buffers[self.choices.below(buffers.len() as u64) as usize];
                    self.plan.push_back(Step::Free(id));
                }
            }
            Event::Frame => self.frame(index),
            Event::Begin => self.begin_process(),
            Event::End => self.plan.extend(self.population.end(index).into_iter().map(Step::Free)),
            Event::MoveBack => {
                if let Some((owner, want)) = self.away.pop_front() {
                    self.ask(vec![want], Some(owner));
                }
            }
            Event::Move => {
                let buffers = &self.population.processes[index].buffers;
                let Some(&id) = buffers.last() else { return };
                let Some(buffer) = self.population.get(id) else { return };
                let asked = Asked::new(buffer.want.clone(), buffer.owner);
                self.plan.push_back(Step::Alloc(Asked { moves: Some(id), ..asked }));
            }
            Event::Seldom => {
                let want = self.driver.seldom(&mut self.choices);
                self.ask(want.into_iter().collect(), None);
            }
            Event::Suspend => self.suspend(),
        }
    }

    fn happens(&mut self) -> Event {
        let Space { size, .. } = self.space;
        let used = size - self.avail.min(size);
        let below = used / 128 < size / 128 * self.target / 100;
        let many = self.population.len() >= MOST_ALIVE;
        let mut weights: [u32; 9] = match (many, below) {
            (true, _) => [0, 1200, 300, 0, 60, 0, 0, 0, 0],
            (_, true) => [1200, 300, 900, 30, 10, 150, 60, 2, 0],
            (_, false) => [500, 800, 900, 10, 30, 60, 60, 2, 0],
        };
        if self.population.processes.len() >= MOST_PROCESSES {
            weights[Event::Begin as usize] = 0;
        }
        if self.driver.evicts() {
            weights[Event::Suspend as usize] = 1;
        } else {
            weights[Event::Move as usize] = 0;
        }
        EVENTS[self.choices.weighted(&weights)]
    }

    fn begin_process(&mut self) {
        let number = self.population.next_process();
        let program = if self.choices.one_in(3) { Program::Compute } else { Program::Graphics };
        let process = Process { program, number };
        let wants = self.driver.begin_process(process, &mut self.choices);
        let frames = self.choices.between(1, 4);
        let frames = (0..frames).map(|_| self.driver.frame(process, &mut self.choices)).collect();
        self.population.begin(process, frames);
        self.ask(wants, Some(number));
        for _ in 0..self.choices.between(2, 30) {
            let wants = self.driver.buffer(process, &mut self.choices);
            self.ask(wants, Some(number));
        }
    }

    fn buffer(&mut self, index: usize) {
        let process = self.population.processes[index].process;
        let wants = self.driver.buffer(process, &mut self.choices);
        self.ask(wants, Some(process.number));
    }

    /// The next frame of a process. What an earlier one took is then freed.
    fn frame(&mut self, index: usize) {
        let held = &self.population.processes[index];
        let (wants, number) = (held.frame_wants.clone(), held.process.number);
        let free = (held.frames.len() + wants.len()).saturating_sub(FRAMES * wants.len());
        let old: Vec<_> = held.frames.iter().take(free).copied().collect();
        self.ask(wants, Some(number));
        self.plan.extend(old.into_iter().map(Step::Free));
    }

    /// A process uses some of its buffers.
    fn touch(&mut self, index: usize) {
        for _ in 0..2 {
            let buffers = &self.population.processes[index].buffers;
            if buffers.is_empty() {
                return;
            }
            let id = buffers[self.choices.below(buffers.len() as u64) as usize];
            self.population.touch(id);
        }
    }

    /// The machine sleeps: all buffers are evicted, and moved back when they are used.
    fn suspend(&mut self) {
        let all: Vec<_> = self.population.evictable().collect();
        for &id in &all {
            self.remember(id);
        }
        self.plan.extend(all.into_iter().map(Step::Free));
        if self.driver.resets_clear() {
            self.plan.push_back(Step::ResetClear);
        }
    }
}
