//! Snapshots and what `print` prints.

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
    // Every block that is held is in it, with its state.
    let mut blocks: Vec<_> =
        held.iter().flat_map(|blocks| blocks.iter().map(|block| block.info())).collect();
    blocks.sort();
    let allocated: Vec<_> =
        snapshot.leaves().filter(|block| block.state == BlockState::Allocated).copied().collect();
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
