//! The allocations and their owners.

use std::collections::{BTreeMap, VecDeque};

use crate::diff::Id;

use super::driver::{Kept, Process, Want};

/// A live allocation.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub want: Want,
    /// The number of the process that owns it.
    pub owner: Option<u64>,
    /// The bytes of it that the CPU can reach.
    pub visible: u64,
    /// The time of its last use.
    used: u64,
}

/// A process and its allocations. All lists are in the order of allocation.
#[derive(Clone, Debug)]
pub struct Held {
    pub process: Process,
    pub buffers: Vec<Id>,
    pub frames: VecDeque<Id>,
    address_space: Vec<Id>,
    /// The buffers of each of its frames.
    pub frame_wants: Vec<Want>,
}

/// All allocations.
#[derive(Default)]
pub struct Population {
    buffers: BTreeMap<Id, Buffer>,
    /// The allocations that can be evicted, by the time of their last use.
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

    /// The oldest allocation.
    pub fn first(&self) -> Option<Id> {
        self.buffers.keys().next().copied()
    }

    /// The allocations that can be evicted, the least recently used first.
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

    /// Ends a process. Returns its allocations in the order in which they are freed: its buffers as
    /// they were allocated, then its address space.
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

    /// Whether a process is alive; true without an owner.
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

    /// Records a use.
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

    /// The least recently used allocation. With `visible`, only one that the CPU can reach.
    pub fn victim(&self, visible: bool) -> Option<Id> {
        self.evictable().find(|id| !visible || self.buffers.get(id).is_some_and(|b| b.visible > 0))
    }
}
