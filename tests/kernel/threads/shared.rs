//! One allocator for many threads.

use super::*;

#[test]
fn many_share_one_allocator() {
    let buddy = space(8 * MIB - CHUNK);
    let held: Vec<_> =
        on_threads(|seed| Worker::new(buddy.clone(), seed).run(rounds(2000))).concat_held();
    assert!(!held.is_empty());
    assert_held(&buddy, &held);
    drop(held);
    finish(buddy);
}

/// Each way to look at an allocator, while others change it.
#[test]
fn some_look_while_others_allocate() {
    let buddy = space(4 * MIB + 5 * CHUNK);
    // Readers also look at an allocation of their own, without the lock.
    let kept = exact(&buddy, 3 * CHUNK, 21 * CHUNK).expect("free");
    let expected = extents(&kept);
    let done = AtomicUsize::new(0);
    let held = on_threads(|index| {
        if index % 2 == 0 {
            let held = Worker::new(buddy.clone(), index).run(rounds(2000));
            done.fetch_add(1, Ordering::Relaxed);
            return held;
        }
        let mut random = Random::new(index);
        while done.load(Ordering::Relaxed) < THREADS as usize / 2 {
            assert_adds_up(&buddy.snapshot().expect("usable"));
            assert_eq!(buddy.check_integrity(), Ok(vec![]));
            // It prints under one lock, with the totals of that moment.
            assert!(buddy.print().expect("usable").len() > 10);
            assert!(buddy.avail() <= buddy.size() - kept.size());
            assert!(buddy.clear_avail() <= buddy.size());
            let statistics = buddy.statistics().expect("usable");
            let bytes =
                statistics.iter().map(|row| (row.free() + row.allocated) * (CHUNK << row.order));
            assert_eq!(bytes.sum::<u64>(), buddy.size());
            assert!(buddy.largest_free_block().expect("usable") < buddy.size());
            assert!(buddy.longest_free_run().expect("usable").end <= buddy.size());
            let offset = random.below(buddy.size());
            if let Some(block) = buddy.block_at(offset).expect("inside") {
                assert!(block.offset <= offset && offset < block.offset + (CHUNK << block.order));
            }
            assert_ne!(buddy.block_at(kept.iter().next().expect("a block").offset()), Ok(None));
            assert!(buddy.live_objects() > 0);
            assert_eq!((buddy.warnings(), buddy.bug(), buddy.fault()), (vec![], None, None));
            assert!(format!("{buddy:?} {buddy}").contains("chunk_size"));
            assert_eq!(extents(&kept), expected);
        }
        Vec::new()
    });
    let mut held = held.concat_held();
    held.push(kept);
    assert_held(&buddy, &held);
    drop(held);
    finish(buddy);
}

/// One thread resets the clear state and makes memory fail meanwhile.
#[test]
fn some_disturb_while_others_allocate() {
    let buddy = space(4 * MIB + 5 * CHUNK);
    let done = AtomicUsize::new(0);
    let held = on_threads(|index| {
        if index != 0 {
            let held = Worker::new(buddy.clone(), index + 100).run(rounds(2000));
            done.fetch_add(1, Ordering::Relaxed);
            return held;
        }
        let mut clear = false;
        while done.load(Ordering::Relaxed) < THREADS as usize - 1 {
            buddy.reset_clear(clear).expect("usable");
            clear = !clear;
            // Series that do not survive failing memory would become unusable.
            if KERNEL.has("undo_splits") {
                buddy.set_fault(Some(Fault::probability(0.2, 7)));
                thread::yield_now();
                buddy.set_fault(None);
            }
        }
        Vec::new()
    });
    let held = held.concat_held();
    assert_held(&buddy, &held);
    drop(held);
    finish(buddy);
}

/// Blocks are read by many at once, by way of references.
#[test]
fn blocks_are_shared() {
    let buddy = space(8 * MIB);
    let blocks = exact(&buddy, CHUNK, MIB).expect("free");
    let first = blocks.iter().next().expect("a block");
    let infos: Vec<_> = blocks.iter().map(|block| block.info()).collect();
    let iter = blocks.iter();
    let stop = AtomicBool::new(false);
    let held = on_threads(|index| {
        if index < 2 {
            // It splits and merges next to them.
            let held = Worker::new(buddy.clone(), index).run(rounds(2000));
            stop.store(true, Ordering::Relaxed);
            return held;
        }
        while !stop.load(Ordering::Relaxed) {
            assert_eq!((first.offset(), first.order(), first.is_clear()), (CHUNK, 0, false));
            let seen: Vec<_> = iter.clone().map(|block| block.info()).collect();
            assert_eq!(seen, infos);
            assert_eq!((blocks.size(), blocks.is_empty()), (MIB, false));
            assert_eq!(blocks.buddy().base_offset(), 0);
        }
        Vec::new()
    });
    drop(held);
    drop(blocks);
    finish(buddy);
}
