//! Allocators of runs: correct ones pass, of every kind, and each planted fault is found.

use std::alloc::Layout;
use std::ptr::NonNull;

use gpu_buddy::diff::adapter::{self, Heap, HeapAllocator, RunAllocator, Runs};
use gpu_buddy::diff::{Block, Capability, Comparison, Implementation, Settings, Space, torture};
use gpu_buddy::{AllocRequest, Errno, GpuBuddyAllocFlag};
use rstest::rstest;

fn run<S: Implementation>() -> (torture::Report, Option<Box<torture::Failure>>) {
    let settings = Settings { comparison: Comparison::Contract, ..Settings::default() };
    let options = torture::Options { settings, operations: 20_000, ..torture::Options::default() };
    torture::run_alone::<S>(&options, |_| true)
}

/// First fit over a sorted list of free runs.
struct FreeList<const FAULT: u32> {
    free: Vec<(u64, u64)>,
    failed: bool,
}

const NONE: u32 = 0;
const NEVER_MERGES: u32 = 1;
const MERGES_BACKWARDS_ONLY: u32 = 2;
const MERGES_ACROSS_GAPS: u32 = 3;
const LAST_MATCH_ONLY: u32 = 4;
const LEAVES_ONE_OUT: u32 = 5;
const NEVER_EXACT: u32 = 6;
const OUTSIDE: u32 = 7;
const PANICS: u32 = 8;
const MISCOUNTS: u32 = 9;
const FAILS_FOR_GOOD: u32 = 10;
const UNALIGNED: u32 = 11;
const PART_TOO_LONG: u32 = 12;
const ONE_TOO_FAR: u32 = 13;
const ABSURD: u32 = 14;

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

#[test]
fn a_correct_allocator_passes() {
    let (report, failure) = run::<Runs<FreeList<NONE>>>();
    assert!(failure.is_none(), "{}", failure.unwrap());
    assert_eq!(report.operations, 20_000);
    let compared = Capability::Contiguous | Capability::Alignment | Capability::Trim;
    assert!(!report.not_compared.intersects(compared | Capability::FreeBlock), "{report}");
}

/// `promise` is the one that breaks; the shrunk trace has `most` operations at most.
#[rstest]
#[case::never_merges(run::<Runs<FreeList<NEVER_MERGES>>>, "room", 5)]
#[case::merges_backwards_only(run::<Runs<FreeList<MERGES_BACKWARDS_ONLY>>>, "room", 5)]
#[case::merges_across_gaps(run::<Runs<FreeList<MERGES_ACROSS_GAPS>>>, "avail", 6)]
#[case::last_match_only(run::<Runs<FreeList<LAST_MATCH_ONLY>>>, "room", 5)]
#[case::leaves_one_out(run::<Runs<FreeList<LEAVES_ONE_OUT>>>, "avail", 3)]
#[case::never_exact(run::<Runs<FreeList<NEVER_EXACT>>>, "room", 3)]
#[case::outside(run::<Runs<FreeList<OUTSIDE>>>, "in-space", 2)]
#[case::absurd(run::<Runs<FreeList<ABSURD>>>, "block-shape", 2)]
#[case::panics(run::<Runs<FreeList<PANICS>>>, "no-panic", 3)]
#[case::miscounts(run::<Runs<FreeList<MISCOUNTS>>>, "avail", 10)]
#[case::fails_for_good(run::<Runs<FreeList<FAILS_FOR_GOOD>>>, "room", 5)]
#[case::unaligned(run::<Runs<FreeList<UNALIGNED>>>, "aligned", 4)]
#[case::part_too_long(run::<Runs<FreeList<PART_TOO_LONG>>>, "avail", 4)]
#[case::one_too_far(run::<Runs<FreeList<ONE_TOO_FAR>>>, "avail", 2)]
#[case::buddy_unaligned(run::<Runs<Buddy<UNALIGNED>>>, "block-shape", 4)]
#[case::buddy_never_merges(run::<Runs<Buddy<NEVER_MERGES>>>, "room", 5)]
#[case::heap_scribbles(run::<Runs<Heap<Bump<PANICS>>>>, "no-panic", 5)]
#[case::heap_outside(run::<Runs<Heap<Bump<OUTSIDE>>>>, "no-panic", 3)]
#[case::heap_unaligned(run::<Runs<Heap<Bump<UNALIGNED>>>>, "no-panic", 3)]
fn a_fault_is_found(
    #[case] run: fn() -> (torture::Report, Option<Box<torture::Failure>>),
    #[case] promise: &str,
    #[case] most: usize,
) {
    let failure = run().1.expect("it is found");
    let text = failure.to_string();
    assert!(text.starts_with(&format!("{promise}: ")), "{text}");
    assert!(failure.trace.operations.len() <= most, "{text}");
}

/// A buddy allocator over one free list by order.
struct Buddy<const FAULT: u32> {
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

#[test]
fn a_correct_buddy_allocator_passes() {
    let (report, failure) = run::<Runs<Buddy<NONE>>>();
    assert!(failure.is_none(), "{}", failure.unwrap());
    let compared = Capability::Alignment | Capability::FreeBlock;
    assert!(!report.not_compared.intersects(compared), "{report}");
}

/// Real memory: a list of runs, with a header of 16 bytes in front of each.
struct Bump<const FAULT: u32> {
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

#[test]
fn a_correct_heap_passes() {
    let (report, failure) = run::<Runs<Heap<Bump<NONE>>>>();
    assert!(failure.is_none(), "{}", failure.unwrap());
    // A space of 2^63 bytes has more units than there is memory.
    assert!(report.declined > 0 && report.allocators > 10, "{report}");
}

/// Units of an eighth of a chunk, in classes: what is no power of two is rounded up.
struct Scaled(FreeList<NONE>);

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

#[test]
fn a_scaled_allocator_with_size_classes_passes() {
    let (report, failure) = run::<Runs<Scaled>>();
    assert!(failure.is_none(), "{}", failure.unwrap());
    assert!(report.allocators > 10, "{report}");
}

#[test]
fn requests_are_made_of_runs() -> Result<(), Errno> {
    const CHUNK: u64 = 4 << 10;
    let mut runs = Runs::<FreeList<NONE>>::create(Space::new(12 * CHUNK + 5, CHUNK))?;
    assert_eq!(runs.avail(), 12 * CHUNK);
    let request = |chunks: u64| AllocRequest {
        size: chunks * CHUNK,
        min_block_size: CHUNK,
        ..AllocRequest::default()
    };
    let [a, b, c] = [3, 3, 3].map(|chunks| runs.alloc(&request(chunks)));
    let (mut a, b, _c) = (a?, b?, c?);
    let blocks = |runs: &Runs<_>, allocation: &Vec<_>| {
        let mut blocks = Vec::new();
        runs.blocks(allocation, &mut blocks);
        blocks
            .into_iter()
            .map(|Block { offset, order, .. }| (offset / CHUNK, order))
            .collect::<Vec<_>>()
    };
    assert_eq!(blocks(&runs, &a), [(0, 1), (2, 0)]);
    assert_eq!(blocks(&runs, &b), [(3, 0), (4, 1)]);

    // 3 chunks in a row are free, at the end, and 3 in the middle.
    runs.free(b, false);
    let contiguous = AllocRequest { flags: GpuBuddyAllocFlag::Contiguous.into(), ..request(4) };
    assert_eq!(runs.alloc(&contiguous).err(), Some(Errno::ENOSPC));
    let d = runs.alloc(&request(6))?;
    assert_eq!((d.len(), runs.avail()), (2, 0));
    assert_eq!(runs.alloc(&request(1)).err(), Some(Errno::ENOSPC));
    runs.free(d, false);

    runs.free_block(&mut a, 0, false);
    assert_eq!((blocks(&runs, &a), runs.avail()), (vec![(2, 0)], 8 * CHUNK));
    for wrong in [0, 13] {
        assert_eq!(runs.alloc(&request(wrong)).err(), Some(Errno::EINVAL));
    }
    let odd = AllocRequest { min_block_size: 3 * CHUNK, ..request(3) };
    assert_eq!(runs.alloc(&odd).err(), Some(Errno::EINVAL));

    let mut e = runs.alloc(&AllocRequest { min_block_size: 2 * CHUNK, ..request(2) })?;
    assert_eq!(blocks(&runs, &e), [(0, 1)]);
    assert_eq!(runs.trim(&mut e, Some(2 * CHUNK), CHUNK), Err(Errno::EINVAL));
    assert_eq!(runs.trim(&mut e, Some(CHUNK), 0), Err(Errno::EINVAL));
    runs.trim(&mut e, Some(CHUNK), CHUNK)?;
    assert_eq!((blocks(&runs, &e), runs.avail()), (vec![(1, 0)], 7 * CHUNK));
    Ok(())
}

#[test]
fn spaces_without_an_allocator() {
    let create = |size, chunk_size| {
        Runs::<Scaled>::create(Space::new(size, chunk_size)).map(|_| ()).unwrap_err()
    };
    assert_eq!(create(4096, 1000), Errno::EINVAL);
    assert_eq!(create(4095, 4096), Errno::EINVAL);
    assert_eq!(create(4096, 0), Errno::EINVAL);
    // It cannot have so many units.
    let heap = Runs::<Heap<Bump<NONE>>>::create(Space::new(1 << 40, 4096));
    assert_eq!(heap.map(|_| ()), Err(Errno::EOPNOTSUPP));
}

/// The one line of a user's test: it returns what was done, or fails with the trace.
#[test]
fn check_is_one_line() {
    let options = torture::Options { operations: 5_000, ..torture::Options::default() };
    let report = adapter::check::<FreeList<NONE>>(&options);
    assert!(report.operations >= 5_000, "{report}");

    let panicked =
        std::panic::catch_unwind(|| adapter::check::<FreeList<LAST_MATCH_ONLY>>(&options));
    let payload = panicked.expect_err("it is found");
    let text = payload.downcast::<String>().expect("a text");
    for line in ["room: there is room in one piece at ", "promised: ENOSPC means", "\nspace size="]
    {
        assert!(text.contains(line), "no {line:?} in: {text}");
    }
    assert!(text.lines().count() <= 15, "{text}");
}
