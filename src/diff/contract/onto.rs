//! Allocations onto a list that is not empty.

use super::{Accounts, AllocRequest, Block, Contract, Detail, Errno, Observation, Promise};

impl Contract {
    /// Judges an allocation onto a list that held `old`.
    pub(super) fn check_alloc_onto(
        &mut self,
        old: &[Block],
        request: &AllocRequest,
        seen: &Observation<'_>,
        last_failed: Option<(AllocRequest, Errno)>,
    ) {
        let Observation { outcome, blocks, accounts, .. } = *seen;
        let kept = match outcome.errno() {
            None => blocks.starts_with(old),
            // A BUG stopped the call half-way: it may have left anything.
            Some(errno) => blocks == old || errno == Errno::ENOTRECOVERABLE,
        };
        if !kept {
            // All other differences follow from this one.
            self.breach(Promise::KeepsList, Detail::Blocks);
            self.check_replaced(old, blocks, accounts);
            return;
        }
        self.check_repeats(request, outcome, last_failed);
        match outcome.errno() {
            None => self.check_new_blocks(request, &blocks[old.len()..], accounts),
            Some(errno) => {
                self.check_error(request, errno);
                self.check_nothing_changed(errno, accounts);
            }
        }
    }

    /// Replaces the blocks of a list by others. The old ones become free in the clear state that
    /// they had, as nobody has written to them.
    fn check_replaced(&mut self, old: &[Block], new: &[Block], accounts: Accounts) {
        let Accounts { mut avail, mut clear_avail } = self.accounts;
        for block in old {
            let size = self.take_back(block, block.clear);
            avail = avail.wrapping_add(size);
            clear_avail = clear_avail.wrapping_add(if block.clear { size } else { 0 });
        }
        for block in new {
            self.hand_out(block);
            let size = self.size_of(block);
            avail = avail.wrapping_sub(size);
            clear_avail = clear_avail.saturating_sub(if block.clear { size } else { 0 });
        }
        // To find room, clear memory may have been merged with dirty memory.
        let clear_avail = clear_avail.min(accounts.clear_avail);
        self.check_accounts(Accounts { avail, clear_avail }, accounts);
    }
}
