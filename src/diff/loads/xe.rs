//! The load of the driver xe.

use crate::diff::Space;
use crate::diff::generate::Choices;
use crate::sizes::{SZ_1G, SZ_1M, SZ_4K, SZ_64K, SZ_256M};
use crate::{AllocRequest, GpuBuddyAllocFlag};

use super::driver::{Driver, Kept, Process, Program, Want};
use super::sizes::{self, Class, LARGE_PAGE, PAGE};

const G: u64 = SZ_1G as u64;
const M: u64 = SZ_1M as u64;
const K64: u64 = SZ_64K as u64;

/// The memory of cards, in pages of the CPU, as `xe_ttm_vram_mgr_init()` manages it. Without an
/// assumed part for the card itself.
pub const SPACES: [Space; 4] = [
    Space::new(16 * G, PAGE),
    Space::new(12 * G - 96 * M, PAGE),
    Space::new(8 * G - 72 * M, PAGE),
    Space::new(24 * G - 160 * M, PAGE),
];

/// The part of the memory that the CPU can reach, on a card with a small window.
const SMALL_WINDOW: u64 = SZ_256M as u64;

/// Assumed, like all other frequencies.
const GRAPHICS: [Class; 4] = [
    (30, PAGE, K64, PAGE),
    (34, K64, 2 * M, PAGE),
    (30, 2 * M, 32 * M, K64),
    (6, 32 * M, 512 * M, 2 * M),
];
const COMPUTE: [Class; 3] =
    [(30, K64, 2 * M, PAGE), (40, 2 * M, 64 * M, 2 * M), (30, 64 * M, 2 * G, 2 * M)];
const FRAME: [Class; 3] = [(4, PAGE, K64, PAGE), (3, K64, 2 * M, PAGE), (2, 2 * M, 16 * M, K64)];
const OF_DEVICE: [Class; 2] = [(8, PAGE, K64, PAGE), (3, K64, 4 * M, PAGE)];

/// Flags of `xe_bo_create_pin_map()` and similar functions.
#[derive(Clone, Copy, Default)]
struct Flags {
    /// `XE_BO_FLAG_NEEDS_CPU_ACCESS`.
    by_processor: bool,
    /// `XE_BO_FLAG_PINNED`, or `XE_BO_FLAG_CPU_ADDR_MIRROR`.
    contiguous: bool,
    /// `XE_BO_FLAG_IGNORE_MIN_PAGE_SIZE`.
    any_page: bool,
    /// `XE_BO_FLAG_NEEDS_64K`.
    needs_64k: bool,
}

/// Mapped by the kernel for its whole lifetime.
const PINNED: Flags =
    Flags { by_processor: true, contiguous: true, any_page: false, needs_64k: false };

/// xe on a card.
pub struct Xe {
    space: Space,
    visible: u64,
    /// `XE_VRAM_FLAGS_NEED64K`: buffers have pages of 64K.
    needs_64k: bool,
}

impl Xe {
    pub fn draw(space: Space, choices: &mut impl Choices) -> Self {
        let small_window = choices.one_in(3);
        let visible = if small_window { SMALL_WINDOW.min(space.size / 2) } else { space.size };
        let visible = visible - visible % space.chunk_size;
        Self { space, visible, needs_64k: choices.one_in(2) }
    }

    /// The request of `xe_bo_init_locked()`, `add_vram()` and `xe_ttm_vram_mgr_new()` for a size.
    fn request(&self, size: u64, flags: Flags) -> AllocRequest {
        let Space { size: all, chunk_size, .. } = self.space;
        let needs_64k = !flags.any_page && (self.needs_64k || flags.needs_64k);
        let page = if needs_64k { K64 } else { SZ_4K as u64 }.max(chunk_size);
        let mut request = AllocRequest {
            size: size.next_multiple_of(page),
            min_block_size: page,
            end: all,
            ..AllocRequest::default()
        };
        if flags.contiguous {
            request.flags |= GpuBuddyAllocFlag::Contiguous;
        }
        if self.visible < all {
            if flags.by_processor {
                (request.range, request.end) = (true, self.visible);
            } else {
                request.top_down = true;
            }
        }
        request
    }

    fn page_table(&self) -> Want {
        let flags = Flags { any_page: true, ..PINNED };
        Want::new(self.request(PAGE, flags), Kept::ByAddressSpace)
    }

    fn most(&self) -> u64 {
        sizes::most(self.space.size)
    }

    /// No request takes all that the CPU can reach.
    fn most_of(&self, flags: Flags) -> u64 {
        if flags.by_processor { sizes::most(self.visible) } else { self.most() }
    }
}

impl Driver for Xe {
    /// The memory of the firmware, the engines and the copy engine's page tables.
    fn load(&self, choices: &mut dyn Choices) -> Vec<Want> {
        let mut wants = Vec::new();
        for _ in 0..choices.between(12, 40) {
            let size = sizes::draw(choices, &OF_DEVICE, PAGE, self.most().min(4 * M));
            wants.push(Want::new(self.request(size, PINNED), Kept::ByDevice));
        }
        wants
    }

    fn begin_process(&self, process: Process, choices: &mut dyn Choices) -> Vec<Want> {
        // The directories of an address space of 48 or 57 bits.
        let mut wants = vec![self.page_table(); choices.between(3, 8) as usize];
        // A ring of 16K; a context of 14 pages for rendering or computing, of 2 for other engines;
        // and one or two pages for batches.
        let contexts = if process.program == Program::Graphics { 3 } else { 8 };
        for _ in 0..choices.between(1, contexts) {
            let pages = 4 + [14, 2][choices.below(2) as usize] + choices.between(1, 2);
            wants.push(Want::new(self.request(pages * PAGE, PINNED), Kept::ByAddressSpace));
        }
        wants
    }

    fn buffer(&self, process: Process, choices: &mut dyn Choices) -> Vec<Want> {
        let program = process.program;
        let (flags, size);
        if program == Program::Compute && choices.one_in(3) {
            // A part of the process's own memory, migrated here: `fault_chunk_sizes`.
            let chunks = [LARGE_PAGE, LARGE_PAGE, K64, if self.needs_64k { K64 } else { PAGE }];
            size = chunks[choices.below(4) as usize].min(self.most());
            flags = Flags { contiguous: true, ..Flags::default() };
        } else if program == Program::Graphics && choices.one_in(12) {
            // For display. Such a buffer is aligned to 64K if its size is a multiple of that.
            let page = if choices.one_in(4) { PAGE } else { K64 };
            size = sizes::screen(choices, page, self.most());
            let needs_64k = size.is_multiple_of(K64);
            flags = Flags { by_processor: choices.one_in(2), needs_64k, ..Flags::default() };
        } else {
            let classes: &[Class] = if program == Program::Graphics { &GRAPHICS } else { &COMPUTE };
            flags = Flags { by_processor: choices.one_in(8), ..Flags::default() };
            size = sizes::draw(choices, classes, PAGE, self.most_of(flags));
        }
        let request = self.request(size, flags);
        let by_large_pages = request.size.is_multiple_of(LARGE_PAGE);
        let tables = sizes::page_tables(choices, request.size, by_large_pages);
        let mut wants = vec![self.page_table(); tables as usize];
        wants.push(Want::new(request, Kept::ByProcess));
        wants
    }

    fn frame(&self, _process: Process, choices: &mut dyn Choices) -> Want {
        let flags = Flags { by_processor: choices.one_in(3), ..Flags::default() };
        let size = sizes::draw(choices, &FRAME, PAGE, self.most_of(flags));
        Want::new(self.request(size, flags), Kept::ForFrames)
    }

    fn visible(&self) -> u64 {
        self.visible
    }

    fn refuses(&self, want: &Want, avail: u64, visible_avail: u64) -> bool {
        let AllocRequest { size, end, .. } = want.request;
        size > avail || (end <= self.visible && size > visible_avail)
    }

    fn evicts(&self) -> bool {
        true
    }

    fn resets_clear(&self) -> bool {
        false
    }
}
