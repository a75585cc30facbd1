//! Allocators of runs, buddies, real memory and scaled units: correct ones, and with faults.

use std::alloc::Layout;
use std::ptr::NonNull;

use gpu_buddy::diff::adapter::{HeapAllocator, RunAllocator};

/// First fit over a sorted list of free runs.
pub struct FreeList<const FAULT: u32> {
    free: Vec<(u64, u64)>,
    failed: bool,
}

pub const NONE: u32 = 0;
pub const NEVER_MERGES: u32 = 1;
pub const MERGES_BACKWARDS_ONLY: u32 = 2;
pub const MERGES_ACROSS_GAPS: u32 = 3;
pub const LAST_MATCH_ONLY: u32 = 4;
pub const LEAVES_ONE_OUT: u32 = 5;
pub const NEVER_EXACT: u32 = 6;
pub const OUTSIDE: u32 = 7;
pub const PANICS: u32 = 8;
pub const MISCOUNTS: u32 = 9;
pub const FAILS_FOR_GOOD: u32 = 10;
pub const UNALIGNED: u32 = 11;
pub const PART_TOO_LONG: u32 = 12;
pub const ONE_TOO_FAR: u32 = 13;
pub const ABSURD: u32 = 14;

impl<const FAULT: u32> RunAllocator for FreeList<FAULT> {
    const ALIGNS: bool = true;
    const TAKES_PARTS: bool = true;

    fn new(units: u64) -> Option<Self> {
        Some(Self { free: vec![(0, units)], failed: false })
    }

    fn get(&mut self, units: u64) -> Option<u64> {
        self.get_aligned(units, 1)
    }

    fn get_aligned(&mut self, units: u64, align: u64) -> Option<u64> {
        let align = if FAULT == UNALIGNED { 1 } else { align };
        let place = |&(start, length): &(u64, u64)| {
            let at = start.next_multiple_of(align);
            let needed = at - start + units;
            let fits = if FAULT == NEVER_EXACT { needed < length } else { needed <= length };
            fits.then_some(at)
        };
        let fits = self.free.iter().rposition(|run| place(run).is_some());
        let first = self.free.iter().position(|run| place(run).is_some());
        let index = match FAULT {
            LAST_MATCH_ONLY => fits.filter(|&index| index + 1 == self.free.len()),
            FAILS_FOR_GOOD if self.failed => None,
            _ => first,
        };
        self.failed |= index.is_none();
        let (start, length) = self.free[index?];
        let at = place(&(start, length))?;
        let tail = (at + units, start + length - at - units);
        let left = [(start, at - start), tail].into_iter().filter(|run| run.1 > 0);
        self.free.splice(index?..=index?, left);
        match FAULT {
            OUTSIDE if units > 3 => Some(at + (1 << 40)),
            ABSURD if units > 3 => Some(u64::MAX - 1),
            ONE_TOO_FAR if units == 5 => Some(at + 1),
            _ => Some(at),
        }
    }

    fn put(&mut self, start: u64, units: u64) {
        assert!(FAULT != PANICS || units != 3, "three");
        let units = if FAULT == LEAVES_ONE_OUT && units > 7 { units - 1 } else { units };
        let units = if FAULT == PART_TOO_LONG && units == 2 { 3 } else { units };
        let index = self.free.partition_point(|run| run.0 < start);
        self.free.insert(index, (start, units));
        if FAULT == NEVER_MERGES {
            return;
        }
        let gap = if FAULT == MERGES_ACROSS_GAPS { 1 } else { 0 };
        let joins = |a: (u64, u64), b: (u64, u64)| b.0.saturating_sub(a.0 + a.1) <= gap;
        if FAULT != MERGES_BACKWARDS_ONLY
            && let Some(&next) = self.free.get(index + 1)
            && joins(self.free[index], next)
        {
            self.free[index].1 = next.0 + next.1 - start;
            self.free.remove(index + 1);
        }
        if index > 0 && joins(self.free[index - 1], self.free[index]) {
            let (start, units) = self.free.remove(index);
            self.free[index - 1].1 = start + units - self.free[index - 1].0;
        }
    }

    fn free_units(&self) -> Option<u64> {
        let units: u64 = self.free.iter().map(|run| run.1).sum();
        Some(if FAULT == MISCOUNTS && self.free.len() > 3 { units + 1 } else { units })
    }
}

/// A buddy allocator over one free list by order.
pub struct Buddy<const FAULT: u32> {
    free: Vec<Vec<u64>>,
}

impl<const FAULT: u32> RunAllocator for Buddy<FAULT> {
    const IS_BUDDY: bool = true;

    fn new(units: u64) -> Option<Self> {
        let mut free = vec![Vec::new(); 64];
        let mut start = 0;
        for order in (0..64).rev().filter(|order| units >> order & 1 == 1) {
            free[order].push(start);
            start += 1 << order;
        }
        Some(Self { free })
    }

    fn get(&mut self, units: u64) -> Option<u64> {
        let order = units.ilog2() as usize;
        let from = (order..64).find(|&order| !self.free[order].is_empty())?;
        let start = self.free[from].pop()?;
        for order in order..from {
            self.free[order].push(start + (1 << order));
        }
        let shift = u64::from(FAULT == UNALIGNED && units == 2);
        Some(start + shift)
    }

    fn put(&mut self, start: u64, units: u64) {
        let order = units.ilog2() as usize;
        let buddy = self.free[order].iter().position(|&other| other == start ^ units);
        match buddy {
            Some(index) if FAULT != NEVER_MERGES => {
                self.free[order].swap_remove(index);
                self.put(start & !units, 2 * units);
            }
            _ => self.free[order].push(start),
        }
    }
}

/// Real memory: a list of runs, with a header of 16 bytes in front of each.
pub struct Bump<const FAULT: u32> {
    start: NonNull<u8>,
    runs: FreeList<NONE>,
}

// SAFETY: it hands out what is free in its list, which lies in its region. The faults do
// not, and write where nobody else reads.
unsafe impl<const FAULT: u32> HeapAllocator for Bump<FAULT> {
    const HEADER: usize = 16;
    const TRAILER: usize = 8;
    const MARGIN: usize = 128;

    unsafe fn new(start: NonNull<u8>, size: usize) -> Option<Self> {
        let runs = FreeList::new(((size - 2 * Self::MARGIN) / Self::UNIT) as u64)?;
        Some(Self { start, runs })
    }

    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        assert_eq!(layout.align(), 16);
        let units = (layout.size() + Self::HEADER + Self::TRAILER) / Self::UNIT;
        let start = self.runs.get(units as u64)?;
        let at = match FAULT {
            OUTSIDE => Self::MARGIN - Self::UNIT,
            UNALIGNED if units == 1 => Self::MARGIN + 16,
            _ => Self::MARGIN,
        };
        // SAFETY: in the region, of which the margins are a part.
        let run = unsafe { self.start.add(at + start as usize * Self::UNIT) };
        if FAULT == PANICS && start > 0 {
            // SAFETY: the run before this one is in the region.
            unsafe { run.sub(Self::TRAILER + 1).write(0) };
        }
        // SAFETY: a run is longer than its header.
        Some(unsafe { run.add(Self::HEADER) })
    }

    unsafe fn deallocate(&mut self, memory: NonNull<u8>, layout: Layout) {
        let offset = memory.addr().get() - self.start.addr().get();
        let start = (offset - Self::HEADER - Self::MARGIN) / Self::UNIT;
        let units = (layout.size() + Self::HEADER + Self::TRAILER) / Self::UNIT;
        self.runs.put(start as u64, units as u64);
    }
}

/// Units of an eighth of a chunk, in size classes: other sizes than powers of two are rounded up.
pub struct Scaled(FreeList<NONE>);

impl RunAllocator for Scaled {
    const UNITS_PER_CHUNK: u64 = 8;

    fn new(units: u64) -> Option<Self> {
        assert!(units.is_multiple_of(8));
        FreeList::new(units).map(Self)
    }

    fn get(&mut self, units: u64) -> Option<u64> {
        assert!(units.is_multiple_of(8) && units.is_power_of_two(), "{units}");
        self.0.get_aligned(units, 8)
    }

    fn put(&mut self, start: u64, units: u64) {
        self.0.put(start, units);
    }

    fn size_class(units: u64) -> u64 {
        1 << units.ilog2()
    }
}
