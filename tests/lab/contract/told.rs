//! A contract that is told what an allocator did. There is no allocator.

use gpu_buddy::diff::{
    Accounts, Block, Breach, Capabilities, Contract, Id, Observation, Operation, Outcome, Promise,
    Report, Space,
};
use gpu_buddy::{
    AllocRequest, BlockInfo,
    BlockState::{self, Free, Split},
    Errno, GpuBuddyAllocFlag, Snapshot,
};

/// A contract that is told what an allocator of 16 chunks did.
pub struct Told {
    pub contract: Contract,
    pub accounts: Accounts,
    pub report: Report,
    pub broken: Vec<Breach>,
}

pub const CHUNK: u64 = 4096;

pub fn block(chunk: u64, order: u32, clear: bool) -> Block {
    Block { offset: chunk * CHUNK, order, clear }
}

pub fn request(chunks: u64) -> AllocRequest {
    AllocRequest {
        end: 16 * CHUNK,
        size: chunks * CHUNK,
        min_block_size: CHUNK,
        ..AllocRequest::default()
    }
}

pub fn aligned(chunks: u64, align: u64) -> AllocRequest {
    AllocRequest { min_block_size: align * CHUNK, ..request(chunks) }
}

pub fn within(chunks: u64, start: u64, end: u64) -> AllocRequest {
    AllocRequest { start: start * CHUNK, end: end * CHUNK, range: true, ..request(chunks) }
}

pub fn contiguous(chunks: u64) -> AllocRequest {
    AllocRequest { flags: GpuBuddyAllocFlag::Contiguous.into(), ..request(chunks) }
}

impl Told {
    pub fn new() -> Self {
        let space = Space::new(16 * CHUNK, CHUNK);
        let mut contract = Contract::new(space, Capabilities::all());
        let accounts = Accounts { avail: space.size, clear_avail: 0 };
        let broken = contract.check_created(accounts);
        Self { contract, accounts, report: Report::default(), broken }
    }

    fn check(
        mut self,
        operation: &Operation,
        outcome: Result<(), Errno>,
        blocks: &[Block],
    ) -> Self {
        let outcome = outcome.map_or_else(Outcome::Failed, |()| Outcome::Done);
        let seen = Observation::new(outcome, self.accounts);
        let seen = Observation { blocks, report: &self.report, ..seen };
        self.broken.extend(self.contract.check(operation, &seen));
        self
    }

    /// Changes the accounts by numbers of chunks, and of clear chunks.
    pub fn change(mut self, chunks: i64, clear_chunks: i64) -> Self {
        let Accounts { avail, clear_avail } = &mut self.accounts;
        *avail = avail.wrapping_add_signed(chunks * CHUNK as i64);
        *clear_avail = clear_avail.wrapping_add_signed(clear_chunks * CHUNK as i64);
        self
    }

    pub fn ok(self, id: Id, request: AllocRequest, blocks: &[Block]) -> Self {
        let total: i64 = blocks.iter().map(|block| 1 << block.order).sum();
        let clear = blocks.iter().filter(|block| block.clear).map(|block| 1 << block.order);
        let clear: i64 = clear.sum();
        self.change(-total, -clear).check(&Operation::Alloc { id, request }, Ok(()), blocks)
    }

    pub fn fails(self, request: AllocRequest, errno: Errno) -> Self {
        self.check(&Operation::Alloc { id: 99, request }, Err(errno), &[])
    }

    /// Frees this number of chunks.
    pub fn free(self, id: Id, cleared: bool, chunks: i64) -> Self {
        let told = self.change(chunks, if cleared { chunks } else { 0 });
        told.check(&Operation::Free { id, cleared }, Ok(()), &[])
    }

    /// Leaves `blocks` of an allocation of 4 chunks at 0.
    pub fn trim(self, new_size: u64, outcome: Result<(), Errno>, blocks: &[Block]) -> Self {
        let left: i64 = blocks.iter().map(|block| 1 << block.order).sum();
        let told = self.ok(0, request(4), &[block(0, 2, false)]).change(4 - left, 0);
        let trim = Operation::Trim { id: 0, start: None, new_size: new_size * CHUNK };
        told.check(&trim, outcome, blocks)
    }

    pub fn lookup(mut self, chunk: u64, outcome: Result<Option<Block>, Errno>) -> Self {
        let outcome = outcome.map_or_else(Outcome::Failed, Outcome::Found);
        let operation = Operation::BlockAt { offset: chunk * CHUNK };
        let seen = Observation::new(outcome, self.accounts);
        self.broken.extend(self.contract.check(&operation, &seen));
        self
    }

    pub fn reset(self, clear: bool) -> Self {
        self.check(&Operation::ResetClear { clear }, Ok(()), &[])
    }

    pub fn faulted(mut self) -> Self {
        self.report.faulted = true;
        self
    }

    pub fn snapshot(mut self, blocks: &[(u64, u32, BlockState, bool)]) -> Self {
        let snapshot = snapshot(self.accounts, blocks);
        self.broken.extend(self.contract.check_tree(Some(&snapshot), &[]));
        self
    }

    /// Judges the choice of a block for a request of one chunk.
    pub fn chose(self, asked: &AllocRequest, chunk: u64) -> Self {
        let told = self.ok(9, request(8), &[block(0, 3, false)]).free(9, true, 8);
        let before = snapshot(
            told.accounts,
            &[(0, 4, Split, false), (0, 3, Free, true), (8, 3, Free, false)],
        );
        let blocks = [block(chunk, 0, chunk < 8)];
        let mut told = told.change(-1, if chunk < 8 { -1 } else { 0 });
        let seen = Observation::new(Outcome::Done, told.accounts);
        let seen = Observation { blocks: &blocks, before: Some(&before), ..seen };
        let operation = Operation::Alloc { id: 0, request: asked.clone() };
        told.broken.extend(told.contract.check(&operation, &seen));
        told
    }

    pub fn finish(mut self) -> Self {
        self.broken.extend(self.contract.check_all_free(self.accounts));
        self
    }

    #[track_caller]
    pub fn breaks(self, expected: &[Promise]) {
        let promises: Vec<_> = self.broken.iter().map(|broken| broken.promise).collect();
        assert_eq!(promises, expected, "{:?}", self.broken);
    }
}

pub fn snapshot(accounts: Accounts, blocks: &[(u64, u32, BlockState, bool)]) -> Snapshot {
    let blocks = blocks.iter().map(|&(chunk, order, state, clear)| BlockInfo {
        offset: chunk * CHUNK,
        order,
        state,
        clear,
    });
    Snapshot {
        chunk_size: CHUNK,
        size: 16 * CHUNK,
        avail: accounts.avail,
        clear_avail: accounts.clear_avail,
        blocks: blocks.collect(),
    }
}
