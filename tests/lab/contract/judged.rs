//! What is right breaks nothing, and what is wrong breaks its promise.

use gpu_buddy::BlockState::{Allocated, Free, Split};
use gpu_buddy::diff::{Block, Promise};
use gpu_buddy::{AllocRequest, Errno, GpuBuddyAllocFlag, Inconsistency};

use super::told::{CHUNK, Told, aligned, block, contiguous, request, within};

#[test]
fn what_is_right_breaks_nothing() {
    Told::new()
        .ok(0, request(4), &[block(0, 2, false)])
        .lookup(3, Ok(Some(block(0, 2, false))))
        .lookup(4, Ok(None))
        .lookup(16, Err(Errno::ENXIO))
        .ok(1, aligned(3, 2), &[block(8, 1, false), block(10, 0, false)])
        .free(1, true, 3)
        .snapshot(&[
            (0, 4, Split, false),
            (0, 3, Split, false),
            (0, 2, Allocated, false),
            (4, 2, Free, false),
            (8, 3, Split, false),
            (8, 2, Split, false),
            (8, 1, Free, true),
            (10, 1, Split, false),
            (10, 0, Free, true),
            (11, 0, Free, false),
            (12, 2, Free, false),
        ])
        .ok(2, request(1), &[block(10, 0, true)])
        .fails(request(13), Errno::ENOSPC)
        .fails(request(13), Errno::ENOSPC)
        .fails(contiguous(9), Errno::ENOSPC)
        .fails(request(17), Errno::EINVAL)
        .fails(within(5, 4, 8), Errno::EINVAL)
        .fails(aligned(3, 32), Errno::EINVAL)
        .free(2, false, 1)
        .free(0, false, 4)
        .change(0, 14)
        .reset(true)
        .change(0, -16)
        .reset(false)
        .finish()
        .breaks(&[]);
    Told::new().trim(3, Ok(()), &[block(0, 1, false), block(2, 0, false)]).breaks(&[]);
    Told::new().trim(5, Err(Errno::EINVAL), &[block(0, 2, false)]).breaks(&[]);
    // After a BUG nothing is promised any more.
    Told::new()
        .fails(request(1), Errno::ENOTRECOVERABLE)
        .ok(0, request(3), &[block(3, 4, true)])
        .change(5, 5)
        .finish()
        .breaks(&[Promise::NoBug]);
    Told::new().faulted().fails(request(1), Errno::ENOMEM).breaks(&[]);
    // Out of memory, the surplus cannot always be freed.
    Told::new().faulted().ok(0, contiguous(3), &[block(0, 2, false)]).breaks(&[]);
}

#[test]
fn what_is_wrong_is_caught() {
    let split = |request: AllocRequest, blocks: &[Block]| Told::new().ok(0, request, blocks);
    let fails = |request, errno| Told::new().fails(request, errno);
    let one = request(1);

    fails(one.clone(), Errno::ENOTRECOVERABLE).breaks(&[Promise::NoBug]);
    fails(one.clone(), Errno::EOPNOTSUPP).breaks(&[Promise::KnownError]);
    fails(one.clone(), Errno::ENOMEM).breaks(&[Promise::KnownError]);
    fails(one.clone(), Errno::EINVAL).breaks(&[Promise::ValidArguments]);
    for request in [
        request(16),
        aligned(9, 8),
        aligned(1, 16),
        within(4, 5, 11),
        within(16, 0, 16),
        contiguous(9),
        AllocRequest { start: CHUNK / 2, end: 99 * CHUNK, ..request(3) },
    ] {
        fails(request, Errno::ENOSPC).breaks(&[Promise::Room]);
    }
    Told::new().faulted().fails(one.clone(), Errno::ENOSPC).breaks(&[Promise::Room]);
    fails(request(17), Errno::EINVAL)
        .fails(request(17), Errno::ENOSPC)
        .breaks(&[Promise::Repeatable]);
    Told::new()
        .change(-1, 0)
        .fails(request(17), Errno::EINVAL)
        .breaks(&[Promise::FailureChangesNothing]);

    // A space of 16 chunks has orders up to 4.
    split(request(16), &[block(8, 4, false)]).breaks(&[Promise::BlockShape, Promise::InSpace]);
    split(request(1), &[block(16, 0, false)]).breaks(&[Promise::InSpace]);
    split(request(2), &[block(3, 1, false)]).breaks(&[Promise::BlockShape]);
    split(request(1), &[block(3, 0, false)])
        .ok(1, request(2), &[block(2, 1, false)])
        .breaks(&[Promise::NoOverlap]);
    split(request(2), &[block(3, 0, false), block(3, 0, false)]).breaks(&[Promise::NoOverlap]);
    split(within(2, 4, 9), &[block(8, 1, false)]).breaks(&[Promise::InRange]);
    split(within(1, 4, 9), &[block(3, 0, false)]).breaks(&[Promise::InRange]);
    split(aligned(1, 4), &[block(2, 0, false)]).breaks(&[Promise::Aligned]);
    split(aligned(4, 4), &[block(2, 1, false), block(4, 1, false)]).breaks(&[Promise::Aligned]);
    let apart = [block(0, 0, false), block(4, 1, false), block(8, 0, false)];
    split(aligned(4, 4), &apart).breaks(&[Promise::MinBlockSize]);
    split(request(3), &[block(0, 2, false)]).breaks(&[Promise::AddsUp]);
    split(request(3), &[block(0, 1, false)]).breaks(&[Promise::AddsUp]);
    split(contiguous(2), &[block(0, 0, false), block(2, 0, false)]).breaks(&[Promise::Contiguous]);

    Told::new().change(1, 0).ok(0, one.clone(), &[block(0, 0, false)]).breaks(&[Promise::Avail]);
    split(one.clone(), &[block(0, 0, false)])
        .change(1, 0)
        .free(0, false, 1)
        .breaks(&[Promise::Avail]);
    split(one.clone(), &[block(0, 0, false)])
        .change(0, 1)
        .free(0, false, 1)
        .breaks(&[Promise::ClearAvail]);
    split(one.clone(), &[block(0, 0, false)])
        .change(0, -1)
        .free(0, true, 1)
        .breaks(&[Promise::ClearAvail]);
    // More is allocated as clear than there is.
    split(one.clone(), &[block(0, 0, true)]).breaks(&[Promise::ClearIsClear, Promise::ClearAvail]);
    split(request(2), &[block(0, 1, false)])
        .free(0, true, 2)
        .ok(1, one.clone(), &[block(1, 0, true)])
        .free(1, false, 1)
        .ok(2, one.clone(), &[block(1, 0, true)])
        .breaks(&[Promise::ClearIsClear]);
    Told::new().change(0, 15).reset(true).breaks(&[Promise::ResetClear]);

    let clear = AllocRequest { flags: GpuBuddyAllocFlag::Clear.into(), ..request(1) };
    Told::new().chose(&clear, 8).breaks(&[Promise::PrefersClear]);
    Told::new().chose(&clear, 0).breaks(&[]);
    let top_down = AllocRequest { top_down: true, ..request(1) };
    Told::new().chose(&top_down, 14).breaks(&[Promise::TopDown]);
    Told::new().chose(&top_down, 15).breaks(&[]);
    let below = AllocRequest { top_down: true, ..within(1, 0, 14) };
    Told::new().chose(&below, 13).breaks(&[]);

    let three = [block(0, 1, false), block(2, 0, false)];
    Told::new().trim(2, Ok(()), &three).breaks(&[Promise::Trimmed]);
    Told::new().trim(3, Ok(()), &[three[1], three[0]]).breaks(&[Promise::Trimmed]);
    Told::new().trim(3, Err(Errno::ENOSPC), &[block(0, 2, false)]).breaks(&[Promise::Room]);
    Told::new()
        .trim(3, Err(Errno::EINVAL), &[block(0, 2, false)])
        .breaks(&[Promise::ValidArguments]);
    Told::new()
        .faulted()
        .trim(3, Err(Errno::ENOMEM), &three)
        .breaks(&[Promise::FailureChangesNothing]);

    split(one.clone(), &[block(3, 0, false)]).lookup(3, Ok(None)).breaks(&[Promise::BlockAt]);
    Told::new().lookup(3, Ok(Some(block(3, 0, false)))).breaks(&[Promise::BlockAt]);
    Told::new().lookup(16, Ok(None)).breaks(&[Promise::BlockAt]);

    Told::new().snapshot(&[(0, 3, Free, false)]).breaks(&[Promise::Snapshot, Promise::Avail]);
    Told::new().snapshot(&[(8, 3, Free, false)]).breaks(&[Promise::Snapshot]);
    Told::new().snapshot(&[(0, 4, Allocated, false)]).breaks(&[Promise::Snapshot, Promise::Avail]);
    split(request(16), &[block(0, 4, false)])
        .snapshot(&[(0, 4, Free, false)])
        .breaks(&[Promise::Snapshot, Promise::Avail]);
    Told::new().change(0, 16).snapshot(&[(0, 4, Free, true)]).breaks(&[Promise::ClearIsClear]);
    Told::new().change(0, 4).snapshot(&[(0, 4, Free, false)]).breaks(&[Promise::ClearAvail]);
    Told::new()
        .snapshot(&[(0, 4, Split, false), (0, 3, Free, false), (8, 3, Free, false)])
        .breaks(&[Promise::Merged]);
    Told::new().change(-1, 0).finish().breaks(&[Promise::NothingLeaked]);

    let mut told = Told::new();
    let found = Inconsistency::Avail { is: 1, expected: 2 };
    told.broken = told.contract.check_tree(None, &[found]);
    told.breaks(&[Promise::Consistent]);
}
