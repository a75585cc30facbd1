//! Allocations onto a list that is not empty.

use super::{Accounts, AllocRequest, Block, Contract, Detail, Errno, Id, Outcome, Promise};

impl Contract {
    /// Judges an allocation onto the list of the allocation `id`. `blocks` are those that
    /// the list has now, whether the call succeeded or not.
    pub(super) fn check_alloc_onto(
        &mut self,
        id: Id,
        request: &AllocRequest,
        outcome: Outcome,
        blocks: &[Block],
        accounts: Accounts,
    ) {
        let old = self.allocations.remove(id);
        match outcome.errno() {
            None if blocks.starts_with(&old) => {
                self.check_new_blocks(request, &blocks[old.len()..], accounts);
            }
            // Stopped half-way, the call may have left anything.
            Some(errno) if blocks == old || errno == Errno::ENOTRECOVERABLE => {
                self.check_error(request, errno);
                self.check_nothing_changed(errno, accounts);
            }
            _ => {
                self.breach(Promise::KeepsList, Detail::Blocks);
                self.check_replaced(&old, blocks, accounts);
                // The same call is made in another state.
                self.last_failed = None;
            }
        }
        self.allocations.recycle(old);
        self.allocations.insert(id, blocks);
    }

    /// Blocks of a list are replaced by others. The former become free and keep their
    /// clear mark, as nobody has written to them.
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
        // To find room, clear memory may have been merged with dirty.
        let clear_avail = clear_avail.min(accounts.clear_avail);
        self.check_accounts(Accounts { avail, clear_avail }, accounts);
    }
}
