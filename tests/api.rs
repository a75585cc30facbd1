//! What the safe API does.

mod common;

use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::thread;

use common::{CHUNK, GIB, KIB, MIB, Random, alignment, exact, extents, params, simple, space};
use gpu_buddy::{
    AllocRequest, AllocatedBlocks, BlockInfo, BlockState, Errno, Error, GpuBuddy,
    GpuBuddyAllocFlag as Flag, GpuBuddyAllocFlags as Flags, GpuBuddyAllocMode as Mode,
    InvalidArgument, LogLevel, Snapshot,
};
use rstest::rstest;

fn none() -> Flags {
    Flags::empty()
}

/// The state of a space, to see whether something changed it.
fn state(buddy: &GpuBuddy) -> Snapshot {
    buddy.snapshot().expect("usable")
}

fn assert_all_free(buddy: &GpuBuddy) {
    assert_eq!(buddy.avail(), buddy.size());
    let snapshot = state(buddy);
    assert_eq!(snapshot.blocks.len(), buddy.size().count_ones() as usize, "{snapshot}");
    assert!(snapshot.blocks.iter().all(|block| block.state == BlockState::Free));
}

mod parameters {
    use super::*;

    #[rstest]
    #[case::no_room_for_a_chunk(0, 4095, 4096, "size 4095 is smaller than the chunk size 4096")]
    #[case::nothing(0, 0, 4096, "size 0 is smaller than the chunk size 4096")]
    #[case::size_before_chunk(0, 1024, 2048, "size 1024 is smaller than the chunk size 2048")]
    #[case::small_chunk(0, MIB, 2048, "chunk size 2048 is smaller than 4096")]
    #[case::smallest_chunk(0, 1, 1, "chunk size 1 is smaller than 4096")]
    #[case::beyond_the_last_address(
        u64::MAX - MIB + 1,
        MIB,
        4096,
        "base offset 18446744073708503040 plus size 1048576 is beyond the last 64-bit address"
    )]
    #[case::beyond_by_far(
        u64::MAX,
        u64::MAX,
        4096,
        "base offset 18446744073709551615 plus size 18446744073709551615 \
         is beyond the last 64-bit address"
    )]
    fn are_refused(
        #[case] base_offset: u64,
        #[case] size: u64,
        #[case] chunk_size: u64,
        #[case] message: &str,
    ) {
        let error = GpuBuddy::new(params(base_offset, size, chunk_size)).expect_err("EINVAL");
        assert_eq!(error.errno(), Errno::EINVAL);
        assert_eq!(error.to_string(), message);
    }

    #[rstest]
    #[case::a_chunk(4096, 4096, 4096)]
    #[case::not_quite_two(8191, 4096, 4096)]
    #[case::a_multiple(12 * KIB, 4096, 12 * KIB)]
    #[case::larger_chunks(10_000_000, 64 * KIB, 9_961_472)]
    #[case::everything(u64::MAX, 4096, u64::MAX - 4095)]
    #[case::the_largest_chunk(u64::MAX, 1 << 63, 1 << 63)]
    fn size_is_rounded_down_to_chunks(
        #[case] size: u64,
        #[case] chunk_size: u64,
        #[case] managed: u64,
    ) {
        let buddy = GpuBuddy::new(params(0, size, chunk_size)).expect("a space");
        assert_eq!((buddy.size(), buddy.avail(), buddy.clear_avail()), (managed, managed, 0));
        assert_eq!(buddy.chunk_size().as_u64(), chunk_size);
        assert_all_free(&buddy);
    }

    #[rstest]
    #[case::none(0)]
    #[case::some(0x1_2345_6000)]
    #[case::not_aligned(1)]
    #[case::the_last_that_fits(u64::MAX - MIB)]
    fn base_offset_is_added_to_what_is_reported(#[case] base_offset: u64) {
        let buddy = GpuBuddy::new(params(base_offset, MIB, CHUNK)).expect("a space");
        assert_eq!(buddy.base_offset(), base_offset);
        // What is passed in counts from 0.
        let blocks = exact(&buddy, 64 * KIB, 64 * KIB).expect("free");
        assert_eq!(extents(&blocks), [(base_offset + 64 * KIB, 64 * KIB)]);
        let block = blocks.iter().next().expect("a block");
        assert_eq!(block.info().offset, 64 * KIB);
        assert_eq!(buddy.block_at(64 * KIB), Ok(Some(block.info())));
        drop(blocks);
        assert_eq!(buddy.longest_free_run(), Ok(0..MIB));
    }

    #[test]
    fn trim_counts_without_the_base_offset() {
        let buddy = GpuBuddy::new(params(GIB, MIB, CHUNK)).expect("a space");
        let mut blocks = exact(&buddy, 64 * KIB, 64 * KIB).expect("free");
        blocks.trim(Some(96 * KIB), 32 * KIB).expect("inside");
        assert_eq!(extents(&blocks), [(GIB + 96 * KIB, 32 * KIB)]);
    }
}

mod modes {
    use super::*;

    /// 16 MiB with 4..8 MiB taken: 0..4 and 8..16 are free.
    fn with_a_hole() -> (GpuBuddy, AllocatedBlocks) {
        let buddy = space(16 * MIB);
        let taken = exact(&buddy, 4 * MIB, 4 * MIB).expect("free");
        (buddy, taken)
    }

    #[rstest]
    #[case::simple_takes_the_smallest_hole_that_fits(Mode::Simple, 4, 0)]
    #[case::simple_takes_the_top_of_it(Mode::Simple, 1, 3)]
    #[case::simple_goes_on_to_larger_ones(Mode::Simple, 8, 8)]
    #[case::top_down_takes_the_top(Mode::TopDown, 4, 12)]
    #[case::top_down_whatever_the_size(Mode::TopDown, 1, 15)]
    #[case::an_exact_range(Mode::Range(9 * MIB..10 * MIB), 1, 9)]
    #[case::the_bottom_of_a_range(Mode::Range(9 * MIB..13 * MIB), 1, 9)]
    #[case::a_range_over_what_is_taken(Mode::Range(4 * MIB..12 * MIB), 4, 8)]
    fn place_a_block(#[case] mode: Mode, #[case] mebibytes: u64, #[case] at: u64) {
        let (buddy, _taken) = with_a_hole();
        let size = mebibytes * MIB;
        let blocks = buddy.alloc_blocks(mode, size, alignment(size), none()).expect("room");
        assert_eq!(extents(&blocks), [(at * MIB, size)]);
        assert_eq!(blocks.iter().next().map(|block| block.order()), Some((size / CHUNK).ilog2()));
        assert_eq!(buddy.avail(), 12 * MIB - size);
    }

    #[rstest]
    #[case::no_flag(none())]
    #[case::contiguous(Flag::Contiguous.into())]
    #[case::clear(Flag::Clear.into())]
    #[case::trim_disable(Flag::TrimDisable.into())]
    #[case::all(Flags::all())]
    fn an_exact_range_is_taken_whatever_the_flags(#[case] flags: Flags) {
        let buddy = space(16 * MIB);
        let range = 4 * KIB..28 * KIB;
        let mode = Mode::Range(range.clone());
        let blocks = buddy.alloc_blocks(mode, 24 * KIB, alignment(CHUNK), flags).expect("free");
        let expected = [(4, 4), (8, 8), (16, 8), (24, 4)].map(|(at, of)| (at * KIB, of * KIB));
        assert_eq!(extents(&blocks), expected);
    }

    #[rstest]
    #[case::one_chunk_of_it(4 * MIB - CHUNK, 2 * CHUNK)]
    #[case::all_of_it(4 * MIB, 4 * MIB)]
    #[case::around_it(0, 16 * MIB)]
    fn an_exact_range_that_is_taken_is_no_room(#[case] start: u64, #[case] size: u64) {
        let (buddy, _taken) = with_a_hole();
        let before = state(&buddy);
        assert!(matches!(exact(&buddy, start, size), Err(Error::NoSpace { .. })));
        assert_eq!(state(&buddy).avail, before.avail);
    }

    #[test]
    fn an_exact_range_needs_no_range_flag() {
        let buddy = space(16 * MIB);
        let (start, size) = (5 * MIB, MIB);
        let request = AllocRequest {
            start,
            end: start + size,
            size,
            min_block_size: CHUNK,
            ..AllocRequest::default()
        };
        let blocks = buddy.alloc(&request).expect("free");
        assert_eq!(extents(&blocks), [(start, size)]);
    }

    #[rstest]
    #[case::empty(MIB, MIB, "range 1048576..1048576 is empty")]
    #[case::inverted(2 * MIB, MIB, "range 2097152..1048576 is empty")]
    #[case::at_the_start(0, 0, "range 0..0 is empty")]
    #[case::not_of_chunks(
        1, MIB + 1,
        "range 1..1048577 does not begin and end at a multiple of the chunk size 4096"
    )]
    #[case::beyond_the_end(
        15 * MIB, 17 * MIB,
        "range 15728640..17825792 ends beyond the space of 16777216 bytes"
    )]
    fn ranges_that_are_refused(#[case] start: u64, #[case] end: u64, #[case] message: &str) {
        let buddy = space(16 * MIB);
        let error = buddy
            .alloc_blocks(Mode::Range(start..end), CHUNK, alignment(CHUNK), none())
            .expect_err("EINVAL");
        assert_eq!((error.errno(), error.to_string()), (Errno::EINVAL, message.into()));
    }

    #[test]
    fn a_range_is_not_left() {
        let buddy = space(16 * MIB);
        let range = 3 * MIB..5 * MIB;
        let alloc =
            || buddy.alloc_blocks(Mode::Range(range.clone()), 64 * KIB, alignment(CHUNK), none());
        let held: Vec<_> = std::iter::from_fn(|| alloc().ok()).collect();
        assert_eq!(held.len() as u64, 2 * MIB / (64 * KIB));
        for (offset, size) in held.iter().flat_map(extents) {
            assert!(range.contains(&offset) && offset + size <= range.end);
        }
        assert_eq!(alloc().expect_err("full").errno(), Errno::ENOSPC);
    }
}

mod sizes_and_alignment {
    use super::*;

    #[rstest]
    #[case::nothing(0, CHUNK, "size 0 is smaller than the chunk size 4096")]
    #[case::less_than_a_chunk(4095, CHUNK, "size 4095 is smaller than the chunk size 4096")]
    #[case::not_of_chunks(6000, CHUNK, "size 6000 is not a multiple of the chunk size 4096")]
    #[case::small_blocks(8192, 2048, "min_block_size 2048 is smaller than the chunk size 4096")]
    #[case::more_than_the_space(
        17 * MIB,
        CHUNK,
        "17825792 bytes from offset 0 on end beyond the space of 16777216 bytes"
    )]
    #[case::more_than_the_space_when_rounded(
        12 * MIB,
        32 * MIB,
        "size 12582912, rounded up to 33554432, is more than the space of 16777216 bytes"
    )]
    fn are_refused(#[case] size: u64, #[case] min_block_size: u64, #[case] message: &str) {
        let buddy = space(16 * MIB);
        let before = state(&buddy);
        let error = buddy
            .alloc_blocks(Mode::Simple, size, alignment(min_block_size), none())
            .expect_err("EINVAL");
        assert_eq!((error.errno(), error.to_string()), (Errno::EINVAL, message.into()));
        assert_eq!(state(&buddy), before);
    }

    #[test]
    fn a_raw_block_size_has_to_be_a_power_of_two() {
        let request =
            AllocRequest { size: 16 * KIB, min_block_size: 12 * KIB, ..AllocRequest::default() };
        let error = space(MIB).alloc(&request).expect_err("EINVAL");
        assert_eq!(error.to_string(), "min_block_size 12288 is not a power of two");
    }

    #[test]
    fn an_exact_range_has_to_be_aligned() {
        let mode = Mode::Range(12 * KIB..20 * KIB);
        let error =
            space(MIB).alloc_blocks(mode, 8 * KIB, alignment(8 * KIB), none()).expect_err("EINVAL");
        let message = "range 12288..20480 is as long as the request, \
                       but is not aligned to min_block_size 8192";
        assert_eq!(error.to_string(), message);
    }

    #[rstest]
    fn blocks_are_aligned_and_no_smaller(
        #[values(4, 8, 12, 64, 68, 1020)] kibibytes: u64,
        #[values(4, 16, 256)] min_kibibytes: u64,
        #[values(Mode::Simple, Mode::TopDown, Mode::Range(256 * KIB..3 * MIB))] mode: Mode,
    ) {
        let buddy = space(4 * MIB);
        let (size, min) = (kibibytes * KIB, min_kibibytes * KIB);
        let in_range = matches!(mode, Mode::Range(_));
        let blocks =
            buddy.alloc_blocks(mode, size, alignment(min), Flag::TrimDisable).expect("room");
        // Some series keep a small size as it is. Within a range they do not
        // look at the alignment then.
        let kept = cfg!(offset_align) && size < min && size.is_power_of_two();
        let smallest = if kept { size } else { min };
        let aligned = if kept && in_range { size } else { min };
        assert!(blocks.size() >= size);
        for (offset, length) in extents(&blocks) {
            assert!(length >= smallest, "{length:#x}");
            assert!(offset.is_multiple_of(aligned), "{offset:#x}");
        }
    }

    #[test]
    fn a_small_block_can_be_aligned_beyond_its_size() {
        let buddy = space(MIB);
        let alloc = || buddy.alloc_blocks(Mode::Simple, CHUNK, alignment(64 * KIB), none());
        let held: Vec<_> = std::iter::from_fn(|| alloc().ok()).collect();
        assert_eq!(held.len(), 16);
        for (offset, size) in held.iter().flat_map(extents) {
            assert_eq!((offset % (64 * KIB), size), (0, CHUNK));
        }
        assert_eq!(buddy.avail(), MIB - 16 * CHUNK);
    }

    #[test]
    fn the_largest_space_is_usable_at_both_ends() {
        let buddy = GpuBuddy::new(params(0, u64::MAX, CHUNK)).expect("a space");
        let top = exact(&buddy, u64::MAX - 8191, CHUNK).expect("free");
        let bottom = exact(&buddy, 0, 1 << 63).expect("free");
        assert_eq!(extents(&top), [(u64::MAX - 8191, CHUNK)]);
        assert_eq!(extents(&bottom), [(0, 1 << 63)]);
        assert_eq!(buddy.largest_free_block(), Ok(1 << 62));
        assert_eq!(buddy.longest_free_run(), Ok(1 << 63..u64::MAX - 8191));
        assert_eq!(
            buddy.block_at(u64::MAX - 4096).map(|block| block.map(|b| b.order)),
            Ok(Some(0))
        );
        drop((top, bottom));
        assert_all_free(&buddy);
    }
}

mod flags {
    use super::*;

    #[test]
    fn contiguous_blocks_follow_one_another_and_are_trimmed() {
        let buddy = space(MIB);
        let blocks = simple(&buddy, 12 * KIB, Flag::Contiguous).expect("room");
        let extents = extents(&blocks);
        let start = extents[0].0;
        assert_eq!(extents, [(start, 8 * KIB), (start + 8 * KIB, 4 * KIB)]);
        assert_eq!(buddy.avail(), MIB - 12 * KIB);
    }

    #[rstest]
    #[case::contiguous(Flag::Contiguous | Flag::TrimDisable, CHUNK)]
    #[case::rounded_to_blocks(Flag::TrimDisable.into(), 16 * KIB)]
    fn without_a_trim_all_of_the_block_is_kept(#[case] flags: Flags, #[case] min: u64) {
        let buddy = space(MIB);
        let blocks =
            buddy.alloc_blocks(Mode::Simple, 12 * KIB, alignment(min), flags).expect("room");
        assert_eq!(extents(&blocks), [(MIB - 16 * KIB, 16 * KIB)]);
        assert_eq!(buddy.avail(), MIB - 16 * KIB);
    }

    #[test]
    fn contiguous_memory_is_found_across_blocks() {
        // 3 MiB free in a row, but no block of 4 MiB.
        let buddy = space(4 * MIB);
        let _last = exact(&buddy, 3 * MIB, MIB).expect("free");
        let blocks = simple(&buddy, 3 * MIB, Flag::Contiguous).expect("room");
        assert_eq!(extents(&blocks), [(0, 2 * MIB), (2 * MIB, MIB)]);
        assert_eq!(buddy.avail(), 0);
    }

    /// 1 MiB is clear, the rest is not.
    fn with_clear_memory() -> GpuBuddy {
        let buddy = space(16 * MIB);
        exact(&buddy, 5 * MIB, MIB).expect("free").free_cleared();
        assert_eq!((buddy.avail(), buddy.clear_avail()), (16 * MIB, MIB));
        buddy
    }

    #[test]
    fn clear_memory_is_preferred_when_asked_for() {
        let buddy = with_clear_memory();
        let blocks = simple(&buddy, MIB, Flag::Clear).expect("room");
        assert_eq!(extents(&blocks), [(5 * MIB, MIB)]);
        assert!(blocks.iter().all(|block| block.is_clear()));
        assert_eq!(buddy.clear_avail(), 0);
    }

    #[test]
    fn clear_memory_is_spared_when_not_asked_for() {
        let buddy = with_clear_memory();
        let blocks = simple(&buddy, MIB, none()).expect("room");
        assert!(blocks.iter().all(|block| !block.is_clear()));
        assert_eq!(buddy.clear_avail(), MIB);
    }

    #[test]
    fn dirty_memory_is_taken_where_no_clear_is_left() {
        let buddy = with_clear_memory();
        let blocks = simple(&buddy, 2 * MIB, Flag::Clear).expect("room");
        assert_eq!(blocks.size(), 2 * MIB);
        assert!(blocks.iter().any(|block| !block.is_clear()));
    }
}

mod freeing {
    use super::*;

    type FreeWith = fn(AllocatedBlocks);

    #[rstest]
    #[case::dirty_when_dropped(drop, 0, 0)]
    #[case::cleared(AllocatedBlocks::free_cleared, MIB, MIB)]
    #[case::as_allocated(AllocatedBlocks::free_as_allocated, 0, MIB)]
    fn decides_what_is_clear(
        #[case] free: FreeWith,
        #[case] from_dirty: u64,
        #[case] from_clear: u64,
    ) {
        let buddy = space(MIB);
        free(simple(&buddy, MIB, none()).expect("room"));
        assert_eq!((buddy.avail(), buddy.clear_avail()), (MIB, from_dirty));

        buddy.reset_clear(true).expect("usable");
        free(simple(&buddy, MIB, none()).expect("room"));
        assert_eq!((buddy.avail(), buddy.clear_avail()), (MIB, from_clear));
    }

    #[rstest]
    #[case::dirty_when_dropped(drop)]
    #[case::cleared(AllocatedBlocks::free_cleared)]
    #[case::as_allocated(AllocatedBlocks::free_as_allocated)]
    fn takes_allocations_of_many_blocks(#[case] free: FreeWith) {
        let buddy = space(MIB);
        let blocks = exact(&buddy, CHUNK, MIB - 2 * CHUNK).expect("free");
        assert!(blocks.iter().count() > 2);
        free(blocks);
        assert_eq!(buddy.avail(), MIB);
        assert_eq!(buddy.longest_free_run(), Ok(0..MIB));
        assert_eq!(buddy.fini().expect("the last handle").warnings, []);
    }

    #[test]
    fn clear_and_dirty_halves_are_merged_at_the_end_only() {
        let buddy = space(MIB);
        let dirty = exact(&buddy, 0, MIB / 2).expect("free");
        exact(&buddy, MIB / 2, MIB / 2).expect("free").free_cleared();
        drop(dirty);
        assert_eq!(buddy.largest_free_block(), Ok(MIB / 2));
        assert_eq!(buddy.fini().expect("the last handle").warnings, []);
    }

    #[rstest]
    #[case::pow2(MIB)]
    #[case::several_roots(MIB + 20 * KIB)]
    fn reset_clear_sets_all_that_is_free(#[case] size: u64) {
        let buddy = space(size);
        buddy.reset_clear(true).expect("usable");
        assert_eq!((buddy.avail(), buddy.clear_avail()), (size, size));
        assert!(state(&buddy).leaves().all(|block| block.clear));
        buddy.reset_clear(false).expect("usable");
        assert_eq!((buddy.avail(), buddy.clear_avail()), (size, 0));
        assert!(state(&buddy).leaves().all(|block| !block.clear));
    }
}

mod taking {
    use super::*;

    /// Blocks of 4, 8, 16 and 4 KiB.
    fn four(buddy: &GpuBuddy) -> AllocatedBlocks {
        let blocks = exact(buddy, 4 * KIB, 32 * KIB).expect("free");
        assert_eq!(sizes(&blocks), [4 * KIB, 8 * KIB, 16 * KIB, 4 * KIB]);
        blocks
    }

    fn sizes(blocks: &AllocatedBlocks) -> Vec<u64> {
        blocks.iter().map(|block| block.size()).collect()
    }

    #[rstest]
    #[case::first(0, &[8, 16, 4])]
    #[case::middle(2, &[4, 8, 4])]
    #[case::last(3, &[4, 8, 16])]
    fn one_block_leaves_the_others(#[case] index: usize, #[case] left: &[u64]) {
        let buddy = space(MIB);
        let mut blocks = four(&buddy);
        let expected = extents(&blocks)[index];
        let taken = blocks.take(index).expect("a block");
        assert_eq!(extents(&taken), [expected]);
        assert_eq!(sizes(&blocks), left.iter().map(|size| size * KIB).collect::<Vec<_>>());
        // Each is freed by itself.
        drop(blocks);
        assert_eq!(buddy.avail(), MIB - expected.1);
        drop(taken);
        assert_all_free(&buddy);
    }

    #[test]
    fn all_blocks_leaves_an_empty_allocation() {
        let buddy = space(MIB);
        let mut blocks = four(&buddy);
        let taken: Vec<_> = std::iter::from_fn(|| blocks.take(0)).collect();
        assert_eq!(taken.len(), 4);
        assert!(blocks.is_empty() && blocks.iter().next().is_none());
        assert_eq!(blocks.size(), 0);
        let error = blocks.trim(None, CHUNK).expect_err("nothing to trim");
        assert_eq!(error, InvalidArgument::TrimNotSingular { blocks: 0 }.into());
        drop(blocks);
        assert_eq!(buddy.avail(), MIB - 32 * KIB);
        drop(taken);
        assert_all_free(&buddy);
    }

    #[rstest]
    #[case::one_past_the_end(4)]
    #[case::far_past_the_end(usize::MAX)]
    fn a_block_that_is_not_there(#[case] index: usize) {
        let buddy = space(MIB);
        let mut blocks = four(&buddy);
        assert!(blocks.take(index).is_none());
        assert_eq!(blocks.iter().count(), 4);
    }

    #[test]
    fn a_taken_block_can_be_trimmed() {
        let buddy = space(MIB);
        let mut taken = four(&buddy).take(2).expect("a block");
        assert_eq!(buddy.avail(), MIB - 16 * KIB);
        taken.trim(None, 4 * KIB).expect("one block");
        assert_eq!(buddy.avail(), MIB - 4 * KIB);
    }
}

mod trimming {
    use super::*;

    /// A block of 64 KiB at 64 KiB.
    fn block(buddy: &GpuBuddy) -> AllocatedBlocks {
        exact(buddy, 64 * KIB, 64 * KIB).expect("free")
    }

    #[rstest]
    #[case::the_first_half(None, 32, &[(64, 32)])]
    #[case::an_odd_part(None, 44, &[(64, 32), (96, 8), (104, 4)])]
    #[case::one_chunk(None, 4, &[(64, 4)])]
    #[case::all_of_it(None, 64, &[(64, 64)])]
    #[case::from_its_start(Some(64), 12, &[(64, 8), (72, 4)])]
    #[case::the_second_half(Some(96), 32, &[(96, 32)])]
    #[case::the_middle(Some(76), 40, &[(76, 4), (80, 16), (96, 16), (112, 4)])]
    #[case::the_last_chunk(Some(124), 4, &[(124, 4)])]
    fn keeps_what_is_asked_for(
        #[case] start: Option<u64>,
        #[case] new_size: u64,
        #[case] expected: &[(u64, u64)],
    ) {
        let buddy = space(MIB);
        let mut blocks = block(&buddy);
        blocks.trim(start.map(|start| start * KIB), new_size * KIB).expect("inside");
        let expected: Vec<_> = expected.iter().map(|(at, of)| (at * KIB, of * KIB)).collect();
        assert_eq!(extents(&blocks), expected);
        assert_eq!(buddy.avail(), MIB - new_size * KIB);
        drop(blocks);
        assert_all_free(&buddy);
    }

    #[rstest]
    #[case::to_more(None, 128 * KIB, "a block of 65536 bytes cannot be trimmed to 131072")]
    #[case::to_nothing(None, 0, "new size 0 is not a positive multiple of the chunk size 4096")]
    #[case::to_no_chunks(
        None,
        6000,
        "new size 6000 is not a positive multiple of the chunk size 4096"
    )]
    #[case::from_no_chunk(
        Some(66_000),
        CHUNK,
        "trimming cannot begin at 66000, which is not a multiple of the chunk size 4096"
    )]
    #[case::from_before_the_block(
        Some(60 * KIB),
        8 * KIB,
        "8192 bytes from offset 61440 on are not inside the block 65536..131072"
    )]
    #[case::to_beyond_the_block(
        Some(124 * KIB),
        8 * KIB,
        "8192 bytes from offset 126976 on are not inside the block 65536..131072"
    )]
    #[case::from_behind_the_block(
        Some(128 * KIB),
        4 * KIB,
        "4096 bytes from offset 131072 on are not inside the block 65536..131072"
    )]
    fn that_is_refused_changes_nothing(
        #[case] start: Option<u64>,
        #[case] new_size: u64,
        #[case] message: &str,
    ) {
        let buddy = space(MIB);
        let mut blocks = block(&buddy);
        let before = state(&buddy);
        let error = blocks.trim(start, new_size).expect_err("EINVAL");
        assert_eq!((error.errno(), error.to_string()), (Errno::EINVAL, message.into()));
        assert_eq!(extents(&blocks), [(64 * KIB, 64 * KIB)]);
        assert_eq!(state(&buddy), before);
    }

    #[test]
    fn takes_one_block() {
        let buddy = space(MIB);
        let mut blocks = exact(&buddy, CHUNK, 2 * CHUNK).expect("free");
        assert_eq!(
            blocks.trim(None, CHUNK).expect_err("EINVAL").to_string(),
            "an allocation of 2 blocks cannot be trimmed; only one of a single block can"
        );
        assert_eq!(blocks.size(), 2 * CHUNK);
    }

    #[test]
    fn keeps_the_clear_state() {
        let buddy = space(MIB);
        buddy.reset_clear(true).expect("usable");
        let mut blocks = block(&buddy);
        blocks.trim(None, 32 * KIB).expect("inside");
        assert!(blocks.iter().all(|block| block.is_clear()));
        assert_eq!(buddy.clear_avail(), MIB - 32 * KIB);
    }
}

mod looking {
    use super::*;

    #[rstest]
    #[case::its_first_byte(64 * KIB, true)]
    #[case::inside(64 * KIB + 17, true)]
    #[case::its_last_byte(128 * KIB - 1, true)]
    #[case::before_it(64 * KIB - 1, false)]
    #[case::behind_it(128 * KIB, false)]
    #[case::the_first_of_the_space(0, false)]
    #[case::the_last_of_the_space(MIB - 1, false)]
    fn block_at_finds_what_is_allocated(#[case] offset: u64, #[case] found: bool) {
        let buddy = space(MIB);
        let _blocks = exact(&buddy, 64 * KIB, 64 * KIB).expect("free");
        let block =
            BlockInfo { offset: 64 * KIB, order: 4, state: BlockState::Allocated, clear: false };
        assert_eq!(buddy.block_at(offset), Ok(found.then_some(block)));
    }

    #[rstest]
    #[case::the_end(MIB)]
    #[case::the_last_address(u64::MAX)]
    fn block_at_outside_is_an_error(#[case] offset: u64) {
        let error = space(MIB).block_at(offset).expect_err("outside");
        assert_eq!(error, Error::OutOfRange { offset, size: MIB });
        assert_eq!(error.errno(), Errno::ENXIO);
        assert_eq!(
            error.to_string(),
            format!("offset {offset} is outside the space of 1048576 bytes")
        );
    }

    #[test]
    fn statistics_count_the_blocks_of_each_order() {
        let buddy = space(64 * KIB);
        let _one = exact(&buddy, 0, 4 * KIB).expect("free");
        exact(&buddy, 8 * KIB, 8 * KIB).expect("free").free_cleared();
        let statistics = buddy.statistics().expect("usable");
        let counts: Vec<_> = statistics
            .iter()
            .map(|order| (order.order, order.free_clear, order.free_dirty, order.allocated))
            .collect();
        let expected = [(0, 0, 1, 1), (1, 1, 0, 0), (2, 0, 1, 0), (3, 0, 1, 0), (4, 0, 0, 0)];
        assert_eq!(counts, expected);
        assert_eq!(statistics.iter().map(|order| order.free()).sum::<u64>(), 4);
    }

    #[rstest]
    #[case::nothing_taken(&[], 16, 0..16)]
    #[case::the_first_quarter(&[(0, 4)], 8, 4..16)]
    #[case::a_run_of_unlike_blocks(&[(0, 1), (8, 8)], 4, 1..8)]
    #[case::the_first_of_two_runs(&[(4, 1), (9, 7)], 4, 0..4)]
    #[case::a_run_may_be_longer_than_the_largest_block(&[(0, 2), (6, 10)], 2, 2..6)]
    #[case::everything_taken(&[(0, 16)], 0, 0..0)]
    fn the_largest_block_and_the_longest_run(
        #[case] taken: &[(u64, u64)],
        #[case] block: u64,
        #[case] run: std::ops::Range<u64>,
    ) {
        let buddy = space(16 * MIB);
        let _taken: Vec<_> = taken
            .iter()
            .map(|(start, size)| exact(&buddy, start * MIB, size * MIB).expect("free"))
            .collect();
        assert_eq!(buddy.largest_free_block(), Ok(block * MIB));
        assert_eq!(buddy.longest_free_run(), Ok(run.start * MIB..run.end * MIB));
        let snapshot = state(&buddy);
        assert_eq!(snapshot.largest_free_block(), block * MIB);
        assert_eq!(snapshot.longest_free_run(), run.start * MIB..run.end * MIB);
    }

    #[test]
    fn a_run_goes_over_clear_and_dirty_blocks() {
        let buddy = space(MIB);
        exact(&buddy, 0, MIB / 2).expect("free").free_cleared();
        assert_eq!(buddy.largest_free_block(), Ok(MIB / 2));
        assert_eq!(buddy.longest_free_run(), Ok(0..MIB));
    }

    #[test]
    fn no_room_says_how_much_there_is() {
        let buddy = space(16 * MIB);
        let _taken = exact(&buddy, 4 * MIB, 4 * MIB).expect("free");
        let error = exact(&buddy, 0, 16 * MIB).expect_err("taken");
        let expected =
            Error::NoSpace { requested: 16 * MIB, avail: 12 * MIB, largest_free_block: 8 * MIB };
        assert_eq!(error, expected);
        assert_eq!((error.errno(), error.errno().code()), (Errno::ENOSPC, 28));
        assert_eq!(
            error.to_string(),
            "no room for 16777216 bytes: 12582912 bytes are free, \
             the largest free block has 8388608"
        );
    }

    #[test]
    fn no_room_in_a_full_space() {
        let buddy = space(MIB);
        let _all = simple(&buddy, MIB, none()).expect("room");
        let expected = Error::NoSpace { requested: CHUNK, avail: 0, largest_free_block: 0 };
        assert_eq!(simple(&buddy, CHUNK, none()).expect_err("full"), expected);
    }

    #[test]
    fn a_handle_is_shown_with_its_parameters() {
        let text = format!("{:?}", space(MIB));
        for field in ["base_offset: 0", "size: 1048576", "chunk_size: Alignment(4096)", "avail"] {
            assert!(text.contains(field), "{text}");
        }
        let blocks = simple(&space(MIB), CHUNK, none()).expect("room");
        assert!(format!("{blocks:?}").contains("offset: 1044480, size: 4096, order: 0"));
    }
}

/// Frees and allocates at random, in all the ways there are.
fn churn(buddy: &GpuBuddy, seed: u64, mut each: impl FnMut()) -> Vec<AllocatedBlocks> {
    let mut random = Random::new(seed);
    let mut held: Vec<AllocatedBlocks> = Vec::new();
    for _ in 0..500 {
        if held.len() > 20 || (random.below(3) == 0 && !held.is_empty()) {
            let blocks = held.swap_remove(random.below(held.len() as u64) as usize);
            match random.below(3) {
                0 => drop(blocks),
                1 => blocks.free_cleared(),
                _ => blocks.free_as_allocated(),
            }
        } else {
            let size = (1 + random.below(40)) * CHUNK;
            let start = random.below(buddy.size() / 2 / CHUNK) * CHUNK;
            let modes = [Mode::Simple, Mode::TopDown, Mode::Range(start..start + 64 * CHUNK)];
            let flags = Flags::from_bits_truncate(random.next());
            let min_block_size = alignment(CHUNK << random.below(4));
            let mode = random.pick(&modes).clone();
            match buddy.alloc_blocks(mode, size, min_block_size, flags) {
                Ok(blocks) => held.push(blocks),
                Err(error) => assert_eq!(error.errno(), Errno::ENOSPC),
            }
        }
        each();
    }
    held
}

mod snapshots {
    use super::*;

    /// Checks a snapshot against itself.
    fn check(snapshot: &Snapshot) {
        let mut end = 0;
        let (mut free, mut clear) = (0, 0);
        for block in snapshot.leaves() {
            assert_eq!(block.offset, end, "{snapshot}");
            let size = snapshot.block_size(block);
            assert_eq!(block.offset % size, 0, "{snapshot}");
            end += size;
            if block.state == BlockState::Free {
                free += size;
                clear += if block.clear { size } else { 0 };
            }
        }
        assert_eq!((end, free, clear), (snapshot.size, snapshot.avail, snapshot.clear_avail));
        for pair in snapshot.blocks.windows(2) {
            if pair[0].state == BlockState::Split {
                // The left half comes next.
                let left = (pair[0].offset, pair[0].order - 1);
                assert_eq!((pair[1].offset, pair[1].order), left);
                assert!(!pair[0].clear);
            }
        }
        let counted: u64 = snapshot
            .statistics()
            .iter()
            .map(|order| (order.free() + order.allocated) * (snapshot.chunk_size << order.order))
            .sum();
        assert_eq!(counted, snapshot.size);
    }

    #[rstest]
    fn tile_the_space_and_add_up(
        #[values(MIB, 3 * MIB + 20 * KIB)] size: u64,
        #[values(1, 2, 3)] seed: u64,
    ) {
        let buddy = space(size);
        let held = churn(&buddy, seed, || check(&state(&buddy)));
        let snapshot = state(&buddy);
        let held_bytes: u64 = held.iter().map(AllocatedBlocks::size).sum();
        assert_eq!(snapshot.avail, size - held_bytes);
        assert!(!held.is_empty());
        // Every block that is held is in it, as what it is.
        let mut blocks: Vec<_> =
            held.iter().flat_map(|blocks| blocks.iter().map(|block| block.info())).collect();
        blocks.sort();
        let allocated: Vec<_> = snapshot
            .leaves()
            .filter(|block| block.state == BlockState::Allocated)
            .copied()
            .collect();
        assert_eq!(blocks, allocated);
        drop(held);
        check(&state(&buddy));
        assert_eq!((buddy.avail(), buddy.warnings()), (size, vec![]));
    }

    #[test]
    fn print_counts_the_same_blocks_as_the_statistics() {
        let buddy = space(3 * MIB + 20 * KIB);
        let _held = churn(&buddy, 5, || {});
        let lines = buddy.print().expect("usable");
        assert!(lines.iter().all(|line| line.level == LogLevel::Info));
        let statistics = buddy.statistics().expect("usable");
        assert!(statistics.iter().any(|order| order.free() > 1));

        let [first, orders @ ..] = &lines[..] else { panic!("nothing was printed") };
        let free = buddy.avail() >> 20;
        let clear = buddy.clear_avail() >> 20;
        let expected =
            format!("chunk_size: 4KiB, total: 3MiB, free: {free}MiB, clear_free: {clear}MiB");
        assert_eq!(first.text, expected);
        assert_eq!(orders.len(), statistics.len());
        for (line, statistics) in orders.iter().zip(statistics.iter().rev()) {
            let text = &line.text;
            assert!(text.starts_with(&format!("order-{:2} ", statistics.order)), "{text}");
            let count = text.split_once("blocks: ").expect(text).1;
            let count = count.split(',').next().map(str::parse);
            assert_eq!(count, Some(Ok(statistics.free())), "{text}");
            if let Some((_, used)) = text.split_once("used_blocks: ") {
                assert_eq!(used.parse(), Ok(statistics.allocated), "{text}");
            }
        }
    }

    #[test]
    fn display_is_what_print_prints() {
        let buddy = space(3 * MIB);
        let _blocks = simple(&buddy, 20 * KIB, none()).expect("room");
        let lines: String =
            buddy.print().expect("usable").iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(buddy.to_string(), lines);
    }

    #[test]
    fn are_shown_a_line_for_each_block() {
        let buddy = space(16 * KIB);
        let _blocks = exact(&buddy, 0, 4 * KIB).expect("free");
        exact(&buddy, 8 * KIB, 8 * KIB).expect("free").free_cleared();
        let expected = "\
            size 0x4000, chunk size 0x1000, avail 0x3000, clear 0x2000\n\
            0x0000000000000000-0x0000000000001000 order  0 allocated\n\
            0x0000000000001000-0x0000000000002000 order  0 free\n\
            0x0000000000002000-0x0000000000004000 order  1 free clear\n";
        assert_eq!(state(&buddy).to_string(), expected);
    }
}

mod life {
    use super::*;

    #[test]
    fn a_clone_is_the_same_allocator() {
        let buddy = space(MIB);
        let other = buddy.clone();
        let blocks = simple(&other, 64 * KIB, none()).expect("room");
        assert_eq!(buddy.avail(), MIB - 64 * KIB);
        drop(other);
        drop(blocks);
        assert_all_free(&buddy);
    }

    #[test]
    fn an_allocation_keeps_its_allocator_alive() {
        let buddy = space(MIB);
        let blocks = simple(&buddy, 64 * KIB, none()).expect("room");
        drop(buddy);
        assert_eq!(extents(&blocks), [(MIB - 64 * KIB, 64 * KIB)]);
        let buddy = blocks.buddy().clone();
        drop(blocks);
        assert_all_free(&buddy);
        assert_eq!(buddy.fini().expect("the last handle").warnings, []);
    }

    #[test]
    fn fini_reports_nothing_of_a_clean_end() {
        let buddy = space(3 * MIB);
        drop(churn(&buddy, 7, || {}));
        let fini = buddy.fini().expect("the last handle");
        assert_eq!((fini.warnings, fini.bug, fini.leaked_objects), (vec![], None, 0));
    }

    #[test]
    fn fini_gives_the_handle_back_where_another_is_alive() {
        let buddy = space(MIB);
        let other = buddy.clone();
        let buddy = buddy.fini().expect_err("shared");
        drop(other);
        let blocks = simple(&buddy, CHUNK, none()).expect("it still works");
        let buddy = buddy.fini().expect_err("an allocation is alive");
        assert_eq!(buddy.avail(), MIB - CHUNK);
        drop(blocks);
        assert!(buddy.fini().is_ok());
    }

    #[test]
    fn objects_are_counted() {
        let buddy = space(MIB);
        let fresh = buddy.live_objects();
        let blocks = simple(&buddy, CHUNK, none()).expect("room");
        // Eight splits make two blocks each.
        assert_eq!(buddy.live_objects(), fresh + 16);
        drop(blocks);
        assert_eq!(buddy.live_objects(), fresh);
    }
}

mod threads {
    use super::*;

    #[test]
    fn what_one_allocates_another_frees() {
        let buddy = space(MIB);
        let (sender, receiver) = channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..1000 {
                    // Where all is on its way to the other thread, it waits.
                    while let Err(error) = simple(&buddy, 20 * KIB, none())
                        .map(|blocks| sender.send(blocks).expect("a receiver"))
                    {
                        assert_eq!(error.errno(), Errno::ENOSPC);
                        thread::yield_now();
                    }
                }
                drop(sender);
            });
            let freed =
                scope.spawn(|| receiver.into_iter().map(|blocks| blocks.size()).sum::<u64>());
            assert_eq!(freed.join().expect("no panic"), 1000 * 20 * KIB);
        });
        assert_all_free(&buddy);
    }

    #[test]
    fn many_share_one_allocator() {
        const THREADS: u64 = 8;
        let buddy = space(16 * MIB);
        let barrier = Barrier::new(THREADS as usize);
        let held: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|seed| {
                    let (buddy, barrier) = (buddy.clone(), &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        churn(&buddy, seed + 100, || {})
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });

        let mut extents: Vec<_> = held.iter().flat_map(extents).collect();
        extents.sort_unstable();
        assert!(extents.len() > THREADS as usize);
        for pair in extents.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:x?} overlap");
        }
        let bytes: u64 = extents.iter().map(|(_, size)| size).sum();
        assert_eq!(buddy.avail(), 16 * MIB - bytes);

        drop(held);
        assert_eq!(buddy.longest_free_run(), Ok(0..16 * MIB));
        let all = exact(&buddy, 0, 16 * MIB).expect("everything is free");
        drop(all);
        assert_all_free(&buddy);
        let fini = buddy.fini().expect("the last handle");
        assert_eq!((fini.warnings, fini.leaked_objects), (vec![], 0));
    }

    #[test]
    fn a_block_is_read_while_others_allocate() {
        let buddy = space(16 * MIB);
        let blocks = exact(&buddy, CHUNK, MIB).expect("free");
        let expected = extents(&blocks);
        thread::scope(|scope| {
            let worker = scope.spawn(|| drop(churn(&buddy, 9, || {})));
            while !worker.is_finished() {
                assert_eq!(extents(&blocks), expected);
            }
        });
    }
}
