//! One allocator, used by several threads.

use super::*;

#[test]
fn what_one_allocates_another_frees() {
    let buddy = space(MIB);
    let (sender, receiver) = channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..1000 {
                // If everything is on its way to the other thread, it waits.
                while let Err(error) = simple(&buddy, 20 * KIB, none())
                    .map(|blocks| sender.send(blocks).expect("a receiver"))
                {
                    assert_eq!(error.errno(), Errno::ENOSPC);
                    thread::yield_now();
                }
            }
            drop(sender);
        });
        let freed = scope.spawn(|| receiver.into_iter().map(|blocks| blocks.size()).sum::<u64>());
        assert_eq!(freed.join().expect("no panic"), 1000 * 20 * KIB);
    });
    assert_all_free(&buddy);
}

#[test]
fn many_share_one_allocator() {
    const THREADS: u64 = 8;
    let buddy = space(16 * MIB);
    let barrier = Barrier::new(THREADS as usize);
    let held: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|seed| {
                let (buddy, barrier) = (buddy.clone(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    churn(&buddy, seed + 100, || {})
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });

    let mut extents: Vec<_> = held.iter().flat_map(extents).collect();
    extents.sort_unstable();
    assert!(extents.len() > THREADS as usize);
    for pair in extents.windows(2) {
        assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:x?} overlap");
    }
    let bytes: u64 = extents.iter().map(|(_, size)| size).sum();
    assert_eq!(buddy.avail(), 16 * MIB - bytes);

    drop(held);
    assert_eq!(buddy.longest_free_run(), Ok(0..16 * MIB));
    let all = exact(&buddy, 0, 16 * MIB).expect("everything is free");
    drop(all);
    assert_all_free(&buddy);
    let fini = buddy.fini().expect("the last handle");
    assert_eq!((fini.warnings, fini.leaked_objects), (vec![], 0));
}

#[test]
fn a_block_is_read_while_others_allocate() {
    let buddy = space(16 * MIB);
    let blocks = exact(&buddy, CHUNK, MIB).expect("free");
    let expected = extents(&blocks);
    thread::scope(|scope| {
        let worker = scope.spawn(|| drop(churn(&buddy, 9, || {})));
        while !worker.is_finished() {
            assert_eq!(extents(&blocks), expected);
        }
    });
}
