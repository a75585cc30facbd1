//! What an operation does to the state, and what the state says of its outcome.

use super::room::Need;
use super::{
    Accounts, AllocRequest, Block, Breach, Contract, Detail, Errno, Operation, Promise, Snapshot,
};
use crate::BlockState;

impl Contract {
    /// Adds a breach; of one promise there is one in each operation.
    pub(super) fn push(&self, broken: &mut Vec<Breach>, promise: Promise, detail: Detail) {
        if broken.iter().all(|broken| broken.promise != promise) {
            broken.push(self.broken(promise, detail));
        }
    }

    /// Fills in the operation.
    #[inline]
    pub(super) fn finish_call(
        &self,
        mut broken: Vec<Breach>,
        operation: impl FnOnce() -> Operation,
        error: Option<Errno>,
    ) -> Vec<Breach> {
        if !broken.is_empty() {
            let operation = operation();
            for broken in &mut broken {
                broken.operation = Some(operation.clone());
                broken.outcome = error.map_or(Ok(()), Err);
            }
        }
        broken
    }

    /// A call that follows the same call, which failed, fails again.
    pub(super) fn repeats(
        &mut self,
        request: &AllocRequest,
        outcome: Result<(), Errno>,
        broken: &mut Vec<Breach>,
    ) {
        let before = self.last_failed.take();
        if self.faulted {
            return;
        }
        if let Some((same, errno)) = before
            && same == *request
            && outcome != Err(errno)
        {
            self.push(broken, Promise::Repeatable, Detail::Before(errno));
        }
        if let Err(errno) = outcome {
            self.last_failed = Some((request.clone(), errno));
        }
    }

    /// Judges the error of an allocation.
    pub(super) fn refused(&self, request: &AllocRequest, errno: Errno, broken: &mut Vec<Breach>) {
        match errno {
            Errno::EINVAL => {
                let need = Need::of(request, self.space);
                if let Some(room) = need.and_then(|need| need.in_empty_space()) {
                    self.push(broken, Promise::ValidArguments, room);
                }
            }
            Errno::ENOSPC => {
                let need = Need::of(request, self.space).filter(|_| request.size <= self.free);
                if let Some(room) = need.and_then(|need| need.beside(&self.blocks)) {
                    self.push(broken, Promise::Room, room);
                }
            }
            errno => self.unexpected(errno, broken),
        }
    }

    /// Judges an error that has nothing to do with the request.
    fn unexpected(&self, errno: Errno, broken: &mut Vec<Breach>) {
        match errno {
            Errno::ENOMEM if self.faulted => {}
            Errno::ENOTRECOVERABLE => self.push(broken, Promise::NoBug, Detail::Errno(errno)),
            errno => self.push(broken, Promise::KnownError, Detail::Errno(errno)),
        }
    }

    /// Judges the accounts after a call that changes them.
    pub(super) fn account(&mut self, expected: Accounts, is: Accounts, broken: &mut Vec<Breach>) {
        self.compare(Promise::Avail, Promise::ClearAvail, expected, is, broken);
        self.accounts = is;
    }

    /// Judges the accounts after a call that failed.
    pub(super) fn unchanged(&mut self, errno: Errno, is: Accounts, broken: &mut Vec<Breach>) {
        // The call was stopped half-way.
        if errno == Errno::ENOTRECOVERABLE {
            self.over = true;
            return;
        }
        let promise = Promise::FailureChangesNothing;
        self.compare(promise, promise, self.accounts, is, broken);
        self.accounts = is;
    }

    fn compare(
        &self,
        avail: Promise,
        clear_avail: Promise,
        expected: Accounts,
        is: Accounts,
        broken: &mut Vec<Breach>,
    ) {
        if is.avail != expected.avail {
            let detail = Detail::Avail { expected: expected.avail, is: is.avail };
            self.push(broken, avail, detail);
        }
        if self.tracks_clear && is.clear_avail != expected.clear_avail {
            let detail = Detail::ClearAvail { expected: expected.clear_avail, is: is.clear_avail };
            self.push(broken, clear_avail, detail);
        }
    }

    fn is_inside(&self, block: &Block) -> bool {
        let end = block.offset.checked_add(self.size_of(block));
        self.is_shaped(block) && end.is_some_and(|end| end <= self.space.size)
    }

    /// A block becomes allocated.
    pub(super) fn hand_out(&mut self, block: &Block, broken: &mut Vec<Breach>) {
        // Elsewhere it has been reported.
        if !self.is_inside(block) {
            return;
        }
        let chunks = self.chunks_of(block);
        if !self.blocks.insert(chunks.start, block.order) {
            self.push(broken, Promise::NoOverlap, Detail::Overlap(*block));
        }
        self.free = self.free.saturating_sub(self.size_of(block));
        if self.tracks_clear {
            if block.clear && !self.clear.covers(chunks.clone()) {
                self.push(broken, Promise::ClearIsClear, Detail::NotClear(*block));
            }
            self.clear.remove(chunks);
        }
    }

    /// A block becomes free. Returns its bytes.
    pub(super) fn take_back(&mut self, block: &Block, cleared: bool) -> u64 {
        if self.is_inside(block) {
            let chunks = self.chunks_of(block);
            self.blocks.remove(chunks.start, block.order);
            self.free += self.size_of(block);
            if self.tracks_clear && cleared {
                self.clear.insert(chunks);
            }
        }
        self.size_of(block)
    }

    /// Judges the accounts after so many bytes became free.
    pub(super) fn freed(
        &mut self,
        bytes: u64,
        cleared: bool,
        accounts: Accounts,
        broken: &mut Vec<Breach>,
    ) {
        let clear_bytes = if cleared { bytes } else { 0 };
        let expected = Accounts {
            avail: self.accounts.avail.wrapping_add(bytes),
            clear_avail: self.accounts.clear_avail.wrapping_add(clear_bytes),
        };
        self.account(expected, accounts, broken);
    }

    /// Judges a trim that succeeded, and takes over its blocks.
    pub(super) fn trimmed(
        &mut self,
        old: &[Block],
        start: Option<u64>,
        new_size: u64,
        blocks: &[Block],
        accounts: Accounts,
        broken: &mut Vec<Breach>,
    ) {
        let left = match *old {
            [block] if self.can_trim(&block, start, new_size) => {
                let whole = new_size == self.size_of(&block);
                let start = if whole { block.offset } else { start.unwrap_or(block.offset) };
                let in_shape = |new: &Block| self.is_inside(new) && new.clear == block.clear;
                self.runs_of(blocks) == [(start, start + new_size)] && blocks.iter().all(in_shape)
            }
            // What is refused may as well be ignored.
            _ => old == blocks,
        };
        if !left {
            self.push(broken, Promise::Trimmed, Detail::Blocks);
        }
        let clear = old.iter().any(|block| block.clear);
        let bytes = self.replace(old, blocks, clear, broken);
        self.freed(bytes, clear, accounts, broken);
    }

    /// Judges a trim that failed, and takes over its blocks.
    pub(super) fn trim_refused(
        &mut self,
        old: &[Block],
        start: Option<u64>,
        new_size: u64,
        errno: Errno,
        blocks: &[Block],
        broken: &mut Vec<Breach>,
    ) {
        let valid = matches!(*old, [block] if self.can_trim(&block, start, new_size));
        match errno {
            Errno::EINVAL if valid => self.push(broken, Promise::ValidArguments, Detail::Valid),
            Errno::EINVAL => {}
            // A part of the block always has room in it.
            Errno::ENOSPC => self.push(broken, Promise::Room, Detail::Valid),
            errno => self.unexpected(errno, broken),
        }
        // Where the call was stopped half-way, the blocks are lost.
        if old != blocks && errno != Errno::ENOTRECOVERABLE {
            self.push(broken, Promise::FailureChangesNothing, Detail::Blocks);
            self.replace(old, blocks, false, broken);
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

    /// Blocks of an allocation are replaced by others. Returns how many bytes
    /// became free; they are clear if that is said.
    fn replace(
        &mut self,
        old: &[Block],
        new: &[Block],
        clear: bool,
        broken: &mut Vec<Breach>,
    ) -> u64 {
        let mut bytes = 0u64;
        for block in old {
            bytes = bytes.wrapping_add(self.take_back(block, clear));
        }
        for block in new {
            bytes = bytes.wrapping_sub(self.size_of(block));
            self.hand_out(block, broken);
        }
        bytes
    }

    /// Judges the whole state, against what is allocated and known to be clear.
    #[must_use]
    pub fn snapshot(&self, snapshot: &Snapshot) -> Vec<Breach> {
        let mut broken = Vec::new();
        if self.over {
            return broken;
        }
        let (mut end, mut allocated) = (0, 0);
        let mut free = Accounts::default();
        for leaf in snapshot.leaves() {
            let block = Block::from(*leaf);
            let at = |what| Detail::At(block.offset, what);
            if block.offset != end || !self.is_inside(&block) {
                self.push(&mut broken, Promise::Snapshot, at("the blocks do not tile the space"));
                return broken;
            }
            end += self.size_of(&block);
            let chunks = self.chunks_of(&block);
            let live = self.blocks.at(chunks.start);
            match leaf.state {
                BlockState::Allocated => {
                    allocated += 1;
                    if live != Some((chunks.start, block.order)) {
                        let what = at("a block is allocated that was not handed out");
                        self.push(&mut broken, Promise::Snapshot, what);
                    }
                }
                BlockState::Free | BlockState::Split => {
                    free.avail += self.size_of(&block);
                    if !self.blocks.is_free(chunks.clone()) {
                        let what = at("a block is free that was handed out");
                        self.push(&mut broken, Promise::Snapshot, what);
                    }
                    if self.tracks_clear && block.clear {
                        free.clear_avail += self.size_of(&block);
                        if !self.clear.covers(chunks) {
                            let what = at("a free block is clear that was not freed as cleared");
                            self.push(&mut broken, Promise::ClearIsClear, what);
                        }
                    }
                }
            }
        }
        if end != self.space.size || allocated != self.blocks.count() {
            let what = Detail::At(end, "blocks are missing");
            self.push(&mut broken, Promise::Snapshot, what);
        }
        let is = Accounts { avail: snapshot.avail, clear_avail: snapshot.clear_avail };
        self.compare(Promise::Avail, Promise::ClearAvail, free, is, &mut broken);
        for halves in snapshot.blocks.windows(3) {
            if let [whole, left, right] = halves
                && whole.state == BlockState::Split
                && (left.state, right.state) == (BlockState::Free, BlockState::Free)
                && left.order + 1 == whole.order
                && left.clear == right.clear
            {
                let what = Detail::At(whole.offset, "both halves of a block are free and alike");
                self.push(&mut broken, Promise::Merged, what);
            }
        }
        broken
    }
}
