//! What an allocator loses to fragmentation: the same sequences of calls for each, and then the
//! failures, and the largest run that is left.

use std::collections::HashMap;

use gpu_buddy::GpuBuddyAllocFlag;
use gpu_buddy::diff::{Load, Operation, Space};

use crate::random::Random;
use crate::subject::{Kind, Want};

const CHUNK: u64 = 4 << 10;
const SEED: u64 = 1;

/// A subject, and how it is asked.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Which.
    pub kind: Kind,
    /// Whether a request may be filled from several blocks.
    pub in_pieces: bool,
}

impl Entry {
    /// Those whose placement differs: the safe API and the reference model place as the raw C.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let same_placement = [Kind::Safe, Kind::SafeTopDown, Kind::Reference];
        let kinds = Kind::ALL.iter().filter(|kind| !same_placement.contains(kind));
        let entries = kinds.flat_map(|&kind| {
            let ways = if kind.returns_pieces() { &[true, false][..] } else { &[false] };
            ways.iter().map(move |&in_pieces| Self { kind, in_pieces })
        });
        entries.collect()
    }

    /// The name in tables and plots.
    #[must_use]
    pub fn name(self) -> String {
        let name = self.kind.name();
        match self.kind {
            Kind::RawC | Kind::RawCTopDown => {
                let name = name.replace("raw C", "C");
                format!("{name}, {}", if self.in_pieces { "in pieces" } else { "contiguous" })
            }
            _ => name.to_owned(),
        }
    }
}

/// The same sequence of calls for every subject.
pub struct Sequence {
    /// Its name.
    pub name: String,
    space: Space,
    wants: Vec<Want>,
    slots: usize,
    /// The first want after the space has filled.
    measured: usize,
    /// How many allocations are asked for from then on.
    pub requests: u64,
}

/// What became of a subject.
#[derive(Clone, Copy)]
pub struct Left {
    /// How many allocations failed although their size was free, once the space had filled.
    pub failed: u64,
    /// The largest run that could still be allocated at the end, as a share of what was free.
    pub largest: f64,
}

impl Sequence {
    /// Sizes of 1 to 64 chunks, any number equally likely. Random ones are freed so that what is
    /// asked for is at most `percent` of 1 GiB.
    #[must_use]
    pub fn fill(percent: u64, requests: u64) -> Self {
        let space = Space::new(1 << 30, CHUNK);
        let most = space.size / 100 * percent;
        let mut random = Random::new(SEED);
        let (mut wants, mut live, mut empty, mut slots) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let (mut used, mut measured) = (0, None);
        let mut counted = 0;
        while counted < requests {
            let size = (1 + random.below(64)) * CHUNK;
            while used + size > most {
                measured.get_or_insert(wants.len());
                let (slot, size) = live.swap_remove(random.below(live.len() as u64) as usize);
                used -= size;
                empty.push(slot);
                wants.push(Want { slot, size: 0, align: CHUNK, contiguous: true });
            }
            let slot = empty.pop().unwrap_or_else(|| {
                slots += 1;
                slots - 1
            });
            live.push((slot, size));
            used += size;
            counted += u64::from(measured.is_some());
            wants.push(Want { slot, size, align: CHUNK, contiguous: true });
        }
        let (name, measured) = (format!("{percent} %"), measured.unwrap_or(0));
        Self { name, space, wants, slots: slots as usize, measured, requests }
    }

    /// The allocations and frees of a driver, without ranges and trims, which peers do not have.
    #[must_use]
    pub fn driver(load: Load, operations: u64) -> Self {
        let trace = load.trace(SEED, load.space(), operations);
        let (mut wants, mut live, mut empty) = (Vec::new(), HashMap::new(), Vec::new());
        let (mut slots, mut requests) = (0, 0);
        for operation in &trace.operations {
            match operation {
                Operation::Alloc { id, request } => {
                    let slot = empty.pop().unwrap_or_else(|| {
                        slots += 1;
                        slots - 1
                    });
                    live.insert(*id, slot);
                    requests += 1;
                    let contiguous = request.flags.contains(GpuBuddyAllocFlag::Contiguous);
                    let (size, align) = (request.size, request.min_block_size);
                    wants.push(Want { slot, size, align, contiguous });
                }
                Operation::Free { id, .. } => {
                    if let Some(slot) = live.remove(id) {
                        empty.push(slot);
                        wants.push(Want { slot, size: 0, align: CHUNK, contiguous: true });
                    }
                }
                _ => {}
            }
        }
        let (name, space) = (load.name().to_owned(), trace.space);
        Self { name, space, wants, slots: slots as usize, measured: 0, requests }
    }

    /// Runs it on a subject; `None` if it cannot manage the space.
    #[must_use]
    pub fn run(&self, entry: Entry) -> Option<Left> {
        // One more, to try sizes.
        let mut runner = entry.kind.start(self.space, self.slots + 1)?;
        let as_asked = |&want: &Want| match entry.in_pieces {
            // A driver needs some allocations in one run.
            true if self.measured > 0 => Want { contiguous: false, ..want },
            true => want,
            false => Want { contiguous: true, ..want },
        };
        let (mut held, mut free, mut failed) = (vec![0; self.slots], self.space.size, 0);
        for (index, want) in self.wants.iter().map(as_asked).enumerate() {
            let slot = &mut held[want.slot as usize];
            free += std::mem::take(slot);
            if runner.run(&[want]) == 0 {
                *slot = want.size;
                free -= want.size;
            } else if index >= self.measured {
                failed += u64::from(want.size <= free);
            }
        }
        let mut fits =
            |chunks: u64| chunks == 0 || runner.fits(chunks * CHUNK, CHUNK, self.slots as u32);
        let (mut least, mut most) = (0, self.space.size / CHUNK + 1);
        while most - least > 1 {
            let middle = least + (most - least) / 2;
            if fits(middle) { least = middle } else { most = middle }
        }
        Some(Left { failed, largest: (least * CHUNK) as f64 / free.max(1) as f64 })
    }
}
