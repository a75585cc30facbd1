//! Out of memory at every place: the first allocation of a call fails, then the second, and so
//! on until none does; once each, or with all that follow. The calls together reach every place
//! where the C allocates.

mod random;
mod scenarios;

use std::cell::RefCell;
use std::collections::HashMap;

use gpu_buddy::diff::{
    Block, Capability, Id, Implementation, Operation, SafeAllocation, SafeApi, Space, Trace,
};
use gpu_buddy::fault::Fault;
use gpu_buddy::{
    Alignment, AllocRequest, BlockInfo, Errno, Error, GpuBuddy, GpuBuddyParams, KERNEL, KernelBug,
    Snapshot, sizes::*,
};
use proptest::prelude::*;
use scenarios::{SCENARIOS, Scenario};

/// Whether the C goes on after a failed allocation, or is stopped.
fn recovers() -> bool {
    KERNEL.has("undo_splits")
}

/// An allocator in the middle of a trace.
struct Player {
    c: SafeApi,
    allocations: HashMap<Id, SafeAllocation>,
}

impl Player {
    fn new(space: Space) -> Self {
        Self { c: SafeApi::create(space).unwrap(), allocations: HashMap::new() }
    }

    fn buddy(&self) -> &GpuBuddy {
        self.c.buddy()
    }

    /// The blocks of the allocation afterwards.
    fn play(&mut self, operation: &Operation) -> Result<Vec<Block>, Errno> {
        let mut blocks = Vec::new();
        match operation {
            Operation::Alloc { id, request } => {
                let allocation = self.c.alloc(request)?;
                self.c.blocks(&allocation, &mut blocks);
                self.allocations.insert(*id, allocation);
            }
            Operation::Free { id, cleared } => {
                if let Some(allocation) = self.allocations.remove(id) {
                    self.c.free(allocation, *cleared);
                }
            }
            Operation::Trim { id, start, new_size } => {
                if let Some(allocation) = self.allocations.get_mut(id) {
                    self.c.trim(allocation, *start, *new_size)?;
                    self.c.blocks(allocation, &mut blocks);
                }
            }
            other => unimplemented!("{other}"),
        }
        Ok(blocks)
    }

    fn play_all(&mut self, operations: &[Operation]) {
        for operation in operations {
            self.play(operation).unwrap_or_else(|error| panic!("{operation}: {error}"));
        }
    }

    fn check(&self) {
        assert_eq!(self.buddy().check_integrity(), Ok(vec![]));
        assert_eq!(self.buddy().warnings(), []);
    }

    /// Frees everything; then the whole space can be allocated.
    fn finish(mut self) {
        self.check();
        self.allocations.clear();
        let size = self.buddy().size();
        let min_block_size = self.buddy().chunk_size().as_u64();
        let whole = AllocRequest { end: size, size, min_block_size, ..AllocRequest::default() };
        let all = self.c.alloc(&whole).expect("the whole space is free");
        assert_eq!((all.size(), self.c.avail()), (size, 0));
        drop(all);
        assert_eq!(self.c.avail(), size);
        self.check();
        let fini = self.c.into_buddy().fini().expect("the only handle");
        assert_eq!((fini.warnings, fini.bug, fini.leaked_objects), (vec![], None, 0));
    }
}

fn bytes(blocks: &[Block]) -> u64 {
    blocks.iter().map(|block| (SZ_4K as u64) << block.order).sum()
}

fn allocated(snapshot: &Snapshot) -> Vec<BlockInfo> {
    let is_allocated = |block: &&BlockInfo| block.state == gpu_buddy::BlockState::Allocated;
    snapshot.leaves().filter(is_allocated).copied().collect()
}

/// Plays `last` after `before`, with failing allocations, and checks what holds whatever the
/// outcome. Returns the outcome as a word, or `None` if no allocation failed.
fn fail(
    space: Space,
    before: &[Operation],
    last: &Operation,
    expected: &Result<Vec<Block>, Errno>,
    fault: Fault,
) -> Option<&'static str> {
    let mut player = Player::new(space);
    player.play_all(before);
    let buddy = player.buddy().clone();
    let was = buddy.snapshot().unwrap();
    let objects = buddy.live_objects();

    buddy.set_fault(Some(fault));
    let result = player.play(last);
    let fault = buddy.set_fault(None).unwrap();
    if fault.failed() == 0 {
        assert_eq!(&result, expected);
        return None;
    }
    if !recovers() {
        assert_eq!(result, Err(Errno::ENOTRECOVERABLE));
        let unusable = Err(Error::Bug(KernelBug::OUT_OF_MEMORY));
        assert_eq!(buddy.snapshot(), unusable);
        assert_eq!(buddy.reset_clear(false), Err(Error::Bug(KernelBug::OUT_OF_MEMORY)));
        return Some("unusable");
    }

    let now = buddy.snapshot().unwrap();
    let word = match &result {
        Err(errno) => {
            assert_eq!(allocated(&now), allocated(&was));
            assert_eq!(now.avail, was.avail);
            if now.clear_avail != was.clear_avail {
                assert!(now.clear_avail < was.clear_avail);
                assert!([Errno::ENOSPC, Errno::ENOMEM].contains(errno), "{errno}");
                "merged"
            } else {
                assert_eq!(now, was);
                assert_eq!(buddy.live_objects(), objects);
                assert_eq!(&player.play(last), expected, "with memory again");
                match *errno {
                    Errno::ENOMEM => "ENOMEM",
                    Errno::ENOSPC => "ENOSPC",
                    other => panic!("{other}"),
                }
            }
        }
        Ok(blocks) => {
            let expected = expected.as_ref().map_or(&[][..], Vec::as_slice);
            match bytes(blocks).cmp(&bytes(expected)) {
                _ if blocks == expected => "same",
                std::cmp::Ordering::Equal => "other",
                std::cmp::Ordering::Greater => "untrimmed",
                std::cmp::Ordering::Less => panic!("too little: {blocks:?}"),
            }
        }
    };
    drop(buddy);
    player.finish();
    Some(word)
}

/// `a a b` as `a*2 b`.
fn summary(words: &[&str]) -> String {
    let runs = words.chunk_by(|a, b| a == b).map(|run| match run {
        [word] => (*word).to_owned(),
        [word, ..] => format!("{word}*{}", run.len()),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(" ")
}

#[test]
fn calls_fail_at_each_allocation() {
    for &Scenario { name, trace, attempts, once, always } in SCENARIOS {
        let Trace { space, operations } =
            trace.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        let (last, before) = operations.split_last().unwrap();

        let mut player = Player::new(space);
        player.play_all(before);
        player.buddy().set_fault(Some(Fault::none()));
        let expected = player.play(last);
        let counted = player.buddy().set_fault(None).unwrap();
        player.finish();
        if expected.is_err() && !KERNEL.has("offset_align") {
            // There, a size below the alignment is rounded up to it.
            continue;
        }
        assert!(expected.is_ok(), "{name}: {expected:?}");
        assert_eq!(counted.failed(), 0);

        let sweep = |times| {
            (1..)
                .map_while(|nth| fail(space, before, last, &expected, Fault::nth(nth).times(times)))
                .collect::<Vec<_>>()
        };
        let (by_one, by_all) = (sweep(1), sweep(u64::MAX));
        assert_eq!(by_one.len() as u64, counted.attempts(), "{name}");
        assert_eq!(by_all.len() as u64, counted.attempts(), "{name}");
        if recovers() {
            assert_eq!(counted.attempts(), attempts, "{name}");
            assert_eq!((&*summary(&by_one), &*summary(&by_all)), (once, always), "{name}");
        } else {
            // Some series round up where others align, so counts may differ.
            assert_ne!(counted.attempts(), 0, "{name}");
        }
    }
}

thread_local! {
    /// What was logged as an error on this thread.
    static ERRORS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Errors;

impl log::Log for Errors {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() == log::Level::Error
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            ERRORS.with_borrow_mut(|errors| errors.push(record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

#[test]
fn init_fails_at_each_allocation() {
    let _ = log::set_logger(&Errors);
    log::set_max_level(log::LevelFilter::Error);
    for (size, roots) in [(SZ_64K, 1), (SZ_64K - SZ_4K, 4), (SZ_4K, 1), (SZ_1G + SZ_4K, 2)] {
        let params = GpuBuddyParams {
            base_offset: 0,
            size: size as u64,
            chunk_size: Alignment::new::<SZ_4K>(),
        };
        // The two kinds of trees, the array of both, the array of the roots.
        let attempts = 4 + roots + if KERNEL.has("scoreboard") { 2 } else { 0 };
        for times in [1, u64::MAX] {
            for nth in 1..=attempts {
                let mut fault = Fault::nth(nth).times(times);
                let error = GpuBuddy::with_fault(params, &mut fault).unwrap_err();
                assert_eq!(error, Error::NoMemory);
                assert_eq!((fault.attempts(), fault.failed()), (nth, 1));
            }
            let mut fault = Fault::nth(attempts + 1).times(times);
            let buddy = GpuBuddy::with_fault(params, &mut fault).unwrap();
            assert_eq!((fault.attempts(), fault.failed()), (attempts, 0));
            // The fault applied to the creation alone.
            assert_eq!(buddy.fault(), None);
            assert_eq!(buddy.live_objects() as u64, attempts);
            Player { c: SafeApi::new(buddy), allocations: HashMap::new() }.finish();
        }
    }
    assert_eq!(ERRORS.take(), [""; 0], "a leak was logged");
}

#[test]
fn refused_arguments_leave_the_fault_as_it_is() {
    let params = GpuBuddyParams { base_offset: 0, size: 0, chunk_size: Alignment::new::<SZ_4K>() };
    let mut fault = Fault::nth(1);
    assert_eq!(GpuBuddy::with_fault(params, &mut fault).unwrap_err().errno(), Errno::EINVAL);
    assert_eq!(fault, Fault::nth(1));
}

#[test]
fn giving_back_needs_no_memory() {
    let mut player = Player::new(Space::new(SZ_64K as u64, SZ_4K as u64));
    let trace = "space size=64K chunk=4K
                 a = alloc 28K
                 b = alloc 4K
                 c = alloc 4K";
    player.play_all(&trace.parse::<Trace>().unwrap().operations);
    assert!(player.c.capabilities().contains(Capability::FailNth));
    player.c.fail_nth(1, u64::MAX);
    let mut first = player.allocations.remove(&0).unwrap();
    player.c.free_block(&mut first, 1, true);
    player.c.free(first, false);
    player.play(&Operation::Free { id: 1, cleared: true }).unwrap();
    player.c.reset_clear(true);
    player.c.reset_clear(false);
    assert!(player.c.block_at(0).unwrap().is_none());
    player.allocations.clear();
    assert_eq!(player.buddy().fault().unwrap().attempts(), 0);
    player.c.fail_nth(1, 0);
    assert_eq!(player.buddy().fault(), None);
    player.finish();
}
