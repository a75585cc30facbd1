//! Allocations onto a list that is not empty.

use super::room;
use super::{
    Accounts, AllocRequest, Block, Breach, Contract, Detail, Errno, Id, Operation, Promise,
};

impl Contract {
    /// Judges an allocation onto the list of the allocation `id`. `blocks` are those that
    /// the list has now, whether the call succeeded or not.
    pub fn alloc_onto(
        &mut self,
        id: Id,
        request: &AllocRequest,
        outcome: Result<(), Errno>,
        blocks: &[Block],
        accounts: Accounts,
    ) -> Vec<Breach> {
        if self.over {
            return Vec::new();
        }
        let mut broken = Vec::new();
        self.repeats(request, outcome, &mut broken);
        let old = self.live.remove(id);
        match outcome {
            Ok(()) if blocks.starts_with(&old) => {
                let new = &blocks[old.len()..];
                if let Some(what) = room::invalid(request, self.space) {
                    self.push(&mut broken, Promise::RefusesInvalid, Detail::Invalid(what));
                }
                self.placed(request, new, &mut broken);
                self.replaced(&[], new, accounts, &mut broken);
            }
            Err(errno) if blocks == old => {
                self.refused(request, errno, &mut broken);
                self.unchanged(errno, accounts, &mut broken);
            }
            // The call was stopped half-way.
            Err(Errno::ENOTRECOVERABLE) => {
                self.refused(request, Errno::ENOTRECOVERABLE, &mut broken);
                self.unchanged(Errno::ENOTRECOVERABLE, accounts, &mut broken);
            }
            _ => {
                self.push(&mut broken, Promise::KeepsList, Detail::Blocks);
                self.replaced(&old, blocks, accounts, &mut broken);
                self.last_failed = None;
            }
        }
        self.live.recycle(old);
        self.live.insert(id, blocks);
        let operation = || Operation::AllocOnto { id, request: request.clone() };
        self.finish_call(broken, operation, outcome.err())
    }

    /// Blocks of a list are replaced by others. The former become free and keep their
    /// clear mark, as nobody has written to them.
    fn replaced(
        &mut self,
        old: &[Block],
        new: &[Block],
        accounts: Accounts,
        broken: &mut Vec<Breach>,
    ) {
        let (mut bytes, mut clear) = (self.accounts.avail, self.accounts.clear_avail);
        for block in old {
            let size = self.take_back(block, block.clear);
            bytes = bytes.wrapping_add(size);
            clear = clear.wrapping_add(if block.clear { size } else { 0 });
        }
        for block in new {
            self.hand_out(block, broken);
            let size = self.size_of(block);
            bytes = bytes.wrapping_sub(size);
            clear = clear.saturating_sub(if block.clear { size } else { 0 });
        }
        // To find room, clear memory may have been merged with dirty.
        let expected = Accounts { avail: bytes, clear_avail: accounts.clear_avail.min(clear) };
        self.account(expected, accounts, broken);
    }
}
