//! Ways to free, and the clear state.

use super::*;

type FreeWith = fn(AllocatedBlocks);

#[rstest]
#[case::dirty_when_dropped(drop, 0, 0)]
#[case::cleared(AllocatedBlocks::free_cleared, MIB, MIB)]
#[case::as_allocated(AllocatedBlocks::free_as_allocated, 0, MIB)]
fn decides_what_is_clear(#[case] free: FreeWith, #[case] from_dirty: u64, #[case] from_clear: u64) {
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
