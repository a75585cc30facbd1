//! Checks after every operation what `gpu_buddy.h` and the kernel-doc of `buddy.c` promise.
//!
//! A [`Contract`] keeps its own account of what is allocated and what is known to be zeroed, and
//! compares. It does not depend on how an allocator finds its blocks.
//!
//! [`check`](Contract::check) is cheap and runs for every call.
//! [`check_tree`](Contract::check_tree) reads a whole [`Snapshot`] and runs less often.

mod breach;
mod choice;
mod chunk_set;
mod ledger;
mod onto;
mod outcome;
mod placement;
mod printed;
mod promise;
mod room;
mod tree;
mod trim;
mod whole;

use crate::{AllocRequest, Errno, Snapshot};

use super::{Block, Capabilities, Capability, Implementation, Operation, Outcome, Report, Space};

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
    /// Free bytes that are known to be zeroed; 0 if the allocator does not track this.
    pub clear_avail: u64,
}

impl Accounts {
    /// The current accounts of an implementation.
    pub fn of(implementation: &impl Implementation) -> Self {
        implementation.accounts()
    }
}

/// What is known of one operation: the input of a [`Contract`].
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The outcome.
    pub outcome: Outcome,
    /// After an allocation or a trim, the blocks that the allocation has now.
    pub blocks: &'a [Block],
    /// What the allocator says is free after the operation.
    pub accounts: Accounts,
    /// What the allocator reported by itself: warnings, a BUG, a cost.
    pub report: &'a Report,
    /// The state before the operation, to judge which blocks an allocation chose.
    pub before: Option<&'a Snapshot>,
}

impl Observation<'static> {
    /// An observation with only an outcome and the accounts.
    #[must_use]
    pub fn new(outcome: Outcome, accounts: Accounts) -> Self {
        const NOTHING: &Report = &Report::NOTHING;
        Self { outcome, blocks: &[], accounts, report: NOTHING, before: None }
    }
}

/// The oracle for one allocator.
///
/// Call [`check`](Self::check) after each operation. It returns the promises that the operation
/// broke: usually none. After a breach the contract continues from what the allocator says, so that
/// each breach is reported once.
///
/// ```
/// use gpu_buddy::diff::{
///     Accounts, Contract, Implementation, KernelC, Observation, Operation, Outcome, Space,
/// };
/// use gpu_buddy::{AllocRequest, GpuBuddyAllocFlags, GpuBuddyAllocMode};
///
/// let space = Space::new(16 << 20, 4 << 10);
/// let mut buddy = KernelC::create(space)?;
/// let mut contract = Contract::new(space, buddy.capabilities());
/// assert_eq!(contract.check_created(Accounts::of(&buddy)), []);
///
/// let request = AllocRequest::new(
///     GpuBuddyAllocMode::Simple, 1 << 20, 4 << 10, GpuBuddyAllocFlags::empty(),
/// );
/// let allocation = buddy.alloc(&request)?;
/// let mut blocks = Vec::new();
/// buddy.blocks(&allocation, &mut blocks);
/// let seen = Observation::new(Outcome::Done, Accounts::of(&buddy));
/// let seen = Observation { blocks: &blocks, ..seen };
/// assert_eq!(contract.check(&Operation::Alloc { id: 0, request }, &seen), []);
/// # Ok::<(), gpu_buddy::Errno>(())
/// ```
#[derive(Clone, Debug)]
pub struct Contract {
    space: Space,
    /// Whether the allocator tracks clear memory.
    tracks_clear: bool,
    /// The last accounts of the allocator.
    accounts: Accounts,
    /// Whether memory for the allocator's own objects ran out in this operation.
    faulted: bool,
    /// See [`is_unusable`](Self::is_unusable).
    unusable: bool,
    /// The blocks by allocation, and by place.
    allocations: Allocations,
    occupancy: Occupancy,
    /// Free bytes: the space minus what is allocated.
    free: u64,
    /// Free memory that is known to be zeroed.
    clear: ChunkSet,
    /// The last operation, if it was an allocation that failed.
    last_failed: Option<(AllocRequest, Errno)>,
    /// The breaches of this operation so far.
    found: Vec<Breach>,
}

impl Contract {
    /// A contract for a fresh allocator: all of `space` is free and dirty.
    #[must_use]
    pub fn new(space: Space, capabilities: Capabilities) -> Self {
        // A chunk size of 0 is invalid, so there will be nothing to judge.
        let chunk_size = space.chunk_size.max(1);
        let size = space.size - space.size % chunk_size;
        let space = Space { size, chunk_size, ..space };
        let chunks = size / space.chunk_size;
        Self {
            space,
            tracks_clear: capabilities.contains(Capability::Clear),
            accounts: Accounts { avail: size, clear_avail: 0 },
            faulted: false,
            unusable: false,
            free: size,
            allocations: Allocations::default(),
            occupancy: Occupancy::new(chunks),
            clear: ChunkSet::new(chunks),
            last_failed: None,
            found: Vec::new(),
        }
    }

    /// The managed space. Its size is a multiple of the chunk size.
    #[must_use]
    pub fn space(&self) -> Space {
        self.space
    }

    /// Whether the allocator has run into a BUG, has panicked or was torn down. From then on, no
    /// breach is found.
    #[must_use]
    pub fn is_unusable(&self) -> bool {
        self.unusable
    }

    /// Judges a fresh allocator.
    pub fn check_created(&mut self, accounts: Accounts) -> Vec<Breach> {
        self.check_accounts(self.accounts, accounts);
        core::mem::take(&mut self.found)
    }

    /// Judges an operation.
    #[inline]
    pub fn check(&mut self, operation: &Operation, seen: &Observation<'_>) -> Vec<Breach> {
        if self.unusable || seen.outcome == Outcome::Skipped {
            return Vec::new();
        }
        self.faulted = seen.report.faulted;
        let before = self.accounts;
        for &misuse in &seen.report.misuses {
            self.breach(misuse.promise(), Detail::Misuse(misuse));
        }
        if !self.check_end_of_use(seen.report) {
            self.check_operation(operation, seen);
        }
        let mut found = core::mem::take(&mut self.found);
        for breach in &mut found {
            breach.operation = Some(operation.clone());
            breach.outcome = seen.outcome.errno().map_or(Ok(()), Err);
            breach.before = before;
        }
        found
    }

    fn check_operation(&mut self, operation: &Operation, seen: &Observation<'_>) {
        let Observation { outcome, blocks, accounts, report, before } = *seen;
        let last_failed = self.last_failed.take();
        match *operation {
            Operation::Alloc { id, ref request } => {
                self.check_repeats(request, outcome, last_failed);
                match outcome.errno() {
                    None => {
                        self.check_new_blocks(request, blocks, accounts);
                        self.allocations.insert(id, blocks);
                        if let Some(before) = before {
                            self.check_choice(request, blocks, before);
                        }
                    }
                    Some(errno) => {
                        self.check_error(request, errno);
                        self.check_nothing_changed(errno, accounts);
                    }
                }
            }
            Operation::AllocOnto { id, ref request } => {
                let old = self.allocations.remove(id);
                self.check_alloc_onto(&old, request, seen, last_failed);
                self.allocations.recycle(old);
                self.allocations.insert(id, blocks);
            }
            Operation::Free { id, cleared } => {
                let blocks = self.allocations.remove(id);
                let bytes = blocks.iter().map(|block| self.take_back(block, cleared)).sum();
                self.allocations.recycle(blocks);
                self.check_freed(bytes, cleared, accounts);
            }
            Operation::FreeBlock { id, index, cleared } => {
                let block = self.allocations.remove_block(id, index);
                let bytes = block.map_or(0, |block| self.take_back(&block, cleared));
                self.check_freed(bytes, cleared, accounts);
            }
            Operation::Trim { id, start, new_size } => {
                let old = self.allocations.remove(id);
                match outcome.errno() {
                    None => self.check_trim(&old, start, new_size, blocks, accounts),
                    Some(errno) => {
                        self.check_trim_error(&old, start, new_size, errno, blocks);
                        self.check_nothing_changed(errno, accounts);
                    }
                }
                self.allocations.recycle(old);
                self.allocations.insert(id, blocks);
            }
            Operation::ResetClear { clear } => self.check_reset_clear(clear, accounts),
            Operation::BlockAt { offset } => self.check_lookup(offset, outcome, accounts),
            // Changes nothing but later operations.
            Operation::FailNth { .. } => self.last_failed = last_failed,
            Operation::Fini => self.check_teardown(report),
        }
        if *operation != Operation::Fini {
            self.check_warnings(report);
        }
    }

    /// Judges a BUG or a panic. Returns whether the allocator is unusable.
    fn check_end_of_use(&mut self, report: &Report) -> bool {
        if let Some(bug) = report.bug {
            self.breach(Promise::NoBug, Detail::Bug(bug));
        } else if let Some(panic) = &report.panic {
            self.breach(Promise::NoPanic, Detail::Panic(panic.clone()));
        }
        self.unusable |= report.bug.is_some() || report.panic.is_some();
        self.unusable
    }

    /// Judges the blocks that an allocation added.
    fn check_new_blocks(&mut self, request: &AllocRequest, blocks: &[Block], accounts: Accounts) {
        if let Some(what) = room::invalid(request, self.space) {
            self.breach(Promise::RefusesInvalid, Detail::Invalid(what));
        }
        self.check_placement(request, blocks);
        let (mut bytes, mut clear_bytes) = (0u64, 0u64);
        for block in blocks {
            self.hand_out(block);
            let size = self.size_of(block);
            bytes = bytes.wrapping_add(size);
            clear_bytes = clear_bytes.wrapping_add(if block.clear { size } else { 0 });
        }
        // To find room, clear memory may have been merged with dirty memory, which makes it dirty.
        // So `clear_avail` may drop by more.
        let most_clear = self.accounts.clear_avail.saturating_sub(clear_bytes);
        let expected = Accounts {
            avail: self.accounts.avail.wrapping_sub(bytes),
            clear_avail: accounts.clear_avail.min(most_clear),
        };
        self.check_accounts(expected, accounts);
    }

    /// Adds a breach, at most one of each promise in an operation.
    fn breach(&mut self, promise: Promise, detail: Detail) {
        if self.found.iter().all(|breach| breach.promise != promise) {
            self.found.push(Breach {
                promise,
                space: self.space,
                operation: None,
                before: self.accounts,
                outcome: Ok(()),
                faulted: self.faulted,
                detail,
            });
        }
    }

    fn size_of(&self, block: &Block) -> u64 {
        block.size(self.space.chunk_size)
    }

    /// The chunks of a block.
    fn chunks_of(&self, block: &Block) -> core::ops::Range<u64> {
        let shift = self.space.chunk_size.trailing_zeros();
        let start = block.offset >> shift;
        start..start.saturating_add(1u64.checked_shl(block.order).unwrap_or(0))
    }
}
