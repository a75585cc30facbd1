//! Contiguous, clear and untrimmed allocations.

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
    let blocks = buddy.alloc_blocks(Mode::Simple, 12 * KIB, alignment(min), flags).expect("room");
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
