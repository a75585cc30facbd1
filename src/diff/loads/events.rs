//! Decides what happens next: processes begin and end, allocate buffers, draw frames.
//!
//! The frequencies are assumed.

use crate::diff::Space;
use crate::diff::generate::Choices;

use super::driver::{Process, Program, Want};
use super::workload::{Asked, Step, Workload};

/// The most allocations that are alive at once.
const MOST_ALIVE: usize = 4096;

/// The most processes at once.
const MOST_PROCESSES: usize = 12;

/// The number of frames in flight.
const FRAMES: usize = 3;

/// The events, with the weights of [`Workload::happens`].
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

impl Workload {
    pub fn ask(&mut self, wants: Vec<Want>, owner: Option<u64>) {
        self.plan.extend(wants.into_iter().map(|want| Step::Alloc(Asked::new(want, owner))));
    }

    /// A quarter of the time, processes want more memory than there is.
    pub fn draw_target(&mut self) {
        self.target = match self.choices.below(4) {
            0 => 120,
            _ => self.choices.between(50, 95),
        };
    }

    /// Plans the next event.
    pub fn go_on(&mut self) {
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
                let asked = Asked::moving(buffer.want.clone(), buffer.owner, id);
                self.plan.push_back(Step::Alloc(asked));
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

    /// The next frame of a process. The buffers of an earlier one are then freed.
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

    /// The machine suspends: all buffers are evicted, and moved back when they are used.
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
