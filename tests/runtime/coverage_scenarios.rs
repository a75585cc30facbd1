//! Lines and branches of the C that no correct use reaches: checks of arguments that the
//! safe API makes first, checks of its own state, each on a state that a test corrupts, and
//! loading and unloading of the module. docs/assurance/coverage.md lists what has no scenario.

use crate::common::{self, CHUNK, KIB, List, MIB, Raw, extents, kernel_line, simple, space};
use crate::whole_process;
use gpu_buddy::ffi::{Captured, capture};
use gpu_buddy::{
    AllocRequest, Errno, GpuBuddyAllocFlag as Flag, GpuBuddyAllocFlags as Flags, KERNEL, ffi,
};
use rstest::rstest;

/// The first root.
fn root(raw: &mut Raw) -> *mut ffi::gpu_buddy_block {
    // SAFETY: an initialised allocator has at least one.
    unsafe { *(*raw.mm()).roots }
}

/// Changes the header of the first root: what is in `mask` becomes `value`.
fn set_header(raw: &mut Raw, mask: u64, value: u64) {
    let block = root(raw);
    // SAFETY: the root is alive, and nothing else looks at it.
    unsafe { (*block).header = ((*block).header & !mask) | value }
}

/// Allocates `size` bytes at `start`, as the exact range that they are.
fn exact(raw: &mut Raw, start: u64, size: u64) -> Captured<i32> {
    // SAFETY: the allocator is initialised.
    let min_block_size = unsafe { (*raw.mm()).chunk_size };
    let end = start + size;
    let request = AllocRequest { start, end, size, min_block_size, ..AllocRequest::default() };
    capture(|| raw.alloc(&request, &mut List::new()))
}

/// Allocates `size` bytes anywhere.
fn anywhere(raw: &mut Raw, size: u64) -> Captured<i32> {
    let request = AllocRequest { size, min_block_size: CHUNK, ..AllocRequest::default() };
    capture(|| raw.alloc(&request, &mut List::new()))
}

/// Corrupts an allocator before it is used.
type Spoil = fn(&mut Raw);
type Use = fn(&mut Raw) -> Captured<i32>;

#[rstest]
#[case::a_block_larger_than_all_memory(
    |raw: &mut Raw| set_header(raw, ffi::GPU_BUDDY_HEADER_ORDER, 53),
    |raw: &mut Raw| exact(raw, 0, CHUNK),
    "order > GPU_BUDDY_MAX_ORDER",
)]
#[case::an_offset_within_a_chunk(
    // SAFETY: the allocator is initialised.
    |raw: &mut Raw| unsafe { (*raw.mm()).chunk_size = 64 },
    |raw: &mut Raw| exact(raw, 0, 256),
    "block->header & GPU_BUDDY_HEADER_UNUSED",
)]
#[case::a_block_in_no_state(
    |raw: &mut Raw| set_header(raw, ffi::GPU_BUDDY_HEADER_STATE, 0),
    |raw: &mut Raw| exact(raw, 0, CHUNK),
    "!gpu_buddy_block_is_free(block)",
)]
#[case::a_chunk_among_larger_blocks(
    |raw: &mut Raw| set_header(raw, ffi::GPU_BUDDY_HEADER_ORDER, 0),
    |raw: &mut Raw| anywhere(raw, CHUNK),
    "!gpu_buddy_block_order(block)",
)]
#[case::an_allocated_block_among_the_free(
    |raw: &mut Raw| {
        set_header(raw, ffi::GPU_BUDDY_HEADER_STATE, u64::from(ffi::GPU_BUDDY_ALLOCATED))
    },
    // The whole root: a split would check the state as well.
    |raw: &mut Raw| anywhere(raw, MIB),
    "!gpu_buddy_block_is_free(block)",
)]
fn a_spoilt_block_is_a_bug(#[case] spoil: Spoil, #[case] call: Use, #[case] condition: &str) {
    let _lock = whole_process();
    let mut raw = Raw::new(MIB, CHUNK).expect("a space");
    spoil(&mut raw);
    let bug = call(&mut raw).result.expect_err("a BUG");
    let line = kernel_line(bug.file, bug.line);
    assert!(line.contains(&format!("BUG_ON({condition})")), "line {} is {line:?}", bug.line);
    raw.leak();
}

#[test]
fn trimming_a_free_block_warns() {
    let _lock = whole_process();
    let mut raw = Raw::new(MIB, CHUNK).expect("a space");
    let block = root(&mut raw);
    let mut list = List::new();
    // SAFETY: a free block is on no list, and is alone on this one.
    unsafe {
        let link = &raw mut (*block).__bindgen_anon_1.link;
        ((*link).next, (*link).prev) = (list.head(), list.head());
        ((*list.head()).next, (*list.head()).prev) = (link, link);
    }
    let captured = capture(|| raw.trim(None, CHUNK, &mut list));
    assert_eq!(captured.result, Ok(-Errno::EINVAL.code()));
    let warnings: Vec<_> = captured.warnings.iter().map(|warning| warning.condition).collect();
    assert_eq!(warnings, ["!gpu_buddy_block_is_allocated(block)"]);
    assert_eq!((list.blocks(), raw.avail()), (vec![block], MIB));
}

#[rstest]
#[case::smaller_than_a_chunk(CHUNK, 2 * CHUNK)]
#[case::in_chunks_below_a_page(MIB, 2 * KIB)]
#[case::in_chunks_of_no_power_of_two(MIB, 3 * CHUNK)]
fn a_space_is_refused(#[case] size: u64, #[case] chunk_size: u64) {
    let _lock = whole_process();
    assert_eq!(Raw::new(size, chunk_size).err(), Some(-Errno::EINVAL.code()));
}

#[rstest]
#[case::nothing(AllocRequest { size: 0, ..chunk() })]
#[case::blocks_below_a_chunk(AllocRequest { min_block_size: KIB, ..chunk() })]
#[case::blocks_of_no_power_of_two(AllocRequest { min_block_size: 5 * CHUNK, ..chunk() })]
#[case::within_a_chunk(AllocRequest { start: KIB, ..chunk() })]
#[case::a_range_beyond_the_end(AllocRequest { end: 6 * CHUNK, ..chunk() })]
#[case::too_far_from_the_start(AllocRequest { start: 5 * CHUNK, ..chunk() })]
#[case::a_range_that_is_not_aligned(
    AllocRequest { start: CHUNK, end: 3 * CHUNK, size: 2 * CHUNK, min_block_size: 2 * CHUNK, ..chunk() }
)]
#[case::rounded_up_beyond_the_end(
    AllocRequest { size: 5 * CHUNK, min_block_size: 2 * CHUNK, ..chunk() }
)]
#[case::rounded_up_beyond_the_end_in_a_range(
    AllocRequest { size: 5 * CHUNK, range: true, flags: Flag::Contiguous.into(), ..chunk() }
)]
fn a_request_is_refused(#[case] request: AllocRequest) {
    let _lock = whole_process();
    let mut raw = Raw::new(5 * CHUNK, CHUNK).expect("a space");
    let mut list = List::new();
    assert_eq!(raw.alloc(&request, &mut list), -Errno::EINVAL.code());
    assert_eq!((list.blocks(), raw.avail()), (vec![], 5 * CHUNK));
}

/// A chunk, anywhere.
fn chunk() -> AllocRequest {
    AllocRequest { size: CHUNK, min_block_size: CHUNK, ..AllocRequest::default() }
}

/// The block has four chunks, and is the second half of a space.
#[rstest]
#[case::to_more_than_it_has(None, 5 * CHUNK)]
#[case::to_nothing(None, 0)]
#[case::to_a_part_of_a_chunk(None, KIB)]
#[case::from_before_it(Some(3 * CHUNK), CHUNK)]
#[case::from_within_a_chunk(Some(4 * CHUNK + KIB), CHUNK)]
#[case::to_beyond_its_end(Some(7 * CHUNK), 2 * CHUNK)]
fn a_trim_is_refused(#[case] start: Option<u64>, #[case] new_size: u64) {
    let _lock = whole_process();
    let mut raw = Raw::new(8 * CHUNK, CHUNK).expect("a space");
    let mut first = raw.simple(4 * CHUNK);
    let mut second = raw.simple(4 * CHUNK);
    let mut both = [first.extents(&mut raw), second.extents(&mut raw)].concat();
    both.sort_unstable();
    assert_eq!(both, [(0, 4 * CHUNK), (4 * CHUNK, 4 * CHUNK)]);
    let upper = if second.extents(&mut raw)[0].0 == 0 { &mut first } else { &mut second };
    assert_eq!(raw.trim(start, new_size, upper), -Errno::EINVAL.code());
    assert_eq!((upper.extents(&mut raw), raw.avail()), (vec![(4 * CHUNK, 4 * CHUNK)], 0));
    raw.free(&mut first);
    raw.free(&mut second);
}

#[test]
fn two_blocks_are_not_trimmed() {
    let _lock = whole_process();
    let mut raw = Raw::new(8 * CHUNK, CHUNK).expect("a space");
    let mut list = raw.simple(3 * CHUNK);
    assert_eq!(list.blocks().len(), 2);
    assert_eq!(raw.trim(None, CHUNK, &mut list), -Errno::EINVAL.code());
    assert_eq!(list.blocks().len(), 2);
    raw.free(&mut list);
}

#[cfg(addr_to_block)]
#[test]
fn there_is_no_block_beyond_the_end() {
    let _lock = whole_process();
    let mut raw = Raw::new(MIB, CHUNK).expect("a space");
    // SAFETY: the allocator is initialised; the C takes any address.
    let block = unsafe { ffi::gpu_buddy_allocated_addr_to_block(raw.mm(), MIB) };
    assert_eq!(block.addr() as isize, -(Errno::ENXIO.code() as isize));
}

/// If the rounded size is beyond the end, the search runs again with the size itself.
#[test]
fn all_of_an_odd_space_is_contiguous() {
    let _lock = whole_process();
    let mut raw = Raw::new(3 * CHUNK, CHUNK).expect("a space");
    let mut list = List::new();
    let request = AllocRequest { size: 3 * CHUNK, flags: Flag::Contiguous.into(), ..chunk() };
    assert_eq!(raw.alloc(&request, &mut list), 0);
    assert_eq!(list.extents(&mut raw).iter().map(|extent| extent.1).sum::<u64>(), 3 * CHUNK);
    raw.free(&mut list);
}

/// If the first free block that the search looks at leads to no contiguous run, it goes on
/// to the next.
#[rstest]
#[case::not_where_it_is_aligned(&[(0, 4), (7, 3), (13, 3)], 4)]
#[case::neither_after_it_nor_before_it(&[(0, 4), (7, 3), (12, 4)], 1)]
fn a_run_is_looked_for_further_down(#[case] held: &[(u64, u64)], #[case] min_chunks: u64) {
    let _lock = whole_process();
    let buddy = space(16 * CHUNK);
    let hold = |&(start, size)| common::exact(&buddy, start * CHUNK, size * CHUNK).expect("free");
    let _held: Vec<_> = held.iter().map(hold).collect();
    let request = AllocRequest {
        size: 3 * CHUNK,
        min_block_size: min_chunks * CHUNK,
        flags: Flag::Contiguous.into(),
        ..chunk()
    };
    let run = buddy.alloc(&request).expect("free");
    assert_eq!(extents(&run), [(4 * CHUNK, 2 * CHUNK), (6 * CHUNK, CHUNK)]);
}

/// Two free buddies, one clear and one dirty, which merging by force makes one.
#[test]
fn there_is_no_merging_beyond_the_largest_order() {
    let _lock = whole_process();
    let mut raw = Raw::new(2 * CHUNK, CHUNK).expect("a space");
    let mut list = raw.simple(CHUNK);
    // SAFETY: the list is one of allocated blocks of this allocator.
    unsafe { ffi::gpu_buddy_free_list(raw.mm(), list.head(), ffi::GPU_BUDDY_CLEARED as u32) };
    let (mm, block) = (raw.mm(), root(&mut raw));
    let merge = || {
        // SAFETY: the allocator is initialised, and the block is its root.
        unsafe {
            ffi::gpu_buddy_reset_clear(mm, false);
            ffi::gpu_buddy_block_is_free(block)
        }
    };
    let set_max_order = |order| {
        // SAFETY: the allocator is initialised; a smaller number than the true
        // one lets the C look at fewer of its trees.
        unsafe { (*mm).max_order = order }
    };
    set_max_order(0);
    let captured = capture(merge);
    assert_eq!((captured.result, captured.warnings), (Ok(false), vec![]));
    set_max_order(1);
    assert!(merge());
}

#[test]
fn a_module_without_its_cache_does_not_load() {
    let _lock = whole_process();
    // The cache is restored before anything uses an allocator.
    ffi::fail_caches(true);
    // SAFETY: nothing uses an allocator meanwhile, since this has the whole process.
    let result = unsafe { ffi::module_init() };
    ffi::fail_caches(false);
    assert_eq!(result, -Errno::ENOMEM.code());
    // SAFETY: as above.
    assert_eq!(unsafe { ffi::module_init() }, 0);
    let buddy = space(MIB);
    drop(simple(&buddy, CHUNK, Flags::empty()).expect("room"));
    assert_eq!(buddy.fini().expect("the last handle").warnings, []);
}

#[test]
fn a_module_can_be_loaded_again() {
    let _lock = whole_process();
    // SAFETY: nothing uses an allocator meanwhile, since this has the whole process.
    unsafe { ffi::module_exit() };
    // SAFETY: as above.
    assert_eq!(unsafe { ffi::module_init() }, 0);
    let buddy = space(MIB);
    drop(simple(&buddy, CHUNK, Flags::empty()).expect("room"));
}

#[test]
fn sizes_are_printed_in_the_unit_that_fits() {
    let _lock = whole_process();
    let buddy = space(7 * MIB);
    let _small = simple(&buddy, 3 * CHUNK, Flags::empty()).expect("room");
    let _large = simple(&buddy, MIB, Flags::empty()).expect("room");
    let lines = buddy.print().expect("usable");
    let orders = buddy.statistics().expect("usable");
    assert_eq!(lines.len(), 1 + orders.len());
    for (line, order) in lines[1..].iter().zip(orders.iter().rev()) {
        let block_size = CHUNK << order.order;
        // Without counters, the free bytes decide the unit.
        let counts = KERNEL.has("scoreboard");
        let decides = if counts { block_size } else { order.free() * block_size };
        let (shift, unit) = if decides < MIB { (10, "KiB") } else { (20, "MiB") };
        let size = |blocks: u64| format!("{:8} {unit}", (blocks * block_size) >> shift);
        let mut expected = format!("order-{:2} free: {}, ", order.order, size(order.free()));
        if counts {
            expected.push_str(&format!("used: {}, ", size(order.allocated)));
        }
        assert!(line.text.starts_with(&expected), "{line} is not {expected}");
    }
}

/// With a block of each order, in a space with a root of each.
#[rstest]
fn a_teardown_in_use_warns_of_all_that_is_wrong(#[values(0, 1, 2)] order: u32) {
    let _lock = whole_process();
    let mut raw = Raw::new(7 * CHUNK, CHUNK).expect("a space");
    let list = raw.simple(CHUNK << order);
    let captured = capture(|| drop(raw));
    assert_eq!(captured.result, Ok(()));
    let mut expected = vec!["gpu_buddy_block_is_free(mm->roots[i])", "mm->avail"];
    if KERNEL.has("scoreboard") {
        expected.push("!mm->used_scoreboard[i]");
    }
    let found: Vec<_> = captured.warnings.iter().map(|warning| warning.condition).collect();
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found} is not about {expected}");
    }
    // The teardown has freed the root in use like the others.
    drop(list);
}
