//! Single blocks are taken out of an allocation.

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
