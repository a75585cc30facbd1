//! Blocks by address, statistics, the largest block, and errors that say how much is free.

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
    assert_eq!(error.to_string(), format!("offset {offset} is outside the space of 1048576 bytes"));
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
