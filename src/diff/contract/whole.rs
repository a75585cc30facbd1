//! Judges calls that affect the allocator as a whole.

use crate::Errno;

use super::{Accounts, Block, Breach, Contract, Detail, Outcome, Promise, Report};

impl Contract {
    pub(super) fn check_reset_clear(&mut self, clear: bool, accounts: Accounts) {
        if accounts.avail != self.accounts.avail {
            let (expected, is) = (self.accounts.avail, accounts.avail);
            self.breach(Promise::Avail, Detail::Avail { expected, is });
        }
        let expected = if clear { accounts.avail } else { 0 };
        let complete = accounts.clear_avail == expected;
        if self.tracks_clear && !complete {
            let detail = Detail::ClearAvail { expected, is: accounts.clear_avail };
            self.breach(Promise::ResetClear, detail);
        }
        self.accounts = accounts;
        // It is unknown which blocks were missed: they may still be clear.
        if clear || complete {
            self.clear.reset(false);
        }
        if clear {
            self.occupancy.free_runs(0..u64::MAX, |run| {
                self.clear.insert(run);
                true
            });
        }
    }

    pub(super) fn check_lookup(&mut self, offset: u64, outcome: Outcome, accounts: Accounts) {
        let found = match outcome {
            Outcome::Found(found) => Ok(found),
            other => Err(other.errno().unwrap_or(Errno::EINVAL)),
        };
        let expected = if offset >= self.space.size {
            Err(Errno::ENXIO)
        } else {
            Ok(self.occupancy.at(offset / self.space.chunk_size).map(|(chunk, order)| Block {
                offset: chunk * self.space.chunk_size,
                order,
                clear: false,
            }))
        };
        // The clear state was judged when the block was allocated.
        let found = found.map(|block| block.map(|block| Block { clear: false, ..block }));
        if found != expected {
            self.breach(Promise::BlockAt, Detail::Lookup { found, expected });
        }
        self.check_accounts(self.accounts, accounts);
    }

    /// Judges the teardown. It need not free what is still allocated, but must warn about it.
    pub(super) fn check_teardown(&mut self, report: &Report) {
        if self.occupancy.count() == 0 {
            self.check_warnings(report);
            if report.leaked > 0 {
                self.breach(Promise::NothingLeaked, Detail::Objects(report.leaked));
            }
        } else if report.warnings.is_empty() {
            let detail = Detail::InUse(self.occupancy.count() as u64);
            self.breach(Promise::TeardownWarns, detail);
        }
        self.unusable = true;
    }

    pub(super) fn check_warnings(&mut self, report: &Report) {
        if let Some(&warning) = report.warnings.first() {
            self.breach(Promise::NoWarning, Detail::Warning(warning));
        }
    }

    /// Judges the state after everything was freed.
    pub fn check_all_free(&mut self, accounts: Accounts) -> Vec<Breach> {
        if !self.unusable && accounts.avail != self.space.size {
            let detail = Detail::Avail { expected: self.space.size, is: accounts.avail };
            self.breach(Promise::NothingLeaked, detail);
        }
        core::mem::take(&mut self.found)
    }
}
