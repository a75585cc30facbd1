//! What the header's documentation promises, checked after every operation.
//!
//! A [`Contract`] is told each operation and what came of it. It keeps its own
//! account of what is allocated and of what is known to be zeroed, and compares.
//! It knows nothing of how an allocator finds its blocks.
//!
//! There are two depths. The methods named after operations are cheap, and made
//! for every call. [`preferences`](Contract::preferences) and
//! [`snapshot`](Contract::snapshot) read a whole [`Snapshot`], for now and then.

mod breach;
mod choice;
mod chunk_set;
mod ledger;
mod onto;
mod placement;
mod promise;
mod room;
mod state;

use crate::{AllocRequest, Errno, GpuBuddyAllocFlag, Inconsistency, KernelBug, Snapshot, Warning};

use super::{Block, Capabilities, Capability, Id, Implementation, Operation, Space};

pub use breach::Breach;
pub(super) use breach::Detail;
use chunk_set::ChunkSet;
use ledger::{Allocations, Occupancy};
pub use promise::Promise;

/// What an allocator says is free, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Free bytes.
    pub avail: u64,
    /// Free bytes known to be zeroed; 0 where that is not told apart.
    pub clear_avail: u64,
}

impl Accounts {
    /// What an implementation says now.
    pub fn of(implementation: &impl Implementation) -> Self {
        implementation.accounts()
    }
}

/// The oracle for one allocator.
///
/// Each method is to be called after the operation that it is named after, and
/// returns the promises that the operation broke: none, in most cases. After a
/// breach the contract goes on from what the allocator says, so that each breach
/// is reported once.
///
/// ```
/// use gpu_buddy::diff::{Accounts, Block, Contract, Implementation, KernelC, Space};
/// use gpu_buddy::{AllocRequest, GpuBuddyAllocMode};
///
/// let space = Space::new(16 << 20, 4 << 10);
/// let mut buddy = KernelC::create(space)?;
/// let mut contract = Contract::new(space, buddy.capabilities());
/// assert_eq!(contract.created(Accounts::of(&buddy)), []);
///
/// let request = AllocRequest::new(
///     GpuBuddyAllocMode::Simple, 1 << 20, 4 << 10, gpu_buddy::GpuBuddyAllocFlags::empty(),
/// );
/// let allocation = buddy.alloc(&request)?;
/// let mut blocks = Vec::new();
/// buddy.blocks(&allocation, &mut blocks);
/// assert_eq!(contract.alloc(0, &request, Ok(&blocks), Accounts::of(&buddy)), []);
/// # Ok::<(), gpu_buddy::Errno>(())
/// ```
#[derive(Clone, Debug)]
pub struct Contract {
    space: Space,
    /// Whether clear and dirty are told apart.
    tracks_clear: bool,
    /// What the allocator said last.
    accounts: Accounts,
    /// Whether memory for the allocator's own objects ran out in the operation
    /// that is judged next.
    faulted: bool,
    /// A BUG was met.
    over: bool,
    /// The blocks of each allocation, and all of them by place.
    live: Allocations,
    blocks: Occupancy,
    /// Free bytes, by what is allocated.
    free: u64,
    /// Free memory that is known to be zeroed.
    clear: ChunkSet,
    /// The last operation, where it was an allocation that failed.
    last_failed: Option<(AllocRequest, Errno)>,
}

impl Contract {
    /// A contract for a fresh allocator: all of `space` is free and dirty.
    #[must_use]
    pub fn new(space: Space, capabilities: Capabilities) -> Self {
        // No allocator has a chunk size of 0; then there is nothing to judge.
        let chunk_size = space.chunk_size.max(1);
        let size = space.size - space.size % chunk_size;
        let space = Space { size, chunk_size, ..space };
        let chunks = size / space.chunk_size;
        Self {
            space,
            tracks_clear: capabilities.contains(Capability::Clear),
            accounts: Accounts { avail: size, clear_avail: 0 },
            faulted: false,
            over: false,
            free: size,
            live: Allocations::default(),
            blocks: Occupancy::new(chunks),
            clear: ChunkSet::new(chunks),
            last_failed: None,
        }
    }

    /// The space that is managed: its size is a multiple of the chunk size.
    #[must_use]
    pub fn space(&self) -> Space {
        self.space
    }

    /// Tells whether memory for the allocator's own objects ran out in the
    /// operation that is judged next. Holds until it is told otherwise.
    pub fn set_faulted(&mut self, faulted: bool) {
        self.faulted = faulted;
    }

    /// Whether the allocator has become unusable by a BUG. It promises nothing
    /// any more, so that no breach is found from there on.
    #[must_use]
    pub fn is_unusable(&self) -> bool {
        self.over
    }

    /// Judges a fresh allocator.
    pub fn created(&mut self, accounts: Accounts) -> Vec<Breach> {
        let mut broken = Vec::new();
        self.account(self.accounts, accounts, &mut broken);
        broken
    }

    /// Judges an allocation, that was named `id` where it succeeded.
    pub fn alloc(
        &mut self,
        id: Id,
        request: &AllocRequest,
        outcome: Result<&[Block], Errno>,
        accounts: Accounts,
    ) -> Vec<Breach> {
        if self.over {
            return Vec::new();
        }
        let mut broken = Vec::new();
        let operation = || Operation::Alloc { id, request: request.clone() };
        self.repeats(request, outcome.map(|_| ()), &mut broken);
        match outcome {
            Ok(blocks) => {
                if let Some(what) = room::invalid(request, self.space) {
                    self.push(&mut broken, Promise::RefusesInvalid, Detail::Invalid(what));
                }
                self.placed(request, blocks, &mut broken);
                let (mut bytes, mut clear_bytes) = (0, 0);
                for block in blocks {
                    self.hand_out(block, &mut broken);
                    let size = self.size_of(block);
                    bytes += size;
                    clear_bytes += if block.clear { size } else { 0 };
                }
                self.live.insert(id, blocks);
                // To find room, clear memory may have been merged with dirty,
                // which makes it dirty. So it may drop by more.
                let most_clear = self.accounts.clear_avail.saturating_sub(clear_bytes);
                let expected = Accounts {
                    avail: self.accounts.avail.wrapping_sub(bytes),
                    clear_avail: accounts.clear_avail.min(most_clear),
                };
                self.account(expected, accounts, &mut broken);
            }
            Err(errno) => {
                self.refused(request, errno, &mut broken);
                self.unchanged(errno, accounts, &mut broken);
            }
        }
        self.finish_call(broken, operation, outcome.err())
    }

    /// Judges the free of a whole allocation.
    pub fn free(&mut self, id: Id, cleared: bool, accounts: Accounts) -> Vec<Breach> {
        if self.over {
            return Vec::new();
        }
        let mut broken = Vec::new();
        self.last_failed = None;
        let blocks = self.live.remove(id);
        let bytes = blocks.iter().map(|block| self.take_back(block, cleared)).sum();
        self.live.recycle(blocks);
        self.freed(bytes, cleared, accounts, &mut broken);
        self.finish_call(broken, || Operation::Free { id, cleared }, None)
    }

    /// Judges the free of the block at position `index` of an allocation. The
    /// blocks behind it move up.
    pub fn free_block(
        &mut self,
        id: Id,
        index: usize,
        cleared: bool,
        accounts: Accounts,
    ) -> Vec<Breach> {
        if self.over {
            return Vec::new();
        }
        let mut broken = Vec::new();
        self.last_failed = None;
        let bytes = match self.live.remove_block(id, index) {
            Some(block) => self.take_back(&block, cleared),
            None => 0,
        };
        self.freed(bytes, cleared, accounts, &mut broken);
        self.finish_call(broken, || Operation::FreeBlock { id, index, cleared }, None)
    }

    /// Judges a trim. `blocks` are those that the allocation has now, whether
    /// the trim succeeded or not.
    pub fn trim(
        &mut self,
        id: Id,
        start: Option<u64>,
        new_size: u64,
        outcome: Result<(), Errno>,
        blocks: &[Block],
        accounts: Accounts,
    ) -> Vec<Breach> {
        if self.over {
            return Vec::new();
        }
        let mut broken = Vec::new();
        let old = self.live.remove(id);
        match outcome {
            Ok(()) => {
                self.last_failed = None;
                self.trimmed(&old, start, new_size, blocks, accounts, &mut broken);
            }
            Err(errno) => {
                self.trim_refused(&old, start, new_size, errno, blocks, &mut broken);
                self.unchanged(errno, accounts, &mut broken);
            }
        }
        self.live.recycle(old);
        self.live.insert(id, blocks);
        self.finish_call(broken, || Operation::Trim { id, start, new_size }, outcome.err())
    }

    /// Judges making every free block clear, or dirty.
    pub fn reset_clear(&mut self, clear: bool, accounts: Accounts) -> Vec<Breach> {
        if self.over {
            return Vec::new();
        }
        let mut broken = Vec::new();
        self.last_failed = None;
        if accounts.avail != self.accounts.avail {
            let (expected, is) = (self.accounts.avail, accounts.avail);
            broken.push(self.broken(Promise::Avail, Detail::Avail { expected, is }));
        }
        let expected = if clear { accounts.avail } else { 0 };
        let complete = accounts.clear_avail == expected;
        if self.tracks_clear && !complete {
            let detail = Detail::ClearAvail { expected, is: accounts.clear_avail };
            broken.push(self.broken(Promise::ResetClear, detail));
        }
        self.accounts = accounts;
        // What was missed is not known, and may be clear still.
        if clear || complete {
            self.clear.reset(false);
        }
        if clear {
            self.blocks.free_runs(0..u64::MAX, |run| {
                self.clear.insert(run);
                true
            });
        }
        self.finish_call(broken, || Operation::ResetClear { clear }, None)
    }

    /// Judges the lookup of the allocated block at an offset.
    pub fn block_at(
        &mut self,
        offset: u64,
        outcome: Result<Option<Block>, Errno>,
        accounts: Accounts,
    ) -> Vec<Breach> {
        if self.over {
            return Vec::new();
        }
        let mut broken = Vec::new();
        let expected = if offset >= self.space.size {
            Err(Errno::ENXIO)
        } else {
            Ok(self.blocks.at(offset / self.space.chunk_size).map(|(chunk, order)| Block {
                offset: chunk * self.space.chunk_size,
                order,
                clear: false,
            }))
        };
        // Whether it was clear when it was allocated is told at that time.
        let found = outcome.map(|block| block.map(|block| Block { clear: false, ..block }));
        if found != expected {
            broken.push(self.broken(Promise::BlockAt, Detail::Lookup { found, expected }));
        }
        self.account(self.accounts, accounts, &mut broken);
        self.finish_call(broken, || Operation::BlockAt { offset }, outcome.err())
    }

    /// The request for all of the space as one exact range, which has to succeed
    /// when everything is free.
    #[must_use]
    pub fn whole(&self) -> AllocRequest {
        AllocRequest {
            end: self.space.size,
            size: self.space.size,
            min_block_size: self.space.chunk_size,
            range: true,
            ..AllocRequest::default()
        }
    }

    /// Judges the end, when everything has been freed.
    pub fn finish(&mut self, accounts: Accounts) -> Vec<Breach> {
        if self.over {
            return Vec::new();
        }
        let mut broken = Vec::new();
        if accounts.avail != self.space.size {
            let detail = Detail::Avail { expected: self.space.size, is: accounts.avail };
            broken.push(self.broken(Promise::NothingLeaked, detail));
        }
        broken
    }

    /// Judges what a scan of the C's own structures found.
    #[must_use]
    pub fn consistent(&self, found: &[Inconsistency]) -> Vec<Breach> {
        if self.over {
            return Vec::new();
        }
        let broken =
            |&found: &Inconsistency| self.broken(Promise::Consistent, Detail::Inconsistency(found));
        found.iter().map(broken).collect()
    }

    /// Judges the teardown, which left so many objects behind and raised these warnings.
    /// It promises nothing about what is still allocated, but must not be silent then.
    pub fn fini(&mut self, leaked: usize, warnings: &[Warning]) -> Vec<Breach> {
        if self.over {
            return Vec::new();
        }
        let mut broken = Vec::new();
        if self.blocks.count() > 0 {
            if warnings.is_empty() {
                let detail = Detail::InUse(self.blocks.count() as u64);
                broken.push(self.broken(Promise::TeardownWarns, detail));
            }
        } else {
            broken.extend(self.warnings(warnings));
            if leaked > 0 {
                broken.push(self.broken(Promise::NothingLeaked, Detail::Objects(leaked)));
            }
        }
        let broken = self.finish_call(broken, || Operation::Fini, None);
        // There is nothing left to promise anything.
        self.over = true;
        broken
    }

    /// Judges the warnings that an operation raised.
    #[must_use]
    pub fn warnings(&self, warnings: &[Warning]) -> Vec<Breach> {
        if self.over {
            return Vec::new();
        }
        let broken = |&warning: &Warning| self.broken(Promise::NoWarning, Detail::Warning(warning));
        warnings.iter().map(broken).collect()
    }

    /// Judges a BUG, which makes the allocator unusable. It is told once, also
    /// where the operation has failed for it.
    pub fn bug(&mut self, bug: KernelBug) -> Option<Breach> {
        let is_new = !core::mem::replace(&mut self.over, true);
        is_new.then(|| self.broken(Promise::NoBug, Detail::Bug(bug)))
    }

    /// A breach of this allocator; its operation is filled in at the end.
    fn broken(&self, promise: Promise, detail: Detail) -> Breach {
        Breach {
            promise,
            space: self.space,
            operation: None,
            before: self.accounts,
            outcome: Ok(()),
            faulted: self.faulted,
            detail,
        }
    }

    fn size_of(&self, block: &Block) -> u64 {
        // Orders of nonsense are reported elsewhere.
        self.space.chunk_size.checked_shl(block.order).unwrap_or(0)
    }

    /// A block in chunks.
    fn chunks_of(&self, block: &Block) -> core::ops::Range<u64> {
        let shift = self.space.chunk_size.trailing_zeros();
        let start = block.offset >> shift;
        start..start.saturating_add(1u64.checked_shl(block.order).unwrap_or(0))
    }
}
