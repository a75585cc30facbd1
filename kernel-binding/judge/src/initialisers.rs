//! Tests in-place initialisers: each way in which one ends early, and values that outlive each
//! other.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use gpu_buddy::fault::Fault;
use gpu_buddy::wrapper::Monitor;
use kernel::alloc::fail_after;
use kernel::gpu::buddy::{
    AllocatedBlock, AllocatedBlocks, GpuBuddy, GpuBuddyAllocFlags, GpuBuddyAllocMode,
    GpuBuddyParams,
};
use kernel::prelude::*;
use kernel::ptr::Alignment;
use parking_lot::Mutex;

const CHUNK: u64 = 4096;
const SIZE: u64 = 1 << 20;

const fn is_send_and_sync<T: Send + Sync>() {}
const _: () = is_send_and_sync::<GpuBuddy>();
const _: () = is_send_and_sync::<AllocatedBlocks>();
const _: () = is_send_and_sync::<AllocatedBlock<'static>>();

/// The failure, as text.
type Verdict = core::result::Result<(), String>;

fn buddy() -> Result<GpuBuddy> {
    let chunk_size = Alignment::new::<{ CHUNK as usize }>();
    GpuBuddy::new(GpuBuddyParams { base_offset: 0, size: SIZE, chunk_size })
}

fn blocks(buddy: &GpuBuddy) -> impl PinInit<AllocatedBlocks, Error> + use<> {
    let alignment = Alignment::new::<{ CHUNK as usize }>();
    // Three chunks give two blocks.
    let flags = GpuBuddyAllocFlags::default();
    buddy.alloc_blocks(GpuBuddyAllocMode::Simple, 3 * CHUNK, alignment, flags)
}

/// Fails after the C has succeeded.
fn blocks_that_fail(buddy: &GpuBuddy) -> impl PinInit<AllocatedBlocks, Error> + use<> {
    blocks(buddy).pin_chain(|_| Err(ERANGE))
}

fn expect<T: PartialEq + Debug>(what: &str, is: T, expected: T) -> Verdict {
    if is == expected { Ok(()) } else { Err(format!("{what}: {is:?}, not {expected:?}")) }
}

/// Checks that everything is freed, and no rule was broken.
fn clean(monitor: &Monitor, case: &str) -> Verdict {
    let seen = monitor.take_seen();
    if let Some(bug) = seen.bug {
        return Err(format!("{case}: {bug}"));
    }
    match seen.misuses.first().or(monitor.finish().first()) {
        Some(misuse) => Err(format!("{case}: {misuse}")),
        None => Ok(()),
    }
}

/// Memory for Rust values fails, at each place in turn.
fn rust_memory_fails() -> Verdict {
    for count in 0..3 {
        let monitor = Monitor::new();
        let result = monitor.run(|| {
            fail_after(count);
            let result = buddy().and_then(|buddy| {
                let blocks = KBox::pin_init(blocks(&buddy), GFP_KERNEL);
                assert_eq!(SIZE - buddy.avail(), if blocks.is_ok() { 3 * CHUNK } else { 0 });
                blocks.map(drop)
            });
            fail_after(u64::MAX);
            result
        });
        let expected = if count < 2 { Err(ENOMEM) } else { Ok(()) };
        expect("without memory for a value", result, expected)?;
        clean(&monitor, &format!("after {count} values, memory fails"))?;
    }
    Ok(())
}

/// Memory for the C fails, at each place in turn. The C may then find smaller blocks, so the call
/// may succeed or fail. The binding must leave nothing behind.
fn c_memory_fails() -> Verdict {
    for nth in 1.. {
        let monitor = Monitor::new();
        let result = monitor.run(|| {
            let buddy = buddy()?;
            monitor.set_fault(Some(Fault::nth(nth)));
            drop(KBox::pin_init(blocks(&buddy), GFP_KERNEL));
            Ok::<u64, Error>(buddy.avail())
        });
        let failed = monitor.set_fault(None).is_some_and(|fault| fault.failed() > 0);
        let case = format!("allocation {nth} of the C fails");
        // A kernel that does not survive it is stopped.
        if monitor.take_seen().bug.is_some() {
            return Ok(());
        }
        expect(&case, result, Ok(SIZE))?;
        clean(&monitor, &case)?;
        if !failed {
            break;
        }
    }
    Ok(())
}

/// An initialiser fails after the C has succeeded, is never run, or is run after the last handle is
/// dropped.
fn ends_early() -> Verdict {
    let monitor = Monitor::new();
    monitor.run(|| {
        let owner = buddy().map_err(|error| format!("{error:?}"))?;
        let result = KBox::pin_init(blocks_that_fail(&owner), GFP_KERNEL).map(drop);
        expect("an initialiser that fails at its end", result, Err(ERANGE))?;
        expect("avail after it", owner.avail(), SIZE)?;
        expect("blocks after it", monitor.allocated(), 0)?;

        drop(blocks(&owner));
        expect("avail after an initialiser that is not run", owner.avail(), SIZE)?;

        let late = blocks(&owner);
        drop(owner);
        let late = KBox::pin_init(late, GFP_KERNEL).map_err(|error| format!("{error:?}"))?;
        expect("blocks of a late one", late.iter().count(), 2)
    })?;
    clean(&monitor, "initialisers that end early")
}

/// Allocations are made in one thread and dropped in another, while another allocation is read.
fn changes_threads() -> Verdict {
    let monitor = Monitor::new();
    monitor.run(|| {
        let owner = buddy().map_err(|error| format!("{error:?}"))?;
        let kept = KBox::pin_init(blocks(&owner), GFP_KERNEL);
        let kept = kept.map_err(|error| format!("{error:?}"))?;
        // Without a channel or the end of a scope: ThreadSanitizer does not see their
        // synchronisation.
        let handed_over = Mutex::new(Vec::<Pin<KBox<AllocatedBlocks>>>::new());
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for _ in 0..2 {
                threads.push(scope.spawn(|| {
                    while !done.load(Ordering::Acquire) {
                        let blocks = handed_over.lock().pop();
                        drop(blocks);
                    }
                }));
                threads.push(scope.spawn(|| {
                    for _ in 0..1000 {
                        assert_eq!(kept.iter().map(|block| block.size()).sum::<u64>(), 3 * CHUNK);
                    }
                }));
            }
            for _ in 0..1000 {
                if let Ok(blocks) = KBox::pin_init(blocks(&owner), GFP_KERNEL) {
                    handed_over.lock().push(blocks);
                }
            }
            done.store(true, Ordering::Release);
            for thread in threads {
                thread.join().expect("no thread panics");
            }
        });
        drop(handed_over);
        drop(kept);
        expect("avail after all threads", owner.avail(), SIZE)
    })?;
    clean(&monitor, "threads that hand allocations over")
}

/// Runs all tests.
pub fn check() -> Verdict {
    rust_memory_fails()?;
    c_memory_fails()?;
    ends_early()?;
    changes_threads()
}
