//! Judges errors, and what is free after a call.

use crate::{AllocRequest, Errno};

use super::room::Need;
use super::{Accounts, Block, Contract, Detail, Outcome, Promise};

impl Contract {
    /// Judges whether a repeated call fails as it did before.
    pub(super) fn check_repeats(
        &mut self,
        request: &AllocRequest,
        outcome: Outcome,
        last_failed: Option<(AllocRequest, Errno)>,
    ) {
        if self.faulted {
            return;
        }
        if let Some((same, errno)) = last_failed
            && same == *request
            && outcome.errno() != Some(errno)
        {
            self.breach(Promise::Repeatable, Detail::Before(errno));
        }
        if let Some(errno) = outcome.errno() {
            self.last_failed = Some((request.clone(), errno));
        }
    }

    /// Judges the error of an allocation.
    pub(super) fn check_error(&mut self, request: &AllocRequest, errno: Errno) {
        let need = || Need::of(request, self.space);
        let (promise, room) = match errno {
            Errno::EINVAL => {
                (Promise::ValidArguments, need().and_then(|need| need.in_empty_space()))
            }
            Errno::ENOSPC if request.size <= self.free => {
                (Promise::Room, need().and_then(|need| need.beside(&self.occupancy)))
            }
            Errno::ENOSPC => return,
            errno => return self.check_unexpected(errno),
        };
        if let Some(room) = room {
            self.breach(promise, room);
        }
    }

    /// Judges an error that does not depend on the request.
    pub(super) fn check_unexpected(&mut self, errno: Errno) {
        match errno {
            Errno::ENOMEM if self.faulted => {}
            Errno::ENOTRECOVERABLE => self.breach(Promise::NoBug, Detail::Errno(errno)),
            errno => self.breach(Promise::KnownError, Detail::Errno(errno)),
        }
    }

    /// Judges what is free after a call that changes it.
    pub(super) fn check_accounts(&mut self, expected: Accounts, is: Accounts) {
        self.compare_accounts(Promise::Avail, Promise::ClearAvail, expected, is);
        self.accounts = is;
    }

    /// Judges what is free after a call that failed.
    pub(super) fn check_nothing_changed(&mut self, errno: Errno, is: Accounts) {
        // A BUG stopped the call half-way.
        if errno == Errno::ENOTRECOVERABLE {
            self.unusable = true;
            return;
        }
        let promise = Promise::FailureChangesNothing;
        self.compare_accounts(promise, promise, self.accounts, is);
        self.accounts = is;
    }

    pub(super) fn compare_accounts(
        &mut self,
        avail: Promise,
        clear_avail: Promise,
        expected: Accounts,
        is: Accounts,
    ) {
        if is.avail != expected.avail {
            self.breach(avail, Detail::Avail { expected: expected.avail, is: is.avail });
        }
        if self.tracks_clear && is.clear_avail != expected.clear_avail {
            let detail = Detail::ClearAvail { expected: expected.clear_avail, is: is.clear_avail };
            self.breach(clear_avail, detail);
        }
    }

    /// Judges what is free after `bytes` were freed.
    pub(super) fn check_freed(&mut self, bytes: u64, cleared: bool, accounts: Accounts) {
        let clear_bytes = if cleared { bytes } else { 0 };
        let expected = Accounts {
            avail: self.accounts.avail.wrapping_add(bytes),
            clear_avail: self.accounts.clear_avail.wrapping_add(clear_bytes),
        };
        self.check_accounts(expected, accounts);
    }

    pub(super) fn is_inside(&self, block: &Block) -> bool {
        let end = block.offset.checked_add(self.size_of(block));
        self.is_shaped(block) && end.is_some_and(|end| end <= self.space.size)
    }

    /// Records that a block is allocated.
    pub(super) fn hand_out(&mut self, block: &Block) {
        // A block that is not inside was reported already.
        if !self.is_inside(block) {
            return;
        }
        let chunks = self.chunks_of(block);
        if !self.occupancy.insert(chunks.start, block.order) {
            self.breach(Promise::NoOverlap, Detail::Overlap(*block));
        }
        self.free = self.free.saturating_sub(self.size_of(block));
        if self.tracks_clear {
            if block.clear && !self.clear.covers(chunks.clone()) {
                self.breach(Promise::ClearIsClear, Detail::NotClear(*block));
            }
            self.clear.remove(chunks);
        }
    }

    /// Records that a block is free. Returns its size in bytes.
    pub(super) fn take_back(&mut self, block: &Block, cleared: bool) -> u64 {
        if self.is_inside(block) {
            let chunks = self.chunks_of(block);
            self.occupancy.remove(chunks.start, block.order);
            self.free += self.size_of(block);
            if self.tracks_clear && cleared {
                self.clear.insert(chunks);
            }
        }
        self.size_of(block)
    }
}
