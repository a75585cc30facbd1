//! The load of the driver amdgpu.

use crate::diff::Space;
use crate::diff::generate::Choices;
use crate::sizes::{SZ_1G, SZ_1K, SZ_1M, SZ_64K, SZ_256M};
use crate::{AllocRequest, GpuBuddyAllocFlag};

use super::driver::{Driver, Kept, Process, Program, Want};
use super::sizes::{self, Class, LARGE_PAGE, PAGE};

const G: u64 = SZ_1G as u64;
const M: u64 = SZ_1M as u64;
const K64: u64 = SZ_64K as u64;

/// The memory of cards, in pages of the CPU, as `amdgpu_vram_mgr_init()` manages it.
pub const SPACES: [Space; 4] = [
    Space::new(16 * G, PAGE),
    Space::new(8 * G, PAGE),
    Space::new(24 * G - 16 * M, PAGE),
    Space::new(192 * G - 16 * M, PAGE),
];

/// The part of the memory that the CPU can reach, on a card with a small window.
const SMALL_WINDOW: u64 = SZ_256M as u64;

/// Not available to user space: `AMDGPU_VM_RESERVED_VRAM`.
const RESERVED: u64 = 8 * M;

/// Assumed, like all other frequencies.
const GRAPHICS: [Class; 5] = [
    (26, PAGE, K64, PAGE),
    (30, K64, 2 * M, PAGE),
    (20, 2 * M, 32 * M, PAGE),
    (18, 2 * M, 64 * M, 2 * M),
    (6, 32 * M, 256 * M, 2 * M),
];
const COMPUTE: [Class; 3] =
    [(25, PAGE, 2 * M, PAGE), (45, 2 * M, 256 * M, 2 * M), (30, 256 * M, 4 * G, 2 * M)];
const FRAME: [Class; 3] = [(4, PAGE, K64, PAGE), (3, K64, 2 * M, PAGE), (2, 2 * M, 16 * M, PAGE)];
const OF_DEVICE: [Class; 2] = [(6, PAGE, K64, PAGE), (3, K64, 8 * M, PAGE)];

/// The `AMDGPU_GEM_CREATE_*` flags that affect the allocator.
#[derive(Clone, Copy, Default)]
struct Flags {
    by_processor: bool,
    contiguous: bool,
    cleared: bool,
    /// `AMDGPU_GEM_CREATE_GFX12_DCC`.
    compressed: bool,
}

/// amdgpu on a card.
pub struct Amdgpu {
    space: Space,
    visible: u64,
    /// The partitions of the card. Each process uses one of them.
    partitions: u64,
    /// The alignment of compressed images in bytes, on cards that need one.
    dcc_alignment: u64,
    /// `vm->use_cpu_for_update`: the CPU writes page tables.
    tables_by_processor: bool,
}

impl Amdgpu {
    pub fn draw(space: Space, choices: &mut impl Choices) -> Self {
        let small_window = choices.one_in(3);
        let visible = if small_window { SMALL_WINDOW.min(space.size / 2) } else { space.size };
        // `gmc_v12_0_get_dcc_alignment()` for cards with 16, 32 or 24 texture caches.
        let alignments = [0, 0, 64, 256, 768].map(|kib| kib * SZ_1K as u64);
        Self {
            space,
            visible: visible - visible % space.chunk_size,
            partitions: if space.size >= 64 * G && choices.one_in(2) { 4 } else { 1 },
            dcc_alignment: alignments[choices.below(5) as usize],
            tables_by_processor: !small_window && choices.one_in(2),
        }
    }

    /// The request of `amdgpu_bo_placement_from_domain()` and `amdgpu_vram_mgr_new()` for a size
    /// and an alignment.
    fn want(
        &self,
        size: u64,
        alignment: u64,
        flags: Flags,
        kept: Kept,
        process: Option<Process>,
    ) -> Want {
        let Space { size: all, chunk_size, .. } = self.space;
        let user = matches!(kept, Kept::ByProcess | Kept::ForFrames);
        let size = size.next_multiple_of(chunk_size);
        let alignment = alignment.max(chunk_size);
        let part = all / self.partitions / chunk_size * chunk_size;
        let (start, mut end) = match process.map(|process| process.number % self.partitions) {
            None => (0, all),
            Some(number) if number + 1 == self.partitions => (number * part, all),
            Some(number) => (number * part, (number + 1) * part),
        };
        let top_down = !flags.by_processor;
        if flags.by_processor && start < self.visible {
            end = end.min(self.visible);
        }
        let mut request = AllocRequest {
            start,
            end,
            size,
            min_block_size: alignment,
            range: start > 0 || end < all,
            top_down,
            ..AllocRequest::default()
        };
        if flags.contiguous {
            request.flags |= GpuBuddyAllocFlag::Contiguous;
        } else {
            let block = LARGE_PAGE.max(alignment);
            if size >= block && size.is_multiple_of(block) {
                request.min_block_size = block;
            }
        }
        if flags.cleared {
            request.flags |= GpuBuddyAllocFlag::Clear;
        }
        let mut want = Want::new(request, kept);
        if flags.contiguous && flags.compressed && self.dcc_alignment > 0 {
            let larger = (size + self.dcc_alignment).next_power_of_two();
            want.request.flags |= GpuBuddyAllocFlag::TrimDisable;
            (want.request.size, want.request.min_block_size) = (larger, larger);
            want.trim = Some((self.dcc_alignment, size));
        }
        want.falls_back = flags.contiguous && user && want.trim.is_none();
        want
    }

    /// A buffer of user space. The driver zeroes it at its allocation and before it is freed.
    fn buffer_of(
        &self,
        size: u64,
        alignment: u64,
        flags: Flags,
        kept: Kept,
        process: Process,
    ) -> Want {
        let flags = Flags { cleared: true, ..flags };
        let mut want = self.want(size, alignment, flags, kept, Some(process));
        want.freed_cleared = true;
        want
    }

    fn page_table(&self, process: Process) -> Want {
        let flags =
            Flags { contiguous: true, by_processor: self.tables_by_processor, ..Flags::default() };
        self.want(PAGE, PAGE, flags, Kept::ByAddressSpace, Some(process))
    }

    /// The alignment that a user-space driver asks for. Assumed.
    fn alignment(&self, choices: &mut dyn Choices, size: u64) -> u64 {
        let alignment = match choices.weighted(&[60, 20, 10, 10]) {
            0 => PAGE,
            1 => K64,
            2 => 4 * K64,
            _ => LARGE_PAGE,
        };
        // Small buffers are not aligned that far.
        alignment.min(size.next_power_of_two().max(PAGE))
    }

    /// An exact range, as in `amdgpu_vram_mgr_reserve_range()`.
    fn reservation(&self, start: u64, size: u64) -> Want {
        let Space { size: all, chunk_size, .. } = self.space;
        let size = size.next_multiple_of(chunk_size).min(all);
        let start = (start - start % chunk_size).min(all - size);
        let request = AllocRequest {
            start,
            end: start + size,
            size,
            min_block_size: chunk_size,
            range: true,
            ..AllocRequest::default()
        };
        Want::new(request, Kept::ByDevice)
    }

    fn most(&self) -> u64 {
        sizes::most(self.space.size / self.partitions)
    }

    /// No request takes all that the CPU can reach.
    fn most_of(&self, flags: Flags) -> u64 {
        if flags.by_processor { sizes::most(self.visible).min(self.most()) } else { self.most() }
    }
}

impl Driver for Amdgpu {
    fn load(&self, choices: &mut dyn Choices) -> Vec<Want> {
        let all = self.space.size;
        // The firmware's image on the screen, and its own memory at both ends.
        let mut wants = Vec::new();
        if all >= 64 * M {
            for (start, size) in [
                (0, choices.between(1, 9) * M),
                (all - 2 * M, K64),
                (all - choices.between(8, 16) * M, 5 * M),
            ] {
                // `amdgpu_bo_create_kernel_at()`
                let mut want = self.reservation(start, size);
                want.request.flags |= GpuBuddyAllocFlag::Contiguous;
                want.request.top_down = choices.one_in(2);
                wants.push(want);
            }
        }
        for _ in 0..choices.between(12, 40) {
            let size = sizes::draw(choices, &OF_DEVICE, PAGE, self.most().min(8 * M));
            let by_processor = choices.one_in(2);
            let flags = Flags { contiguous: true, by_processor, ..Flags::default() };
            let alignment = if choices.one_in(4) { LARGE_PAGE.min(self.most()) } else { PAGE };
            wants.push(self.want(size, alignment, flags, Kept::ByDevice, None));
        }
        wants
    }

    fn begin_process(&self, process: Process, choices: &mut dyn Choices) -> Vec<Want> {
        // Page directories. The topmost may be larger.
        let mut wants = vec![self.page_table(process); choices.between(3, 8) as usize];
        if choices.one_in(2) {
            wants[0].request.size = (8 * PAGE).next_multiple_of(self.space.chunk_size);
        }
        wants
    }

    fn buffer(&self, process: Process, choices: &mut dyn Choices) -> Vec<Want> {
        let program = process.program;
        let kept = Kept::ByProcess;
        let want = if program == Program::Compute && choices.one_in(4) {
            // A part of the process's own memory, migrated here. It is not zeroed before it is
            // freed.
            let pages = choices.log_uniform(512.min(self.most() / PAGE));
            let flags = Flags { cleared: choices.one_in(2), ..Flags::default() };
            self.want(pages * PAGE, PAGE, flags, kept, Some(process))
        } else if program == Program::Graphics && choices.one_in(12) {
            let size = sizes::screen(choices, PAGE, self.most() / 2);
            let compressed = choices.one_in(2);
            let by_processor = !compressed && choices.one_in(2);
            let flags = Flags { contiguous: true, by_processor, compressed, ..Flags::default() };
            self.buffer_of(size, self.alignment(choices, size), flags, kept, process)
        } else {
            let classes: &[Class] = if program == Program::Graphics { &GRAPHICS } else { &COMPUTE };
            let by_processor = choices.one_in(5);
            let contiguous = program == Program::Compute && choices.one_in(16);
            let flags = Flags { by_processor, contiguous, ..Flags::default() };
            let size = sizes::draw(choices, classes, PAGE, self.most_of(flags));
            self.buffer_of(size, self.alignment(choices, size), flags, kept, process)
        };
        let by_large_pages = want.request.min_block_size >= LARGE_PAGE;
        let tables = sizes::page_tables(choices, want.request.size, by_large_pages);
        let mut wants = vec![self.page_table(process); tables as usize];
        wants.push(want);
        wants
    }

    fn frame(&self, process: Process, choices: &mut dyn Choices) -> Want {
        let flags = Flags { by_processor: choices.one_in(3), ..Flags::default() };
        let size = sizes::draw(choices, &FRAME, PAGE, self.most_of(flags));
        self.buffer_of(size, self.alignment(choices, size), flags, Kept::ForFrames, process)
    }

    /// A page that was found to be bad. It may be in use.
    fn seldom(&self, choices: &mut dyn Choices) -> Option<Want> {
        let mut want = self.reservation(choices.below(self.space.size), PAGE);
        want.waits = true;
        Some(want)
    }

    fn visible(&self) -> u64 {
        self.visible
    }

    fn refuses(&self, want: &Want, avail: u64, _visible_avail: u64) -> bool {
        let reserved = if want.evictable { RESERVED.min(self.space.size / 16) } else { 0 };
        !want.waits && want.request.size > avail.saturating_sub(reserved)
    }

    fn evicts(&self) -> bool {
        true
    }

    fn resets_clear(&self) -> bool {
        true
    }
}
