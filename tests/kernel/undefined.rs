//! Misuse of the raw layer, one of each kind that a sanitizer has to report in the C. The
//! behaviour is undefined, so only `ci/sanitize` runs them: if one goes unreported, a run
//! without a report proves nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::{CHUNK, List, MIB, Raw, params};
use gpu_buddy::{AllocRequest, Error, GpuBuddy, GpuBuddyAllocFlag, InvalidArgument, ffi};

/// A space for a request whose size has no power of two above it in 64 bits.
const HUGE: u64 = (1 << 63) + (1 << 62);
const HUGE_CHUNK: u64 = 1 << 40;

fn huge_request() -> AllocRequest {
    AllocRequest {
        size: (1 << 63) + HUGE_CHUNK,
        min_block_size: HUGE_CHUNK,
        flags: GpuBuddyAllocFlag::Contiguous.into(),
        ..AllocRequest::default()
    }
}

#[test]
fn the_safe_api_refuses_what_cannot_be_rounded_up() {
    let buddy = GpuBuddy::new(params(0, HUGE, HUGE_CHUNK)).expect("a space");
    let error = buddy.alloc(&huge_request()).map(|_| ()).expect_err("refused");
    let requested = huge_request().size;
    assert_eq!(error, Error::InvalidArgument(InvalidArgument::NoPowerOfTwo { requested }));
}

/// AddressSanitizer: heap-use-after-free.
#[test]
#[ignore = "undefined, for ci/sanitize"]
fn use_after_free() {
    let mut raw = Raw::new(MIB, CHUNK).expect("a space");
    let mut list = raw.simple(CHUNK);
    let block = list.blocks()[0];
    raw.free(&mut list);
    // SAFETY: none, which is the point: the block was merged away.
    unsafe { ffi::gpu_buddy_free_block(raw.mm(), block) };
}

/// LeakSanitizer: the objects of an allocator that is forgotten.
#[test]
#[ignore = "leaks, for ci/sanitize"]
fn leak() {
    Raw::new(MIB, CHUNK).expect("a space").leak();
}

/// UndefinedBehaviorSanitizer: shift exponent 64 is too large.
#[test]
#[ignore = "undefined, for ci/sanitize"]
fn shift() {
    let mut raw = Raw::new(HUGE, HUGE_CHUNK).expect("a space");
    let mut list = List::new();
    let _ = raw.alloc(&huge_request(), &mut list);
    raw.free(&mut list);
}

/// ThreadSanitizer: one thread allocates, another prints, and there is no lock.
#[test]
#[ignore = "undefined, for ci/sanitize"]
fn race() {
    struct Shared(*mut ffi::gpu_buddy);
    // SAFETY: none, which is the point.
    unsafe impl Sync for Shared {}

    let mut raw = Raw::new(MIB, CHUNK).expect("a space");
    let shared = Shared(raw.mm());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (shared, done) = (&shared, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let Shared(mm) = shared;
                // SAFETY: none.
                unsafe { ffi::gpu_buddy_print(*mm) };
            }
        });
        for _ in 0..1000 {
            let mut list = raw.simple(CHUNK);
            raw.free(&mut list);
        }
        done.store(true, Ordering::Relaxed);
    });
}
