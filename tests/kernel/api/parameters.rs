//! Valid and invalid parameters of a space.

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
    // Arguments count from 0.
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
