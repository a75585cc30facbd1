//! Many threads on one allocator.
//!
//! The allocator counts the calls under its lock, so that the order in which the
//! threads got it is known afterwards. In that order the same calls are made once
//! more, by one thread on a fresh allocator: they have to have the same outcomes,
//! and to leave the same tree behind. So whatever the threads did to each other,
//! it was no more than taking turns.

use std::sync::Barrier;
use std::thread;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::generate::{self, Generator};
use super::lockstep::{Divergence, first_difference, list};
use super::subject::{Driver, take_last_call};
use super::torture::{Failure, Options, Report};
use super::{
    Aspect, Block, Capability, Finding, Id, Implementation, KernelC, Lockstep, NotCreated,
    Operation, Outcome, Settings, Space, Trace,
};
use crate::{Errno, Snapshot};

/// Each thread does at most so many operations on one allocator.
const MOST_OPERATIONS: u64 = 4096;

/// What one thread did, and what came of it.
#[derive(Clone, Debug)]
struct Entry {
    /// The number of the call, and whether the operation came after that call
    /// without one of its own: some arguments do not reach the C.
    call: (u64, bool),
    operation: Operation,
    outcome: Outcome,
    blocks: Vec<Block>,
}

/// Runs threads on one allocator after the other, which `create` makes, and holds what
/// they saw against the same calls one after the other. `start` makes what does those:
/// another such allocator, in lockstep with `R` or only under the contract. `watch` is called after each allocator, and ends the run by
/// returning false.
///
/// Which thread gets the lock when is not decided by the seed. So a failure comes
/// with the calls in their order, all of them.
pub fn run<R: Implementation>(
    options: &Options,
    threads: u32,
    create: impl Fn(Space) -> Result<KernelC, Errno>,
    start: impl Fn(Space, Settings) -> Result<Lockstep<KernelC, R>, NotCreated>,
    mut watch: impl FnMut(&Report) -> bool,
) -> (Report, Option<Box<Failure>>) {
    let mut report = Report::default();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(options.seed);
    while report.operations < options.operations && watch(&report) {
        let space = options.space.unwrap_or_else(|| generate::space(&mut random));
        let left = (options.operations - report.operations).div_ceil(u64::from(threads));
        let operations = generate::log_uniform(&mut random, MOST_OPERATIONS).min(left);
        let Ok(buddy) = create(space) else { continue };
        let seeds: Vec<u64> = (0..threads).map(|_| random.random()).collect();
        let (mut log, sides) = contend(&buddy, space, &seeds, operations);
        log.sort_by_key(|entry| entry.call);

        let Ok(serial) = start(space, options.settings) else { continue };
        report.allocators += 1;
        let finding = replay(serial, &log, buddy.snapshot(), &mut report);
        sides.into_iter().for_each(|mut side| side.free_all(|_, _| {}));
        if let Some((finding, count)) = finding.or_else(|| left_behind(&buddy, log.len())) {
            let operations = log.into_iter().take(count).map(|entry| entry.operation).collect();
            let trace = Trace { space, operations };
            let failure = Failure { finding, trace, operations: count as u64, cut_short: false };
            return (report, Some(Box::new(failure)));
        }
    }
    (report, None)
}

/// Lets a thread for each seed loose on an allocator. Returns what they did, and
/// what they hold.
fn contend(
    buddy: &KernelC,
    space: Space,
    seeds: &[u64],
    operations: u64,
) -> (Vec<Entry>, Vec<Driver<KernelC>>) {
    let barrier = Barrier::new(seeds.len());
    let work = |thread: usize, seed: u64| {
        let mut side = Driver::of(buddy.share());
        // Memory that fails would fail for whoever comes next, and a teardown end them all.
        let capabilities =
            side.implementation.capabilities() & !(Capability::FailNth | Capability::Fini);
        let mut generator = Generator::new(seed, space, capabilities, 0.0);
        let mut log = Vec::new();
        let mut last = 0;
        barrier.wait();
        for _ in 0..operations {
            let operation = generator.next();
            let outcome = side.apply(&operation);
            let call = take_last_call();
            last = call.unwrap_or(last);
            generator.observe(&operation, outcome, &side.blocks, buddy.avail());
            if outcome != Outcome::Skipped {
                let name = |id: Id| id * seeds.len() as Id + thread as Id;
                log.push(Entry {
                    call: (last, call.is_none()),
                    operation: operation.renamed(name),
                    outcome,
                    blocks: side.blocks.clone(),
                });
            }
        }
        (log, side)
    };
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..)
            .zip(seeds)
            .map(|(thread, &seed)| scope.spawn(move || work(thread, seed)))
            .collect();
        let (mut log, mut sides) = (Vec::new(), Vec::new());
        for thread in threads {
            let (entries, side) = thread.join().expect("a worker does not panic");
            log.extend(entries);
            sides.push(side);
        }
        (log, sides)
    })
}

/// Does what the threads did once more. Returns the first difference, and how many
/// calls there were until then.
fn replay<R: Implementation>(
    mut serial: Lockstep<KernelC, R>,
    log: &[Entry],
    left: Option<Snapshot>,
    report: &mut Report,
) -> Option<(Finding, usize)> {
    for (count, entry) in (1..).zip(log) {
        let step = serial.step(&entry.operation);
        let (outcome, blocks) = (step.outcome, serial.blocks());
        report.operations += 1;
        report.tally.count(&entry.operation, outcome, blocks.len(), false);
        if let Some(finding) = report.take_in(step) {
            return Some((finding, count));
        }
        let difference = if outcome != entry.outcome {
            Some((Aspect::Outcome, entry.outcome.to_string(), outcome.to_string()))
        } else if blocks != entry.blocks {
            Some((Aspect::Blocks, list(&entry.blocks), list(blocks)))
        } else {
            None
        };
        if let Some((aspect, among_threads, alone)) = difference {
            return Some((differs(aspect, &among_threads, &alone), count));
        }
    }
    let alone = serial.subject().snapshot();
    if let (Some(left), Some(alone)) = (left, alone)
        && left != alone
    {
        let (left, alone) = first_difference(&left, &alone);
        return Some((differs(Aspect::Snapshot, &left, &alone), log.len()));
    }
    let finding = serial.finish().findings.into_iter().next()?;
    Some((finding, log.len()))
}

/// What is wrong with an allocator that everything has been given back to.
fn left_behind(buddy: &KernelC, count: usize) -> Option<(Finding, usize)> {
    let Space { size, chunk_size, .. } = buddy.space();
    let (size, avail) = (size - size % chunk_size, buddy.avail());
    if avail != size {
        let finding = differs(Aspect::Avail, &avail.to_string(), &size.to_string());
        return Some((finding, count));
    }
    let wrong = buddy.scan();
    let wrong = wrong.first()?;
    Some((differs(Aspect::Snapshot, &wrong.to_string(), "no inconsistency"), count))
}

fn differs(aspect: Aspect, among_threads: &str, alone: &str) -> Finding {
    Finding::Divergence(Divergence {
        aspect,
        subject: format!("{among_threads} among threads"),
        reference: format!("{alone} one call after the other"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::reference::Reference;
    use crate::sizes::{SZ_1M, SZ_4K};

    const SPACE: Space = Space::new(SZ_1M as u64, SZ_4K as u64);

    fn verdict(log: &[Entry], left: Option<Snapshot>) -> Option<(Finding, usize)> {
        let serial = Lockstep::<KernelC, Reference>::alone(SPACE, Default::default()).unwrap();
        replay(serial, log, left, &mut Report::default())
    }

    #[test]
    fn an_order_that_was_not_is_seen() {
        let buddy = KernelC::create(SPACE).unwrap();
        let (mut log, sides) = contend(&buddy, SPACE, &[1, 2, 3, 4], 500);
        log.sort_by_key(|entry| entry.call);
        let left = buddy.snapshot();
        assert_eq!(verdict(&log, left.clone()).map(|(finding, _)| finding), None);

        // The calls in the order of the threads, as if each had been alone.
        let mut by_thread = log.clone();
        by_thread.sort_by_key(|entry| entry.operation.allocation().map_or(0, |id| id % 4));
        assert!(verdict(&by_thread, left.clone()).is_some());

        // A call that nobody owns up to.
        let is_alloc = |entry: &Entry| {
            matches!(entry.operation, Operation::Alloc { .. }) && entry.outcome == Outcome::Done
        };
        let lost = log.iter().rposition(is_alloc).unwrap();
        log.remove(lost);
        assert!(verdict(&log, left).is_some());
        sides.into_iter().for_each(|mut side| side.free_all(|_, _| {}));
        assert_eq!(left_behind(&buddy, 0), None);
    }
}
