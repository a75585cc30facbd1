use rstest::rstest;

use super::group::State;
use super::tree::{Name, Tree};
use super::{Allocation, Reference};
use crate::diff::{Implementation, Space};
use crate::{AllocRequest, Errno, GpuBuddyAllocFlag};

const K: u64 = 1 << 10;

fn space(size: u64) -> Reference {
    Reference::create(Space::new(size, 4 * K)).unwrap()
}

fn request(size: u64) -> AllocRequest {
    AllocRequest { size, min_block_size: 4 * K, ..Default::default() }
}

fn exactly(start: u64, end: u64) -> AllocRequest {
    AllocRequest { start, end, ..request(end - start) }
}

/// Offsets and sizes of the allocated blocks, in KiB.
fn places(space: &Reference, allocation: &Allocation) -> Vec<(u64, u64)> {
    let mut blocks = Vec::new();
    space.blocks(allocation, &mut blocks);
    blocks.iter().map(|block| (block.offset / K, 4 << block.order)).collect()
}

fn alloc(space: &mut Reference, request: &AllocRequest) -> Result<Vec<(u64, u64)>, Errno> {
    let allocation = space.alloc(request)?;
    Ok(places(space, &allocation))
}

#[rstest]
#[case::power_of_two(16, &[(1008, 16)])]
#[case::a_block_per_bit(28, &[(1008, 16), (1000, 8), (996, 4)])]
#[case::everything(1024, &[(0, 1024)])]
fn takes_the_highest_place(#[case] size: u64, #[case] blocks: &[(u64, u64)]) {
    let mut space = space(1024 * K);
    assert_eq!(alloc(&mut space, &request(size * K)).unwrap(), blocks);
}

#[test]
fn takes_the_best_fit_before_the_highest() {
    let mut space = space(1024 * K);
    let hole = space.alloc(&exactly(64 * K, 80 * K)).unwrap();
    let _kept = space.alloc(&exactly(80 * K, 96 * K)).unwrap();
    space.free(hole, false);
    assert_eq!(alloc(&mut space, &request(16 * K)), Ok(vec![(64, 16)]));
    let hole = space.alloc(&AllocRequest { top_down: true, ..request(16 * K) }).unwrap();
    assert_eq!(places(&space, &hole), [(1008, 16)]);
}

#[test]
fn buddies_that_differ_stay_apart_until_there_is_need() {
    let mut space = space(64 * K);
    let half = space.alloc(&exactly(0, 32 * K)).unwrap();
    space.free(half, true);
    assert_eq!((space.avail(), space.clear_avail()), (64 * K, 32 * K));

    // Without the range flag, the range still limits where buddies are merged.
    let whole = AllocRequest { min_block_size: 64 * K, ..request(64 * K) };
    let nowhere = AllocRequest { start: 0, end: 4 * K, ..whole.clone() };
    assert_eq!(alloc(&mut space, &nowhere), Err(Errno::ENOSPC));
    assert_eq!(space.clear_avail(), 32 * K);

    // An exact range needs no merging.
    let both = space.alloc(&AllocRequest { end: 64 * K, ..whole }).unwrap();
    assert_eq!(places(&space, &both), [(0, 32), (32, 32)]);
    space.free(both, true);
    assert_eq!(alloc(&mut space, &request(64 * K)), Ok(vec![(0, 64)]));
}

#[test]
fn joins_by_force_within_the_range() {
    let mut space = space(64 * K);
    let part = space.alloc(&exactly(0, 4 * K)).unwrap();
    space.free(part, true);
    let aligned = AllocRequest { end: 32 * K, min_block_size: 64 * K, ..request(64 * K) };
    assert_eq!(alloc(&mut space, &aligned), Ok(vec![(0, 64)]));
    assert_eq!(space.clear_avail(), 0);
}

#[test]
fn prefers_memory_of_the_state_asked_for() {
    let mut space = space(64 * K);
    let part = space.alloc(&exactly(8 * K, 16 * K)).unwrap();
    space.free(part, true);
    let clear = AllocRequest { flags: GpuBuddyAllocFlag::Clear.into(), ..request(4 * K) };
    assert_eq!(alloc(&mut space, &clear), Ok(vec![(12, 4)]));
    assert_eq!(alloc(&mut space, &request(4 * K)), Ok(vec![(4, 4)]));
}

#[rstest]
#[case(4, 16, 48)]
#[case(8, 32, 32)]
#[case(4, 128, 0)]
fn aligns_beyond_the_size(#[case] size: u64, #[case] alignment: u64, #[case] offset: u64) {
    let mut space = space(64 * K);
    let aligned = AllocRequest { min_block_size: alignment * K, ..request(size * K) };
    assert_eq!(alloc(&mut space, &aligned), Ok(vec![(offset, size)]));
}

#[rstest]
#[case::whole_space(0, 64, 4, &[(0, 4)])]
#[case::from_within_a_block(20, 64, 8, &[(24, 8)])]
#[case::too_narrow_for_its_alignment(4, 12, 4, &[(4, 4)])]
fn takes_the_lowest_place_in_a_range(
    #[case] start: u64,
    #[case] end: u64,
    #[case] size: u64,
    #[case] blocks: &[(u64, u64)],
) {
    let mut space = space(64 * K);
    let ranged = AllocRequest { start: start * K, end: end * K, range: true, ..request(size * K) };
    assert_eq!(alloc(&mut space, &ranged).unwrap(), blocks);
}

#[test]
fn tiles_an_exact_range_by_ascending_offset() {
    let mut space = space(64 * K);
    let tiles = alloc(&mut space, &exactly(4 * K, 28 * K));
    assert_eq!(tiles, Ok(vec![(4, 4), (8, 8), (16, 8), (24, 4)]));
}

#[rstest]
#[case::to_the_right(&[(0, 16), (28, 64)], &[(16, 8), (24, 4)])]
#[case::to_the_left(&[(0, 12), (24, 64)], &[(12, 4), (16, 8)])]
fn pieces_a_run_together(#[case] taken: &[(u64, u64)], #[case] blocks: &[(u64, u64)]) {
    let mut space = space(64 * K);
    for &(start, end) in taken {
        space.alloc(&exactly(start * K, end * K)).unwrap();
    }
    let run = AllocRequest { flags: GpuBuddyAllocFlag::Contiguous.into(), ..request(12 * K) };
    assert_eq!(alloc(&mut space, &run).unwrap(), blocks);
}

#[test]
fn gives_back_what_a_power_of_two_is_too_much() {
    let mut space = space(64 * K);
    let contiguous =
        AllocRequest { flags: GpuBuddyAllocFlag::Contiguous.into(), ..request(20 * K) };
    assert_eq!(alloc(&mut space, &contiguous), Ok(vec![(32, 16), (48, 4)]));
    assert_eq!(space.avail(), 44 * K);
}

#[test]
fn trims_to_a_part_in_the_middle() {
    let mut space = space(64 * K);
    let mut block = space.alloc(&request(32 * K)).unwrap();
    assert_eq!(space.trim(&mut block, Some(36 * K), 8 * K), Ok(()));
    assert_eq!(places(&space, &block), [(36, 4), (40, 4)]);
    assert_eq!(space.trim(&mut block, None, 4 * K), Err(Errno::EINVAL));

    space.free_block(&mut block, 0, false);
    assert_eq!(places(&space, &block), [(40, 4)]);
    space.free(block, false);
    assert_eq!(alloc(&mut space, &request(64 * K)), Ok(vec![(0, 64)]));
}

#[rstest]
#[case::no_size(AllocRequest { size: 0, ..request(4 * K) })]
#[case::size_not_in_chunks(request(6 * K))]
#[case::alignment_no_power_of_two(AllocRequest { min_block_size: 12 * K, ..request(4 * K) })]
#[case::end_beyond_the_space(AllocRequest { end: 256 * K, ..request(4 * K) })]
#[case::start_leaves_no_room(AllocRequest { start: 124 * K, ..request(8 * K) })]
#[case::range_not_aligned(AllocRequest { min_block_size: 8 * K, ..exactly(4 * K, 12 * K) })]
#[case::everything_at_its_highest(AllocRequest {
    start: u64::MAX, end: u64::MAX, size: u64::MAX, min_block_size: u64::MAX, ..request(0)
})]
fn refuses(#[case] request: AllocRequest) {
    let mut space = space(128 * K);
    let before = space.snapshot();
    assert_eq!(alloc(&mut space, &request), Err(Errno::EINVAL));
    assert_eq!(space.snapshot(), before);
}

#[test]
fn a_size_that_is_no_power_of_two_has_several_roots() {
    let mut space = space(28 * K);
    let offsets: Vec<_> = space.snapshot().unwrap().leaves().map(|root| root.offset / K).collect();
    assert_eq!(offsets, [0, 16, 24]);
    // Roots are never merged, but a run may span several.
    let run = AllocRequest { flags: GpuBuddyAllocFlag::Contiguous.into(), ..request(28 * K) };
    assert_eq!(alloc(&mut space, &run), Ok(vec![(0, 16), (16, 8), (24, 4)]));
}

#[test]
fn the_largest_space_costs_little() {
    let mut space = space(u64::MAX);
    assert_eq!(space.avail(), u64::MAX - 4095);
    assert_eq!(alloc(&mut space, &request(4 * K)), Ok(vec![((u64::MAX - 8191) / K, 4)]));
    let aligned = AllocRequest { min_block_size: 1 << 63, ..request(4 * K) };
    assert_eq!(alloc(&mut space, &aligned), Ok(vec![((1 << 63) / K, 4)]));
}

/// Searches of a [`Tree`] against the plainest possible model.
#[rstest]
fn searches_find_what_a_sorted_list_finds(
    #[values(1 << 5, 1 << 10, 1 << 17, 1 << 24, 1 << 45)] chunks: u64,
    #[values(0, 3, 6, 7, 9)] order: u32,
) {
    let numbers = chunks >> order;
    if numbers == 0 {
        return;
    }
    let mut tree = Tree::new(chunks << 12, 12);
    tree.roots().for_each(|root| tree.remove(root));
    let mut model = std::collections::BTreeSet::new();
    let mut random = 1_u64;
    for step in 0..4000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Few places, with all kinds of trailing zeros.
        let number = ((random >> 33) % 300) << ((random >> 20) % 40) & (numbers - 1);
        let name = Name { order, number };
        if step % 3 == 0 {
            tree.remove(name);
            model.remove(&number);
        } else {
            tree.set(name, State::Free { clear: true });
            model.insert(number);
        }
        let zeros = (random >> 50) as u32 % 14;
        let multiple = |&&found: &&u64| found & ((1 << zeros) - 1) == 0;
        let names = |number: Option<&u64>| number.map(|&number| Name { order, number });
        assert_eq!(tree.largest_free_order(), (!model.is_empty()).then_some(order));
        assert_eq!(tree.last_free(order, true), names(model.last()));
        let up_to = tree.last_free_up_to(order, true, number);
        assert_eq!(up_to, names(model.range(..=number).next_back()));
        let from = tree.first_free_from(order, true, number);
        assert_eq!(from, names(model.range(number..).next()));
        let multiple = names(model.iter().rev().find(multiple));
        assert_eq!(tree.last_free_multiple(order, true, zeros), multiple);
        assert_eq!(tree.last_free_multiple_indexed(order, true, zeros), multiple);
        assert_eq!(tree.last_free(order, false), None);
        assert_eq!(tree.is_free(name), model.contains(&number));
    }
}
