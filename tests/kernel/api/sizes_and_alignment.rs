//! Valid and invalid sizes and alignments.

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
    let blocks = buddy.alloc_blocks(mode, size, alignment(min), Flag::TrimDisable).expect("room");
    // Some series do not round up a small size. Within a range they then ignore
    // the alignment.
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
    assert_eq!(buddy.block_at(u64::MAX - 4096).map(|block| block.map(|b| b.order)), Ok(Some(0)));
    drop((top, bottom));
    assert_all_free(&buddy);
}
