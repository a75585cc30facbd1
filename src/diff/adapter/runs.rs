//! Answers a kernel's requests with runs.

use crate::diff::{Block, Capabilities, Capability, Implementation, Operation, Space};
use crate::sizes::SZ_4K;
use crate::{AllocRequest, Errno, GpuBuddyAllocFlag};

use super::RunAllocator;

/// Makes a [`RunAllocator`] an [`Implementation`].
///
/// It refuses invalid arguments as `gpu_buddy_alloc_blocks()` does, answers a plain request with as
/// few runs as possible, undoes a request that fails half-way, and reports each run as the blocks
/// in it.
#[derive(Clone, Debug)]
pub struct Runs<A> {
    allocator: A,
    space: Space,
    /// The number of free units.
    free: u64,
}

/// A number of adjacent units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// The first unit.
    pub start: u64,
    /// The number of units.
    pub units: u64,
}

impl<A: RunAllocator> Runs<A> {
    const UNITS_PER_CHUNK: u64 = {
        let units = A::UNITS_PER_CHUNK;
        assert!(
            units.is_power_of_two() && units <= SZ_4K as u64,
            "must be a power of two up to 4096"
        );
        units
    };

    /// The size of a unit in bytes.
    fn unit(&self) -> u64 {
        self.space.chunk_size / Self::UNITS_PER_CHUNK
    }

    /// The largest run of up to `units` that can be requested: a multiple of `align`.
    fn largest_piece(units: u64, align: u64) -> u64 {
        let mut units = units;
        while units > 0 {
            let class = if A::IS_BUDDY { 1 << units.ilog2() } else { A::size_class(units) };
            let piece = class / align * align;
            if piece == units {
                break;
            }
            units = piece.min(units - 1);
        }
        units
    }

    /// Allocates `units` units. On failure, `runs` has what was allocated.
    fn take(&mut self, units: u64, align: u64, single: bool, runs: &mut Vec<Run>) -> Option<()> {
        let (mut missing, mut most) = (units, units);
        while missing > 0 {
            let units = Self::largest_piece(most.min(missing), align);
            if units == 0 || (single && units < missing) {
                return None;
            }
            let run = if align > Self::UNITS_PER_CHUNK {
                self.allocator.get_aligned(units, align)
            } else {
                self.allocator.get(units)
            };
            match run {
                Some(start) => {
                    runs.push(Run { start, units });
                    self.free = self.free.saturating_sub(units);
                    missing -= units;
                }
                None => most = units / 2,
            }
        }
        Some(())
    }

    fn put(&mut self, Run { start, units }: Run) {
        self.allocator.put(start, units);
        self.free += units;
    }

    /// Frees what is left of a run before or after another one.
    fn put_part(&mut self, run: Run) {
        for part in Self::parts(run) {
            self.put(part);
        }
    }

    /// The runs that a part of a run becomes. A buddy allocator has only blocks.
    fn parts(run: Run) -> impl Iterator<Item = Run> {
        let blocks = A::IS_BUDDY.then(|| Self::aligned_parts(run));
        let whole = Some(run).filter(|run| !A::IS_BUDDY && run.units > 0);
        blocks.into_iter().flatten().chain(whole)
    }

    /// A run as powers of two of chunks, each aligned to its size.
    fn aligned_parts(Run { start, units }: Run) -> impl Iterator<Item = Run> {
        let (mut start, mut left) = (start, units);
        core::iter::from_fn(move || {
            let chunk = start / Self::UNITS_PER_CHUNK;
            // Chunk 0 has 64 trailing zeros.
            let order = left.checked_ilog2()?.min(chunk.trailing_zeros() + Self::shift());
            let part = Run { start, units: 1 << order };
            start = start.saturating_add(part.units);
            left -= part.units;
            Some(part)
        })
    }

    fn shift() -> u32 {
        Self::UNITS_PER_CHUNK.ilog2()
    }

    fn blocks_of(&self, run: Run) -> impl Iterator<Item = Block> {
        let unit = self.unit();
        // A buddy allocator returns one block, and is judged by it wherever it is.
        let one = Some(run).filter(|_| A::IS_BUDDY);
        let parts = (!A::IS_BUDDY).then(|| Self::aligned_parts(run));
        one.into_iter().chain(parts.into_iter().flatten()).map(move |part| Block {
            offset: part.start.saturating_mul(unit),
            order: part.units.ilog2() - Self::shift(),
            clear: false,
        })
    }
}

impl<A: RunAllocator> Implementation for Runs<A> {
    type Allocation = Vec<Run>;

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = if A::IS_BUDDY {
            Capability::Alignment | Capability::FreeBlock
        } else {
            Capability::Contiguous.into()
        };
        if A::ALIGNS {
            capabilities |= Capability::Alignment;
        }
        if A::TAKES_PARTS {
            capabilities |= Capability::FreeBlock | Capability::Trim | Capability::TrimStart;
        }
        capabilities
    }

    fn declines(&self, operation: &Operation) -> Option<&'static str> {
        let Operation::Alloc { request, .. } = operation else { return None };
        let contiguous = request.flags.contains(GpuBuddyAllocFlag::Contiguous);
        let units = (request.size / self.space.chunk_size).saturating_mul(Self::UNITS_PER_CHUNK);
        (contiguous && Self::largest_piece(units, Self::UNITS_PER_CHUNK) != units)
            .then_some("the allocator rounds this size up")
    }

    fn create(space: Space) -> Result<Self, Errno> {
        if !space.is_valid() {
            return Err(Errno::EINVAL);
        }
        let Space { size, chunk_size, .. } = space;
        let space = Space { size: size - size % chunk_size, ..space };
        let units = (size / chunk_size).checked_mul(Self::UNITS_PER_CHUNK);
        let new = |units| Some(Self { allocator: A::new(units)?, space, free: units });
        units.and_then(new).ok_or(Errno::EOPNOTSUPP)
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<Vec<Run>, Errno> {
        let AllocRequest { size, min_block_size, flags, .. } = *request;
        let Space { size: most, chunk_size, .. } = self.space;
        let valid = (1..=most).contains(&size)
            && min_block_size >= chunk_size
            && min_block_size.is_power_of_two()
            && size.is_multiple_of(min_block_size);
        if !valid {
            return Err(Errno::EINVAL);
        }
        let units = |bytes: u64| bytes / chunk_size * Self::UNITS_PER_CHUNK;
        let single = flags.contains(GpuBuddyAllocFlag::Contiguous);
        let mut runs = Vec::new();
        if self.take(units(size), units(min_block_size), single, &mut runs).is_none() {
            self.free(runs, false);
            return Err(Errno::ENOSPC);
        }
        Ok(runs)
    }

    fn blocks(&self, allocation: &Vec<Run>, blocks: &mut Vec<Block>) {
        blocks.extend(allocation.iter().flat_map(|&run| self.blocks_of(run)));
    }

    fn free(&mut self, allocation: Vec<Run>, _cleared: bool) {
        for run in allocation {
            self.put(run);
        }
    }

    fn free_block(&mut self, allocation: &mut Vec<Run>, index: usize, _cleared: bool) {
        let mut before = 0;
        for position in 0..allocation.len() {
            let run = allocation[position];
            let count = self.blocks_of(run).count();
            if index < before + count {
                let block = if A::IS_BUDDY {
                    run
                } else {
                    Self::aligned_parts(run).nth(index - before).unwrap_or(run)
                };
                let head = Run { start: run.start, units: block.start - run.start };
                let tail = Run {
                    start: block.start + block.units,
                    units: run.units - head.units - block.units,
                };
                self.put(block);
                let left = [head, tail].into_iter().filter(|part| part.units > 0);
                allocation.splice(position..=position, left);
                return;
            }
            before += count;
        }
    }

    /// As `gpu_buddy_block_trim()` does.
    fn trim(
        &mut self,
        allocation: &mut Vec<Run>,
        start: Option<u64>,
        new_size: u64,
    ) -> Result<(), Errno> {
        let [run] = allocation[..] else { return Err(Errno::EINVAL) };
        let unit = self.unit();
        let (offset, size) = (run.start * unit, run.units * unit);
        let is_multiple = |bytes: u64| bytes.is_multiple_of(self.space.chunk_size);
        if self.blocks_of(run).count() != 1
            || new_size == 0
            || new_size > size
            || !is_multiple(new_size)
        {
            return Err(Errno::EINVAL);
        }
        if new_size == size {
            return Ok(());
        }
        let start = start.unwrap_or(offset);
        let head = start.checked_sub(offset).ok_or(Errno::EINVAL)?;
        if !is_multiple(start) || head > size - new_size {
            return Err(Errno::EINVAL);
        }
        let (start, units) = (start / unit, new_size / unit);
        let end = start + units;
        self.put_part(Run { start: run.start, units: start - run.start });
        self.put_part(Run { start: end, units: run.start + run.units - end });
        *allocation = Self::parts(Run { start, units }).collect();
        Ok(())
    }

    fn avail(&self) -> u64 {
        self.allocator.free_units().unwrap_or(self.free).saturating_mul(self.unit())
    }
}
