//! The load of the driver nova-core.

use crate::diff::Space;
use crate::diff::generate::Choices;
use crate::sizes::{SZ_1G, SZ_1M, SZ_64K, SZ_256M};
use crate::{AllocRequest, GpuBuddyAllocFlag};

use super::driver::{Driver, Kept, Process, Want};
use super::sizes::{self, Class, LARGE_PAGE, PAGE};

const G: u64 = SZ_1G as u64;
const M: u64 = SZ_1M as u64;
const K64: u64 = SZ_64K as u64;

/// The memory of cards, without an assumed part for the firmware; and the addresses of a window of
/// 256M.
pub const SPACES: [Space; 4] = [
    Space::new(12 * G - 256 * M, PAGE),
    Space::new(8 * G - 192 * M, PAGE),
    Space::new(24 * G - 384 * M, PAGE),
    Space::new(SZ_256M as u64, PAGE),
];

/// Assumed, like all other frequencies.
const BUFFERS: [Class; 3] =
    [(40, PAGE, K64, PAGE), (35, K64, 2 * M, PAGE), (25, 2 * M, 256 * M, K64)];
const MAPPINGS: [Class; 2] = [(70, PAGE, K64, PAGE), (30, K64, 16 * M, PAGE)];

/// nova-core on a card. It has an allocator for the memory, and one for the addresses of each
/// address space.
pub struct Nova {
    space: Space,
    addresses: bool,
}

impl Nova {
    pub fn draw(space: Space, choices: &mut impl Choices) -> Self {
        Self { space, addresses: space.size <= SZ_256M as u64 && !choices.one_in(3) }
    }

    /// In the mode `Simple`, the kernel's binding passes neither bounds nor flags.
    fn request(&self, size: u64, alignment: u64) -> AllocRequest {
        let chunk_size = self.space.chunk_size;
        AllocRequest {
            size: size.next_multiple_of(chunk_size),
            min_block_size: alignment.max(chunk_size),
            ..AllocRequest::default()
        }
    }

    /// A run of addresses: `Vmm::alloc_vfn_range()`. Some are requested at a fixed address.
    fn mapping(&self, choices: &mut dyn Choices, kept: Kept) -> Want {
        let size = sizes::draw(choices, &MAPPINGS, PAGE, sizes::most(self.space.size));
        let mut request = self.request(size, PAGE);
        request.flags |= GpuBuddyAllocFlag::Contiguous;
        if choices.one_in(8) {
            let Space { size: all, chunk_size, .. } = self.space;
            let places = (all - request.size) / chunk_size;
            request.start = choices.between(0, places) * chunk_size;
            (request.range, request.end) = (true, request.start + request.size);
        }
        unevictable(request, kept)
    }

    fn page_table(&self) -> Want {
        Want::new(self.request(PAGE, PAGE), Kept::ByAddressSpace)
    }

    fn buffer_of(&self, choices: &mut dyn Choices, kept: Kept) -> Want {
        if self.addresses {
            return self.mapping(choices, kept);
        }
        let size = sizes::draw(choices, &BUFFERS, PAGE, sizes::most(self.space.size));
        // The caller chooses the alignment. Assumed.
        let alignment = match choices.below(4) {
            0..2 => PAGE,
            2 => K64,
            _ => LARGE_PAGE,
        };
        unevictable(self.request(size, alignment.min(size.next_power_of_two())), kept)
    }
}

fn unevictable(request: AllocRequest, kept: Kept) -> Want {
    Want { evictable: false, ..Want::new(request, kept) }
}

impl Driver for Nova {
    fn load(&self, choices: &mut dyn Choices) -> Vec<Want> {
        (0..choices.between(4, 12)).map(|_| self.buffer_of(choices, Kept::ByDevice)).collect()
    }

    fn begin_process(&self, _process: Process, choices: &mut dyn Choices) -> Vec<Want> {
        let tables = if self.addresses { 0 } else { choices.between(3, 5) };
        vec![self.page_table(); tables as usize]
    }

    fn buffer(&self, _process: Process, choices: &mut dyn Choices) -> Vec<Want> {
        let want = self.buffer_of(choices, Kept::ByProcess);
        let by_large_pages = want.request.min_block_size >= LARGE_PAGE;
        let tables = if self.addresses {
            0
        } else {
            sizes::page_tables(choices, want.request.size, by_large_pages)
        };
        let mut wants = vec![self.page_table(); tables as usize];
        wants.push(want);
        wants
    }

    fn frame(&self, _process: Process, choices: &mut dyn Choices) -> Want {
        self.buffer_of(choices, Kept::ForFrames)
    }

    fn visible(&self) -> u64 {
        self.space.size
    }

    fn refuses(&self, _want: &Want, _avail: u64, _visible_avail: u64) -> bool {
        false
    }

    fn evicts(&self) -> bool {
        false
    }

    fn resets_clear(&self) -> bool {
        false
    }
}
