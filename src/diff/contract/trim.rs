//! Judges trims.

use crate::Errno;

use super::{Accounts, Block, Contract, Detail, Promise};

impl Contract {
    /// Judges a trim that succeeded, and records its blocks.
    pub(super) fn check_trim(
        &mut self,
        old: &[Block],
        start: Option<u64>,
        new_size: u64,
        blocks: &[Block],
        accounts: Accounts,
    ) {
        let left = match *old {
            [block] if self.can_trim(&block, start, new_size) => {
                let whole = new_size == self.size_of(&block);
                let start = if whole { block.offset } else { start.unwrap_or(block.offset) };
                let in_shape = |new: &Block| self.is_inside(new) && new.clear == block.clear;
                self.runs_of(blocks) == [(start, start + new_size)] && blocks.iter().all(in_shape)
            }
            // An invalid trim may be ignored instead of refused.
            _ => old == blocks,
        };
        if !left {
            self.breach(Promise::Trimmed, Detail::Blocks);
        }
        let clear = old.iter().any(|block| block.clear);
        let bytes = self.replace(old, blocks, clear);
        self.check_freed(bytes, clear, accounts);
    }

    /// Judges a trim that failed, and records its blocks.
    pub(super) fn check_trim_error(
        &mut self,
        old: &[Block],
        start: Option<u64>,
        new_size: u64,
        errno: Errno,
        blocks: &[Block],
    ) {
        let valid = matches!(*old, [block] if self.can_trim(&block, start, new_size));
        match errno {
            Errno::EINVAL if valid => self.breach(Promise::ValidArguments, Detail::Valid),
            Errno::EINVAL => {}
            // A part of the block always has room in it.
            Errno::ENOSPC => self.breach(Promise::Room, Detail::Valid),
            errno => self.check_unexpected(errno),
        }
        // If a BUG stopped the call half-way, the blocks are lost.
        if old != blocks && errno != Errno::ENOTRECOVERABLE {
            self.breach(Promise::FailureChangesNothing, Detail::Blocks);
            self.replace(old, blocks, false);
        }
    }

    fn can_trim(&self, block: &Block, start: Option<u64>, new_size: u64) -> bool {
        let size = self.size_of(block);
        let is_multiple = |bytes: u64| bytes.is_multiple_of(self.space.chunk_size);
        new_size > 0
            && new_size <= size
            && is_multiple(new_size)
            && (new_size == size
                || start.is_none_or(|start| {
                    is_multiple(start)
                        && start >= block.offset
                        && start - block.offset <= size - new_size
                }))
    }

    /// Replaces the blocks of an allocation by others. Returns how many bytes became free, in the
    /// state `clear`.
    fn replace(&mut self, old: &[Block], new: &[Block], clear: bool) -> u64 {
        let mut bytes = 0u64;
        for block in old {
            bytes = bytes.wrapping_add(self.take_back(block, clear));
        }
        for block in new {
            bytes = bytes.wrapping_sub(self.size_of(block));
            self.hand_out(block);
        }
        bytes
    }
}
