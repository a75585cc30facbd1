//! Where an allocation is placed: anywhere, from the top, in a range.

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
