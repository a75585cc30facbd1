//! Calls of the C whose cost grows with the number of blocks.

use gpu_buddy::diff::{Id, Implementation, KernelC, Operation, Space, Trace};
use gpu_buddy::{AllocRequest, GpuBuddyAllocFlag};

use crate::timer::Timer;

const CHUNK: u64 = 4 << 10;

/// A call that walks.
pub struct Walk {
    /// A short name, also of its trace.
    pub name: &'static str,
    /// The call, and the state before it.
    pub call: &'static str,
    /// The functions of the C that walk.
    pub functions: &'static str,
    /// The operations before it and the call, with this many holes or blocks.
    make: fn(u64) -> Trace,
}

impl Walk {
    /// All.
    pub const ALL: &[Self] = &[
        Self {
            name: "range-of-holes",
            call: "A request for n chunks in a range with n holes of one chunk",
            functions: "`__gpu_buddy_alloc_range_bias()` searches for each chunk from the roots on",
            make: range_of_holes,
        },
        Self {
            name: "range-behind-blocks",
            call: "A request for one chunk in a range whose first n chunks are allocated",
            functions: "`__alloc_range_bias()` visits each block of the range",
            make: range_behind_blocks,
        },
        Self {
            name: "contiguous-in-holes",
            call: "A contiguous request for 3 chunks among n holes of 2 chunks",
            functions: "`__alloc_contig_try_harder()` tries each hole, from the roots on",
            make: contiguous_in_holes,
        },
        Self {
            name: "merge-by-force",
            call: "A request for the whole space, in which n cleared chunks did not merge",
            functions: "`__force_merge()` merges them all",
            make: merge_by_force,
        },
    ];

    /// The operations; the last one is the call.
    #[must_use]
    pub fn trace(&self, holes: u64) -> Trace {
        (self.make)(holes)
    }

    /// The steps and the nanoseconds of the call.
    #[must_use]
    pub fn cost(&self, holes: u64) -> Option<(u64, f64)> {
        let mut last = None;
        replay(&self.trace(holes), |_, steps, nanoseconds| last = Some((steps, nanoseconds)))?;
        last
    }
}

/// Replays a trace of allocations and frees. Calls `each` with the index, the steps and the
/// nanoseconds of each call. `None` if the C cannot be called, or its memory runs out.
fn replay(trace: &Trace, mut each: impl FnMut(usize, u64, f64)) -> Option<()> {
    let mut kernel = KernelC::create(trace.space).ok()?;
    let mut allocations = Vec::new();
    for (index, operation) in trace.operations.iter().enumerate() {
        let started = Timer::start();
        match *operation {
            Operation::Alloc { id, ref request } => {
                let result = kernel.alloc(request);
                let nanoseconds = started.nanoseconds();
                let report = kernel.report();
                if report.faulted {
                    return None;
                }
                each(index, report.cost?, nanoseconds);
                let id = id as usize;
                allocations.resize_with(allocations.len().max(id + 1), || None);
                allocations[id] = result.ok();
            }
            Operation::Free { id, cleared } => {
                let allocation = allocations.get_mut(id as usize)?.take()?;
                let started = Timer::start();
                kernel.free(allocation, cleared);
                let nanoseconds = started.nanoseconds();
                each(index, kernel.report().cost?, nanoseconds);
            }
            _ => return None,
        }
    }
    Some(())
}

fn request(size: u64, end: u64) -> AllocRequest {
    AllocRequest { size, end, min_block_size: CHUNK, ..AllocRequest::default() }
}

fn exact(start: u64, size: u64) -> AllocRequest {
    AllocRequest { start, range: true, ..request(size, start + size) }
}

/// Allocates every second block of `size` bytes, up to `holes` of them, and then makes a request.
fn holes(holes: u64, size: u64, last: AllocRequest) -> Trace {
    let alloc = |id, request| Operation::Alloc { id, request };
    let blocks = (0..holes).map(|it| alloc(it as Id, exact(2 * size * it, size)));
    let operations = blocks.chain([alloc(holes as Id, last)]).collect();
    Trace { space: Space::new(2 * size * holes, CHUNK), operations }
}

fn range_of_holes(count: u64) -> Trace {
    let last = AllocRequest { range: true, ..request(count * CHUNK, 2 * count * CHUNK) };
    holes(count, CHUNK, last)
}

fn range_behind_blocks(count: u64) -> Trace {
    let end = 2 * count * CHUNK;
    let alloc = |id, request| Operation::Alloc { id, request };
    let blocks = (0..count).map(|it| alloc(it as Id, exact(CHUNK * it, CHUNK)));
    let last = AllocRequest { range: true, ..request(CHUNK, end - CHUNK) };
    let operations = blocks.chain([alloc(count as Id, last)]).collect();
    Trace { space: Space::new(end, CHUNK), operations }
}

fn contiguous_in_holes(count: u64) -> Trace {
    let flags = GpuBuddyAllocFlag::Contiguous.into();
    holes(count, 2 * CHUNK, AllocRequest { flags, ..request(3 * CHUNK, 4 * count * CHUNK) })
}

fn merge_by_force(count: u64) -> Trace {
    let size = 2 * count * CHUNK;
    let whole = AllocRequest { min_block_size: size, ..request(size, size) };
    let mut trace = holes(count, CHUNK, whole);
    let last = trace.operations.len() - 1;
    let free = |id| Operation::Free { id: id as Id, cleared: true };
    trace.operations.splice(last..last, (0..count).map(free));
    trace
}
