//! The arguments of an allocation.

use crate::diff::{Capabilities, Capability, Space};
use crate::{AllocRequest, GpuBuddyAllocFlag};

use super::{Choices, Generator};

impl<C: Choices> Generator<C> {
    pub(super) fn request(&mut self, largest: impl FnOnce() -> Option<(u64, u64)>) -> AllocRequest {
        let size = match self.choices.weighted(&self.mix.sizes) {
            6 => match largest() {
                Some((offset, size)) => return self.largest(offset, size),
                None => self.size(0),
            },
            kind => self.size(kind),
        };
        let mut request = AllocRequest {
            size,
            min_block_size: self.min_block_size(size),
            ..AllocRequest::default()
        };
        for (flag, percent) in [
            GpuBuddyAllocFlag::Contiguous,
            GpuBuddyAllocFlag::Clear,
            GpuBuddyAllocFlag::TrimDisable,
        ]
        .into_iter()
        .zip(self.mix.flags)
        {
            if self.choices.percent(percent) {
                request.flags |= flag;
            }
        }
        self.place(&mut request);
        if self.choices.one_in(self.mix.spoilt) {
            self.spoil(&mut request);
        }
        self.restrict(&mut request);
        request
    }

    /// A request for the largest free block, which must succeed.
    fn largest(&mut self, offset: u64, size: u64) -> AllocRequest {
        let chunk_size = self.space.chunk_size;
        let mut request =
            AllocRequest { size, min_block_size: chunk_size, ..AllocRequest::default() };
        match self.choices.below(3) {
            0 => request.flags |= GpuBuddyAllocFlag::Contiguous,
            1 => request.min_block_size = size,
            _ => {
                request.range = true;
                (request.start, request.end) = (offset, offset + size);
            }
        }
        self.restrict(&mut request);
        request
    }

    fn restrict(&self, request: &mut AllocRequest) {
        restrict(request, self.capabilities, self.space.chunk_size);
    }

    fn size(&mut self, kind: usize) -> u64 {
        let Space { size, chunk_size, .. } = self.space;
        let most = size / chunk_size;
        let orders = u64::from(most.ilog2());
        let chunks = match kind {
            // The most frequent sizes of drivers.
            0 => 1 << self.choices.between(0, orders.min(8)),
            1 => self.choices.between(1, 16),
            2 => self.choices.log_uniform(most),
            // Next to a power of two.
            3 => {
                let power: u64 = 1 << self.choices.between(0, orders);
                if self.choices.one_in(2) { power + 1 } else { (power - 1).max(1) }
            }
            // All that is free, or a part of it.
            4 => (self.avail / chunk_size) >> self.choices.below(4),
            _ => most - self.choices.below(most.min(4)),
        };
        chunks.clamp(1, most) * chunk_size
    }

    fn min_block_size(&mut self, size: u64) -> u64 {
        let chunk_size = self.space.chunk_size;
        let bits = |size: u64| u64::from(size.ilog2());
        match self.choices.weighted(&self.mix.alignments) {
            0 => chunk_size,
            1 => 1 << self.choices.between(bits(chunk_size), bits(size)),
            // Above the size: aligned, but not rounded up.
            2 => 1 << (bits(size) + self.choices.between(1, 6)).min(63),
            _ => 1 << self.choices.between(bits(chunk_size), bits(self.space.size)),
        }
    }

    /// Sets the mode (simple, top-down or range) and its bounds.
    fn place(&mut self, request: &mut AllocRequest) {
        let Space { size, chunk_size, .. } = self.space;
        let chunks = size / chunk_size;
        match self.choices.weighted(&self.mix.places) {
            0 => {}
            1 => request.end = size,
            2 => request.top_down = true,
            3 => {
                request.top_down = true;
                request.end = size;
            }
            4 => {
                request.range = true;
                let start = self.choices.below(chunks);
                let mut room = self.choices.log_uniform(chunks - start);
                if room * chunk_size < request.size && !self.choices.one_in(4) {
                    room = (request.size / chunk_size).clamp(room, chunks - start);
                }
                request.start = start * chunk_size;
                request.end = (start + room) * chunk_size;
                if self.choices.one_in(2) {
                    // Aligned, as the ranges of drivers are.
                    let power = room.ilog2().saturating_sub(1);
                    request.start = (start >> power << power) * chunk_size;
                }
                request.top_down = self.choices.one_in(8);
            }
            5 => {
                // The exact range, with the flag or without.
                request.range = !self.choices.one_in(2);
                let most = (size - request.size.min(size)) / chunk_size;
                let step = (request.min_block_size / chunk_size).max(1);
                let start = self.choices.between(0, most) / step * step;
                request.start = start * chunk_size;
                request.end = request.start.saturating_add(request.size);
            }
            _ => {
                // Bounds without the flag.
                let start = self.choices.below(chunks);
                request.start = start * chunk_size;
                request.end = self.choices.between(0, chunks) * chunk_size;
                request.top_down = self.choices.one_in(2);
            }
        }
    }

    /// Makes an argument invalid or extreme.
    fn spoil(&mut self, request: &mut AllocRequest) {
        let number = self.odd_number();
        match self.choices.below(5) {
            0 => request.size = number,
            1 => request.min_block_size = number,
            2 => request.start = number,
            3 => request.end = number,
            _ => {
                request.range = true;
                (request.start, request.end) = (request.end, request.start);
            }
        }
    }
}

/// Removes what `capabilities` lacks from a request.
pub(in crate::diff) fn restrict(
    request: &mut AllocRequest,
    capabilities: Capabilities,
    chunk_size: u64,
) {
    let lacks = |capability| !capabilities.contains(capability);
    for (flag, capability) in [
        (GpuBuddyAllocFlag::Contiguous, Capability::Contiguous),
        (GpuBuddyAllocFlag::Clear, Capability::Clear),
        (GpuBuddyAllocFlag::TrimDisable, Capability::TrimDisable),
    ] {
        if lacks(capability) {
            request.flags.remove(flag);
        }
    }
    if lacks(Capability::Range) {
        (request.range, request.start, request.end) = (false, 0, 0);
    }
    if lacks(Capability::RawBounds) {
        if request.range {
            request.top_down = false;
        } else {
            (request.start, request.end) = (0, 0);
        }
    }
    request.top_down &= capabilities.contains(Capability::TopDown);
    let AllocRequest { size, min_block_size, .. } = *request;
    if size < min_block_size && lacks(Capability::OffsetAlign) {
        request.min_block_size = chunk_size;
    }
    if lacks(Capability::RoundsUp) && min_block_size.is_power_of_two() {
        let bits = size.trailing_zeros().min(63);
        request.min_block_size = request.min_block_size.min(1 << bits).max(chunk_size);
    }
    if lacks(Capability::Alignment) {
        request.min_block_size = request.min_block_size.min(chunk_size);
    }
}
