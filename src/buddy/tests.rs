//! A panic while the lock is held. No call of the safe API can bring one about:
//! no code of the user's runs under the lock.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::*;
use crate::sizes::*;

fn space() -> GpuBuddy {
    let params = GpuBuddyParams {
        base_offset: 0,
        size: SZ_1M as u64,
        chunk_size: Alignment::new::<SZ_4K>(),
    };
    GpuBuddy::new(params).expect("a space")
}

fn alloc(buddy: &GpuBuddy) -> Result<AllocatedBlocks> {
    let request = AllocRequest {
        size: SZ_4K as u64,
        min_block_size: SZ_4K as u64,
        ..AllocRequest::default()
    };
    buddy.alloc(&request)
}

#[test]
fn a_panic_inside_the_c_is_as_a_bug() {
    let buddy = space();
    let blocks = alloc(&buddy).expect("room");
    let result = buddy.0.call(|_| resume_unwind(Box::new("planted")));
    let Err(Error::Bug(bug)) = result else { panic!("{result:?}") };
    assert_eq!(bug.to_string(), "panic inside the C");
    // The lock is free again, and the allocator is of no use.
    assert_eq!(alloc(&buddy).map(|_| ()), Err(Error::Bug(bug)));
    drop(blocks);
    let fini = buddy.fini().expect("the last handle");
    assert_eq!((fini.bug, fini.leaked_objects), (Some(bug), 0));
}

#[test]
fn a_panic_while_the_state_is_read_changes_nothing() {
    let buddy = space();
    let blocks = alloc(&buddy).expect("room");
    let read = || buddy.0.read(|_, _| resume_unwind(Box::new("planted")));
    let payload =
        catch_unwind(AssertUnwindSafe(read)).map(|_: Result<()>| ()).expect_err("a panic");
    assert_eq!(payload.downcast_ref(), Some(&"planted"));
    drop(blocks);
    assert_eq!((buddy.avail(), buddy.bug()), (buddy.size(), None));
    assert_eq!(buddy.fini().expect("the last handle").leaked_objects, 0);
}
