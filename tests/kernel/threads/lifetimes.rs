//! Many allocators side by side, allocations that move between threads, handles that are
//! dropped first.

use super::*;

/// What a thread gets does not depend on what other threads do to allocators of
/// their own.
#[test]
fn many_allocators_on_many_threads() {
    let life = |seed: u64| -> Vec<Vec<(u64, u64)>> {
        let mut all = Vec::new();
        for size in [MIB, 3 * MIB + 5 * CHUNK] {
            let buddy = space(size);
            let held = Worker::new(buddy.clone(), seed).run(rounds(1000));
            assert_held(&buddy, &held);
            all.extend(held.iter().map(extents));
            drop(held);
            finish(buddy);
        }
        all
    };
    let alone: Vec<_> = (0..THREADS).map(life).collect();
    assert_eq!(on_threads(life), alone);
}

/// Each thread allocates, passes on to the next, and changes and frees what came
/// from the one before.
#[test]
fn allocations_are_used_and_dropped_elsewhere() {
    let buddy = space(8 * MIB);
    let (senders, receivers): (Vec<Sender<AllocatedBlocks>>, Vec<Receiver<_>>) =
        (0..THREADS).map(|_| channel()).unzip();
    let barrier = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        let mut next: Vec<_> = senders.into_iter().map(Some).collect();
        next.rotate_left(1);
        for ((index, next), receiver) in (0..THREADS).zip(next).zip(receivers) {
            let (buddy, barrier) = (buddy.clone(), &barrier);
            scope.spawn(move || {
                let next = next.expect("one for each");
                barrier.wait();
                // Only the allocations themselves carry handles to the next thread.
                let mut worker = Worker::new(buddy, index + 300);
                for _ in 0..rounds(1000) {
                    worker.alloc();
                    if let Some(blocks) = worker.held.pop() {
                        // At times the next thread has ended already.
                        let _ = next.send(blocks);
                    }
                    while let Ok(blocks) = receiver.try_recv() {
                        worker.give_up(blocks);
                    }
                }
                drop(next);
                for blocks in receiver {
                    worker.give_up(blocks);
                }
            });
        }
    });
    finish(buddy);
}

/// The last allocation tears the allocator down, on whatever thread it is.
#[test]
fn handles_go_while_allocations_live() {
    let torn_down = AtomicUsize::new(0);
    let rounds = rounds(400);
    for round in 0..rounds as u64 {
        let buddy = space(MIB);
        let parts: Vec<_> =
            (0..THREADS).map(|_| simple(&buddy, 5 * CHUNK, none()).expect("room")).collect();
        let barrier = Barrier::new(THREADS as usize + 1);
        thread::scope(|scope| {
            for (index, blocks) in parts.into_iter().enumerate() {
                let (barrier, torn_down) = (&barrier, &torn_down);
                scope.spawn(move || {
                    barrier.wait();
                    assert_eq!(blocks.size(), 5 * CHUNK);
                    if (index as u64 + round).is_multiple_of(2) {
                        return drop(blocks);
                    }
                    // A handle from an allocation. It is the last one on one thread
                    // at most.
                    let buddy = blocks.buddy().clone();
                    drop(blocks);
                    if let Ok(fini) = buddy.fini() {
                        assert_clean(&fini);
                        torn_down.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            barrier.wait();
            drop(buddy);
        });
    }
    assert!(torn_down.load(Ordering::Relaxed) <= rounds);
}

/// A thread that ends drops its thread-local values after most of what it had.
#[test]
fn a_thread_that_ends_drops_what_it_kept() {
    thread_local! {
        static KEPT: RefCell<Vec<AllocatedBlocks>> = const { RefCell::new(Vec::new()) };
    }
    let buddy = space(8 * MIB);
    for _ in 0..rounds(40) {
        on_threads(|seed| {
            let held = Worker::new(buddy.clone(), seed).run(20);
            KEPT.with_borrow_mut(|kept| kept.extend(held));
        });
    }
    finish(buddy);
}

/// Nothing keeps a lock when a thread panics with handles and allocations.
#[test]
fn a_thread_that_panics_frees_what_it_held() {
    let buddy = space(8 * MIB);
    for seed in 0..THREADS {
        let buddy = buddy.clone();
        let thread = thread::spawn(move || {
            let _held = Worker::new(buddy, seed).run(50);
            // Without the message that a panic prints.
            std::panic::resume_unwind(Box::new("planted"));
        });
        let payload = thread.join().expect_err("it panicked");
        assert_eq!(payload.downcast_ref(), Some(&"planted"));
    }
    finish(buddy);
}

#[test]
fn threads_make_and_refuse_allocators_at_once() {
    let refused = on_threads(|index| {
        let mut refused = 0;
        for round in 0..rounds(400) as u64 {
            let mut fault = Fault::nth(1 + (index + round) % 12);
            match GpuBuddy::with_fault(params(0, 3 * CHUNK, CHUNK), &mut fault) {
                Ok(buddy) => finish(buddy),
                Err(error) => {
                    assert_eq!((error, fault.failed()), (Error::NoMemory, 1));
                    refused += 1;
                }
            }
        }
        refused
    });
    assert!(refused.iter().all(|&refused| refused > 0));
}
