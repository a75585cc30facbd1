//! The contract: what the C is known to break it breaks, and nothing else; and
//! an allocator that lies is caught.

use crate::common;
use std::collections::BTreeSet;

use gpu_buddy::BlockState::{self, Allocated, Free, Split};
use gpu_buddy::diff::torture::{self, Options};
use gpu_buddy::diff::{
    Accounts, Block, Breach, Capabilities, Contract, Finding, Id, KNOWN, KernelC, Lockstep,
    Observation, Operation, Outcome, Promise, Report, Settings, Space, Trace, known,
};
use gpu_buddy::module::{Features, Module};
use gpu_buddy::{AllocRequest, BlockInfo, Errno, GpuBuddyAllocFlag, Inconsistency, Snapshot};

/// Runs a trace on the C and judges each operation in full depth. Returns all breaches,
/// also those that are known.
fn run(trace: &Trace) -> Vec<Breach> {
    let settings = Settings { full_check_interval: 1, strict: true, ..Settings::default() };
    let mut alone = Lockstep::<KernelC, KernelC>::alone(trace.space, settings).unwrap();
    let steps = trace.operations.iter().map(|operation| alone.step(operation));
    let mut findings: Vec<_> = steps.flat_map(|step| step.findings).collect();
    findings.extend(alone.finish().findings);
    let breach = |finding| match finding {
        Finding::Breach(breach) => breach,
        other => panic!("{other}"),
    };
    findings.into_iter().map(breach).collect()
}

/// Those of the kernel that is compiled in.
fn features() -> Features {
    Module::compiled_in().features()
}

#[test]
fn known_breaches_show_in_their_traces() {
    let mut wrong = String::new();
    for entry in KNOWN {
        let text = common::finding_trace(entry.name);
        let trace: Trace = text.parse().unwrap();
        let broken = run(&trace);
        let shows = broken.iter().any(|broken| {
            broken.promise == entry.promises[0]
                && known(broken, features()).is_some_and(|known| known.name == entry.name)
        });
        let listed = entry.kernels.include(features());
        // Besides, nothing is broken that is not known.
        if shows != listed || broken.iter().any(|broken| known(broken, features()).is_none()) {
            wrong += &format!("{}: listed: {listed}, shows: {shows}\n", entry.name);
            wrong.extend(broken.iter().map(|broken| format!("    {broken}\n")));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Long requests of chunks that are counted in 32 bits are pieced together, which
/// takes no heed of the top.
#[test]
fn a_large_request_that_is_pieced_together_is_known() {
    let trace: Trace = "\
        space size=1120533313674600K chunk=4K\n\
        reset clear\n\
        a = alloc 1601108936676K contiguous\n\
        b = alloc 128K range=1052772203776M..1078038737726520K trim-disable\n\
        c = alloc 96553471200K contiguous clear topdown\n"
        .parse()
        .unwrap();
    let broken = run(&trace);
    assert!(broken.iter().any(|broken| broken.promise == Promise::TopDown), "{broken:?}");
    for broken in broken {
        assert!(known(&broken, features()).is_some(), "{broken}");
    }
}

fn nothing_unknown(seeds: core::ops::Range<u64>, faults: f64) {
    for seed in seeds {
        let settings = Settings { full_check_interval: 4, ..Settings::default() };
        let options = Options { seed, operations: 4_000, faults, settings, ..Options::default() };
        let (_, failure) = torture::run_alone::<KernelC>(&options, |_| true);
        assert!(failure.is_none(), "seed {seed}: {}", failure.unwrap());
    }
}

#[test]
fn the_c_breaks_nothing_else() {
    nothing_unknown(0..20, 0.0);
}

/// Earlier series do not survive it, which is known.
#[test]
fn the_c_breaks_nothing_else_out_of_memory() {
    nothing_unknown(100..120, 0.05);
}

/// A contract that is told of an allocator of 16 chunks, which need not exist.
struct Told {
    contract: Contract,
    accounts: Accounts,
    report: Report,
    broken: Vec<Breach>,
}

const CHUNK: u64 = 4096;

fn block(chunk: u64, order: u32, clear: bool) -> Block {
    Block { offset: chunk * CHUNK, order, clear }
}

fn request(chunks: u64) -> AllocRequest {
    AllocRequest {
        end: 16 * CHUNK,
        size: chunks * CHUNK,
        min_block_size: CHUNK,
        ..AllocRequest::default()
    }
}

fn aligned(chunks: u64, align: u64) -> AllocRequest {
    AllocRequest { min_block_size: align * CHUNK, ..request(chunks) }
}

fn within(chunks: u64, start: u64, end: u64) -> AllocRequest {
    AllocRequest { start: start * CHUNK, end: end * CHUNK, range: true, ..request(chunks) }
}

fn contiguous(chunks: u64) -> AllocRequest {
    AllocRequest { flags: GpuBuddyAllocFlag::Contiguous.into(), ..request(chunks) }
}

impl Told {
    fn new() -> Self {
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

    /// The accounts change by so many chunks, and clear chunks.
    fn change(mut self, chunks: i64, clear_chunks: i64) -> Self {
        let Accounts { avail, clear_avail } = &mut self.accounts;
        *avail = avail.wrapping_add_signed(chunks * CHUNK as i64);
        *clear_avail = clear_avail.wrapping_add_signed(clear_chunks * CHUNK as i64);
        self
    }

    fn ok(self, id: Id, request: AllocRequest, blocks: &[Block]) -> Self {
        let total: i64 = blocks.iter().map(|block| 1 << block.order).sum();
        let clear = blocks.iter().filter(|block| block.clear).map(|block| 1 << block.order);
        let clear: i64 = clear.sum();
        self.change(-total, -clear).check(&Operation::Alloc { id, request }, Ok(()), blocks)
    }

    fn fails(self, request: AllocRequest, errno: Errno) -> Self {
        self.check(&Operation::Alloc { id: 99, request }, Err(errno), &[])
    }

    /// Frees so many chunks.
    fn free(self, id: Id, cleared: bool, chunks: i64) -> Self {
        let told = self.change(chunks, if cleared { chunks } else { 0 });
        told.check(&Operation::Free { id, cleared }, Ok(()), &[])
    }

    /// Leaves `blocks` of an allocation of 4 chunks at 0.
    fn trim(self, new_size: u64, outcome: Result<(), Errno>, blocks: &[Block]) -> Self {
        let left: i64 = blocks.iter().map(|block| 1 << block.order).sum();
        let told = self.ok(0, request(4), &[block(0, 2, false)]).change(4 - left, 0);
        let trim = Operation::Trim { id: 0, start: None, new_size: new_size * CHUNK };
        told.check(&trim, outcome, blocks)
    }

    fn lookup(mut self, chunk: u64, outcome: Result<Option<Block>, Errno>) -> Self {
        let outcome = outcome.map_or_else(Outcome::Failed, Outcome::Found);
        let operation = Operation::BlockAt { offset: chunk * CHUNK };
        let seen = Observation::new(outcome, self.accounts);
        self.broken.extend(self.contract.check(&operation, &seen));
        self
    }

    fn reset(self, clear: bool) -> Self {
        self.check(&Operation::ResetClear { clear }, Ok(()), &[])
    }

    fn faulted(mut self) -> Self {
        self.report.faulted = true;
        self
    }

    fn snapshot(mut self, blocks: &[(u64, u32, BlockState, bool)]) -> Self {
        let snapshot = snapshot(self.accounts, blocks);
        self.broken.extend(self.contract.check_tree(Some(&snapshot), &[]));
        self
    }

    /// Judges the choice of a block of one chunk for what asked for one.
    fn chose(self, asked: &AllocRequest, chunk: u64) -> Self {
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

    fn finish(mut self) -> Self {
        self.broken.extend(self.contract.check_all_free(self.accounts));
        self
    }

    #[track_caller]
    fn breaks(self, expected: &[Promise]) {
        let promises: Vec<_> = self.broken.iter().map(|broken| broken.promise).collect();
        assert_eq!(promises, expected, "{:?}", self.broken);
    }
}

fn snapshot(accounts: Accounts, blocks: &[(u64, u32, BlockState, bool)]) -> Snapshot {
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

#[test]
fn what_is_right_breaks_nothing() {
    Told::new()
        .ok(0, request(4), &[block(0, 2, false)])
        .lookup(3, Ok(Some(block(0, 2, false))))
        .lookup(4, Ok(None))
        .lookup(16, Err(Errno::ENXIO))
        .ok(1, aligned(3, 2), &[block(8, 1, false), block(10, 0, false)])
        .free(1, true, 3)
        .snapshot(&[
            (0, 4, Split, false),
            (0, 3, Split, false),
            (0, 2, Allocated, false),
            (4, 2, Free, false),
            (8, 3, Split, false),
            (8, 2, Split, false),
            (8, 1, Free, true),
            (10, 1, Split, false),
            (10, 0, Free, true),
            (11, 0, Free, false),
            (12, 2, Free, false),
        ])
        .ok(2, request(1), &[block(10, 0, true)])
        .fails(request(13), Errno::ENOSPC)
        .fails(request(13), Errno::ENOSPC)
        .fails(contiguous(9), Errno::ENOSPC)
        .fails(request(17), Errno::EINVAL)
        .fails(within(5, 4, 8), Errno::EINVAL)
        .fails(aligned(3, 32), Errno::EINVAL)
        .free(2, false, 1)
        .free(0, false, 4)
        .change(0, 14)
        .reset(true)
        .change(0, -16)
        .reset(false)
        .finish()
        .breaks(&[]);
    Told::new().trim(3, Ok(()), &[block(0, 1, false), block(2, 0, false)]).breaks(&[]);
    Told::new().trim(5, Err(Errno::EINVAL), &[block(0, 2, false)]).breaks(&[]);
    // After a BUG nothing is promised any more.
    Told::new()
        .fails(request(1), Errno::ENOTRECOVERABLE)
        .ok(0, request(3), &[block(3, 4, true)])
        .change(5, 5)
        .finish()
        .breaks(&[Promise::NoBug]);
    Told::new().faulted().fails(request(1), Errno::ENOMEM).breaks(&[]);
    // Out of memory, what is too much cannot always be given back.
    Told::new().faulted().ok(0, contiguous(3), &[block(0, 2, false)]).breaks(&[]);
}

#[test]
fn what_is_wrong_is_caught() {
    let split = |request: AllocRequest, blocks: &[Block]| Told::new().ok(0, request, blocks);
    let fails = |request, errno| Told::new().fails(request, errno);
    let one = request(1);

    fails(one.clone(), Errno::ENOTRECOVERABLE).breaks(&[Promise::NoBug]);
    fails(one.clone(), Errno::EOPNOTSUPP).breaks(&[Promise::KnownError]);
    fails(one.clone(), Errno::ENOMEM).breaks(&[Promise::KnownError]);
    fails(one.clone(), Errno::EINVAL).breaks(&[Promise::ValidArguments]);
    for request in [
        request(16),
        aligned(9, 8),
        aligned(1, 16),
        within(4, 5, 11),
        within(16, 0, 16),
        contiguous(9),
        AllocRequest { start: CHUNK / 2, end: 99 * CHUNK, ..request(3) },
    ] {
        fails(request, Errno::ENOSPC).breaks(&[Promise::Room]);
    }
    Told::new().faulted().fails(one.clone(), Errno::ENOSPC).breaks(&[Promise::Room]);
    fails(request(17), Errno::EINVAL)
        .fails(request(17), Errno::ENOSPC)
        .breaks(&[Promise::Repeatable]);
    Told::new()
        .change(-1, 0)
        .fails(request(17), Errno::EINVAL)
        .breaks(&[Promise::FailureChangesNothing]);

    // 16 chunks has no more than order 4.
    split(request(16), &[block(8, 4, false)]).breaks(&[Promise::BlockShape, Promise::InSpace]);
    split(request(1), &[block(16, 0, false)]).breaks(&[Promise::InSpace]);
    split(request(2), &[block(3, 1, false)]).breaks(&[Promise::BlockShape]);
    split(request(1), &[block(3, 0, false)])
        .ok(1, request(2), &[block(2, 1, false)])
        .breaks(&[Promise::NoOverlap]);
    split(request(2), &[block(3, 0, false), block(3, 0, false)]).breaks(&[Promise::NoOverlap]);
    split(within(2, 4, 9), &[block(8, 1, false)]).breaks(&[Promise::InRange]);
    split(within(1, 4, 9), &[block(3, 0, false)]).breaks(&[Promise::InRange]);
    split(aligned(1, 4), &[block(2, 0, false)]).breaks(&[Promise::Aligned]);
    split(aligned(4, 4), &[block(2, 1, false), block(4, 1, false)]).breaks(&[Promise::Aligned]);
    let apart = [block(0, 0, false), block(4, 1, false), block(8, 0, false)];
    split(aligned(4, 4), &apart).breaks(&[Promise::MinBlockSize]);
    split(request(3), &[block(0, 2, false)]).breaks(&[Promise::AddsUp]);
    split(request(3), &[block(0, 1, false)]).breaks(&[Promise::AddsUp]);
    split(contiguous(2), &[block(0, 0, false), block(2, 0, false)]).breaks(&[Promise::Contiguous]);

    Told::new().change(1, 0).ok(0, one.clone(), &[block(0, 0, false)]).breaks(&[Promise::Avail]);
    split(one.clone(), &[block(0, 0, false)])
        .change(1, 0)
        .free(0, false, 1)
        .breaks(&[Promise::Avail]);
    split(one.clone(), &[block(0, 0, false)])
        .change(0, 1)
        .free(0, false, 1)
        .breaks(&[Promise::ClearAvail]);
    split(one.clone(), &[block(0, 0, false)])
        .change(0, -1)
        .free(0, true, 1)
        .breaks(&[Promise::ClearAvail]);
    // More is handed out as clear than there is.
    split(one.clone(), &[block(0, 0, true)]).breaks(&[Promise::ClearIsClear, Promise::ClearAvail]);
    split(request(2), &[block(0, 1, false)])
        .free(0, true, 2)
        .ok(1, one.clone(), &[block(1, 0, true)])
        .free(1, false, 1)
        .ok(2, one.clone(), &[block(1, 0, true)])
        .breaks(&[Promise::ClearIsClear]);
    Told::new().change(0, 15).reset(true).breaks(&[Promise::ResetClear]);

    let clear = AllocRequest { flags: GpuBuddyAllocFlag::Clear.into(), ..request(1) };
    Told::new().chose(&clear, 8).breaks(&[Promise::PrefersClear]);
    Told::new().chose(&clear, 0).breaks(&[]);
    let top_down = AllocRequest { top_down: true, ..request(1) };
    Told::new().chose(&top_down, 14).breaks(&[Promise::TopDown]);
    Told::new().chose(&top_down, 15).breaks(&[]);
    let below = AllocRequest { top_down: true, ..within(1, 0, 14) };
    Told::new().chose(&below, 13).breaks(&[]);

    let three = [block(0, 1, false), block(2, 0, false)];
    Told::new().trim(2, Ok(()), &three).breaks(&[Promise::Trimmed]);
    Told::new().trim(3, Ok(()), &[three[1], three[0]]).breaks(&[Promise::Trimmed]);
    Told::new().trim(3, Err(Errno::ENOSPC), &[block(0, 2, false)]).breaks(&[Promise::Room]);
    Told::new()
        .trim(3, Err(Errno::EINVAL), &[block(0, 2, false)])
        .breaks(&[Promise::ValidArguments]);
    Told::new()
        .faulted()
        .trim(3, Err(Errno::ENOMEM), &three)
        .breaks(&[Promise::FailureChangesNothing]);

    split(one.clone(), &[block(3, 0, false)]).lookup(3, Ok(None)).breaks(&[Promise::BlockAt]);
    Told::new().lookup(3, Ok(Some(block(3, 0, false)))).breaks(&[Promise::BlockAt]);
    Told::new().lookup(16, Ok(None)).breaks(&[Promise::BlockAt]);

    Told::new().snapshot(&[(0, 3, Free, false)]).breaks(&[Promise::Snapshot, Promise::Avail]);
    Told::new().snapshot(&[(8, 3, Free, false)]).breaks(&[Promise::Snapshot]);
    Told::new().snapshot(&[(0, 4, Allocated, false)]).breaks(&[Promise::Snapshot, Promise::Avail]);
    split(request(16), &[block(0, 4, false)])
        .snapshot(&[(0, 4, Free, false)])
        .breaks(&[Promise::Snapshot, Promise::Avail]);
    Told::new().change(0, 16).snapshot(&[(0, 4, Free, true)]).breaks(&[Promise::ClearIsClear]);
    Told::new().change(0, 4).snapshot(&[(0, 4, Free, false)]).breaks(&[Promise::ClearAvail]);
    Told::new()
        .snapshot(&[(0, 4, Split, false), (0, 3, Free, false), (8, 3, Free, false)])
        .breaks(&[Promise::Merged]);
    Told::new().change(-1, 0).finish().breaks(&[Promise::NothingLeaked]);

    let mut told = Told::new();
    let found = Inconsistency::Avail { is: 1, expected: 2 };
    told.broken = told.contract.check_tree(None, &[found]);
    told.breaks(&[Promise::Consistent]);
}

#[test]
fn promises_have_names_and_sentences() {
    let names: BTreeSet<_> = Promise::ALL.iter().map(|promise| promise.name()).collect();
    assert_eq!(names.len(), Promise::ALL.len());
    assert!(Promise::ALL.iter().all(|promise| promise.explanation().ends_with('.')));
}
