//! Allocations are trimmed.

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
#[case::to_no_chunks(None, 6000, "new size 6000 is not a positive multiple of the chunk size 4096")]
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
