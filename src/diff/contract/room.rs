//! Whether there is room for a request.
//!
//! The documentation does not say by how much a request may exceed its size, above all how it is
//! rounded up. So only room that is enough under every reading counts.

use core::ops::Range;

use crate::diff::Space;
use crate::{AllocRequest, GpuBuddyAllocFlag};

use super::Contract;
use super::breach::Detail;
use super::ledger::Occupancy;

/// What a request with valid arguments needs, in chunks.
pub(super) struct Need {
    within: Range<u64>,
    align: u64,
    kind: Kind,
    chunk_size: u64,
}

enum Kind {
    /// One free range of this length, from an aligned chunk on.
    Run(u64),
    /// This many free ranges of `align` chunks, anywhere.
    Units(u64),
}

/// Why a request is invalid, whatever the state of the allocator.
pub(super) fn invalid(request: &AllocRequest, space: Space) -> Option<&'static str> {
    let AllocRequest { start, end, size, min_block_size, range, .. } = *request;
    let is_multiple = |bytes: u64| bytes.is_multiple_of(space.chunk_size);
    if size == 0 || !is_multiple(size) {
        Some("its size is not a positive multiple of the chunk size")
    } else if min_block_size < space.chunk_size || !min_block_size.is_power_of_two() {
        Some("min_block_size is not a power of two, or is below the chunk size")
    } else if range && !(is_multiple(start) && is_multiple(end)) {
        Some("a bound of its range is not a multiple of the chunk size")
    } else if range && end > space.size {
        Some("its range ends beyond the space")
    } else {
        None
    }
}

impl Need {
    /// `None` if the arguments are not certainly valid.
    pub fn of(request: &AllocRequest, space: Space) -> Option<Self> {
        let AllocRequest { size, min_block_size, .. } = *request;
        let chunk_size = space.chunk_size;
        let bounds = if request.range { request.start..request.end } else { 0..space.size };
        let is_multiple = |bytes: u64| bytes.is_multiple_of(chunk_size);
        let valid = size >= chunk_size
            && min_block_size >= chunk_size
            && min_block_size.is_power_of_two()
            && [size, bounds.start, bounds.end].into_iter().all(is_multiple)
            && bounds.start < bounds.end
            && bounds.end <= space.size
            && size <= bounds.end - bounds.start;
        if !valid {
            return None;
        }
        let exact = request.range && bounds.end - bounds.start == size;
        let contiguous = request.flags.contains(GpuBuddyAllocFlag::Contiguous);
        let kind = if exact {
            // Both ends must be aligned, to be valid under every reading.
            if !(bounds.start | bounds.end).is_multiple_of(min_block_size) {
                return None;
            }
            Kind::Run(size / chunk_size)
        } else if contiguous {
            // Without trimming, it takes the next power of two.
            let trimmed = !request.flags.contains(GpuBuddyAllocFlag::TrimDisable);
            let length = if trimmed { size } else { size.checked_next_power_of_two()? };
            Kind::Run(length / chunk_size)
        } else if size < min_block_size && size.is_power_of_two() {
            Kind::Run(size / chunk_size)
        } else {
            Kind::Units(size.div_ceil(min_block_size))
        };
        let within = bounds.start / chunk_size..bounds.end / chunk_size;
        Some(Self { within, align: min_block_size / chunk_size, kind, chunk_size })
    }

    /// The room in an empty space.
    pub fn in_empty_space(&self) -> Option<Detail> {
        let mut search = Search { need: self, units: 0, found: None };
        search.look_at(self.within.clone());
        search.found
    }

    /// The room besides what is allocated.
    pub fn beside(&self, blocks: &Occupancy) -> Option<Detail> {
        if let Kind::Run(length) = self.kind
            && blocks.has_no_run(self.within.clone(), length, self.align)
        {
            return None;
        }
        let mut search = Search { need: self, units: 0, found: None };
        blocks.free_runs(self.within.clone(), |run| search.look_at(run));
        search.found
    }
}

struct Search<'a> {
    need: &'a Need,
    /// Units found so far.
    units: u64,
    found: Option<Detail>,
}

impl Search<'_> {
    /// Looks at the next free run. Returns false when the search is over.
    fn look_at(&mut self, run: Range<u64>) -> bool {
        let Need { align, chunk_size, .. } = *self.need;
        let aligned = |align| run.start.checked_next_multiple_of(align).filter(|&at| at < run.end);
        let Some(start) = aligned(align) else { return true };
        match self.need.kind {
            Kind::Run(length) => {
                if run.end - start < length {
                    return true;
                }
                // Prefer a place where a single block fits.
                let size = length.next_power_of_two();
                let whole = aligned(size.max(align)).filter(|at| run.end - at >= size);
                if whole.is_some() || self.found.is_none() {
                    let offset = whole.unwrap_or(start) * chunk_size;
                    self.found = Some(Detail::RoomAt { offset, block: whole.is_some() });
                }
                whole.is_none()
            }
            Kind::Units(units) => {
                self.units += (run.end - start) / align;
                if self.units >= units {
                    let bytes = self.units.saturating_mul(align * chunk_size);
                    self.found = Some(Detail::RoomFor(bytes));
                }
                self.found.is_none()
            }
        }
    }
}

impl Contract {
    /// The offset and size, in bytes, of the largest aligned block in which nothing is allocated. A
    /// request for it must find room.
    #[must_use]
    pub fn largest_free_block(&self) -> Option<(u64, u64)> {
        let mut largest = None;
        let mut least = 1;
        self.occupancy.free_runs(0..u64::MAX, |run| {
            // A run holds an aligned block of at least a quarter of its length, rounded up.
            let mut size = 1u64 << (run.end - run.start).ilog2();
            while size >= least {
                let start = run.start.checked_next_multiple_of(size);
                if let Some(start) = start.filter(|start| start.saturating_add(size) <= run.end) {
                    (largest, least) = (Some((start, size)), 2 * size);
                    break;
                }
                size /= 2;
            }
            true
        });
        let chunk_size = self.space.chunk_size;
        largest.map(|(start, size)| (start * chunk_size, size * chunk_size))
    }
}
