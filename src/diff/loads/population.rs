//! What is allocated, and by whom.

use std::collections::{BTreeMap, VecDeque};

use crate::diff::Id;

use super::driver::{Kept, Process, Want};

/// An allocation that is alive.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub want: Want,
    /// The number of the process that has it.
    pub owner: Option<u64>,
    /// How much of it the processor can reach, in bytes.
    pub visible: u64,
    /// When it was used last.
    used: u64,
}

/// A process and what it has. All lists are in the order in which things were made.
#[derive(Clone, Debug)]
pub struct Held {
    pub process: Process,
    pub buffers: Vec<Id>,
    pub frames: VecDeque<Id>,
    address_space: Vec<Id>,
    /// The buffers that each frame of it takes.
    pub frame_wants: Vec<Want>,
}

/// All that is allocated.
#[derive(Default)]
pub struct Population {
    buffers: BTreeMap<Id, Buffer>,
    /// What can be evicted, by when it was used last.
    by_use: BTreeMap<u64, Id>,
    now: u64,
    pub processes: Vec<Held>,
    begun: u64,
}

impl Population {
    pub fn len(&self) -> usize {
        self.buffers.len()
    }

    pub fn get(&self, id: Id) -> Option<&Buffer> {
        self.buffers.get(&id)
    }

    /// Some allocation.
    pub fn first(&self) -> Option<Id> {
        self.buffers.keys().next().copied()
    }

    /// All that can be evicted, what was not used for the longest time first.
    pub fn evictable(&self) -> impl Iterator<Item = Id> {
        self.by_use.values().copied()
    }

    /// The next process's number.
    pub fn next_process(&mut self) -> u64 {
        self.begun += 1;
        self.begun - 1
    }

    pub fn begin(&mut self, process: Process, frame_wants: Vec<Want>) {
        let (buffers, frames, address_space) = (Vec::new(), VecDeque::new(), Vec::new());
        self.processes.push(Held { process, buffers, frames, address_space, frame_wants });
    }

    /// Ends a process. Returns what it had, in the order in which it is freed: its handles
    /// as they were made, and its address space after them.
    pub fn end(&mut self, index: usize) -> Vec<Id> {
        let Held { mut buffers, frames, address_space, .. } = self.processes.remove(index);
        buffers.extend(frames);
        buffers.sort_unstable();
        buffers.extend(address_space);
        buffers
    }

    fn held(&mut self, owner: Option<u64>) -> Option<&mut Held> {
        self.processes.iter_mut().find(|held| Some(held.process.number) == owner)
    }

    /// Whether a process is still there; nobody always is.
    pub fn is_alive(&self, owner: Option<u64>) -> bool {
        owner.is_none_or(|owner| self.processes.iter().any(|held| held.process.number == owner))
    }

    pub fn insert(&mut self, id: Id, want: Want, owner: Option<u64>, visible: u64) {
        self.now += 1;
        let used = self.now;
        if want.evictable {
            self.by_use.insert(used, id);
        }
        let kept = want.kept;
        if let Some(held) = self.held(owner) {
            match kept {
                Kept::ByDevice => {}
                Kept::ByAddressSpace => held.address_space.push(id),
                Kept::ByProcess => held.buffers.push(id),
                Kept::ForFrames => held.frames.push_back(id),
            }
        }
        self.buffers.insert(id, Buffer { want, owner, visible, used });
    }

    pub fn remove(&mut self, id: Id) -> Option<Buffer> {
        let buffer = self.buffers.remove(&id)?;
        self.by_use.remove(&buffer.used);
        let kept = buffer.want.kept;
        if let Some(held) = self.held(buffer.owner) {
            let list = match kept {
                Kept::ByDevice => None,
                Kept::ByAddressSpace => Some(&mut held.address_space),
                Kept::ByProcess => Some(&mut held.buffers),
                Kept::ForFrames => {
                    held.frames.retain(|&other| other != id);
                    None
                }
            };
            if let Some(list) = list
                && let Ok(index) = list.binary_search(&id)
            {
                list.remove(index);
            }
        }
        Some(buffer)
    }

    pub fn set_visible(&mut self, id: Id, visible: u64) {
        if let Some(buffer) = self.buffers.get_mut(&id) {
            buffer.visible = visible;
        }
    }

    /// It is used.
    pub fn touch(&mut self, id: Id) {
        self.now += 1;
        let now = self.now;
        if let Some(buffer) = self.buffers.get_mut(&id)
            && self.by_use.remove(&buffer.used).is_some()
        {
            buffer.used = now;
            self.by_use.insert(now, id);
        }
    }

    /// What was not used for the longest time; of what the processor can reach, if there is
    /// to be room there.
    pub fn victim(&self, visible: bool) -> Option<Id> {
        self.evictable().find(|id| !visible || self.buffers.get(id).is_some_and(|b| b.visible > 0))
    }
}
