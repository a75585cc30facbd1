//! Tests several threads on one allocator.
//!
//! The allocator counts the calls under its lock, so their order is known afterwards. One thread
//! then makes the same calls in that order on a fresh allocator. They must have the same outcomes,
//! and leave the same tree. So the threads only took turns, and did not disturb each other.

use core::num::NonZeroU32;
use std::sync::Barrier;
use std::thread;

use super::generate::{self, Choices, Seeded, Source};
use super::lockstep::{first_difference, list};
use super::subject::{Calls, Driver, Instance};
use super::torture::{Failure, Options, Report};
use super::{
    Aspect, Block, Breach, Capability, Finding, FirstFinding, Id, Load, Lockstep, NotCreated,
    Operation, Outcome, Settings, Shareable, Space, Trace,
};
use crate::{Errno, Snapshot};

/// The most operations of a thread on one allocator.
const MOST_OPERATIONS: u64 = 4096;

/// An operation of a thread, and its outcome.
#[derive(Clone, Debug)]
struct Entry {
    /// The sequence number of the call, and whether the operation came after that call without one
    /// of its own: some invalid arguments do not reach the C.
    call: (u64, bool),
    operation: Operation,
    outcome: Outcome,
    blocks: Vec<Block>,
}

/// Runs threads on allocators that `create` makes, one allocator after the other, and compares
/// their results with the same calls in sequence. `start` makes the allocator for the sequence: of
/// the same kind, in lockstep with another or only under the contract. `watch` is called after each
/// allocator, and ends the run by returning false.
///
/// The seed does not decide which thread gets the lock when. So a failure comes with all calls in
/// their order, and is not shrunk.
pub fn run<S: Shareable>(
    options: &Options,
    threads: NonZeroU32,
    create: impl Fn(Space) -> Result<S, Errno>,
    start: impl Fn(Space, Settings) -> Result<Lockstep, NotCreated>,
    mut watch: impl FnMut(&Report) -> bool,
) -> (Report, Option<Box<Failure>>) {
    let mut report = Report::default();
    let mut choices = Seeded::new(options.seed);
    while report.operations < options.operations && !report.has_no_space() && watch(&report) {
        let space =
            options.space.unwrap_or_else(|| generate::space_for(options.load, &mut choices));
        let left = (options.operations - report.operations).div_ceil(threads.get().into());
        let operations = choices.log_uniform(MOST_OPERATIONS).min(left);
        // The one in sequence first: it also judges the creation.
        let made = start(space, options.settings).and_then(|serial| match create(space) {
            Ok(allocator) => Ok((allocator, serial)),
            Err(errno) => Err(NotCreated::Refused(errno)),
        });
        let (allocator, serial) = match made {
            Ok(made) => made,
            Err(NotCreated::Finding(finding)) => {
                let trace = Trace { space, operations: Vec::new() };
                let (finding, also) = (*finding, Vec::new());
                let found = FirstFinding { finding, operations: 0, at_end: false, also };
                return (report, Some(Box::new(Failure::new(found, trace, 0, false))));
            }
            Err(NotCreated::Declined) => {
                report.declined += 1;
                continue;
            }
            Err(NotCreated::Refused(_)) => {
                report.refused += 1;
                continue;
            }
        };
        let seeds: Vec<u64> = (0..threads.get()).map(|_| choices.number()).collect();
        let mut driver = Driver::of(allocator);
        let (mut log, drivers) =
            contend(&driver.calls().implementation, (space, options.load), &seeds, operations);
        log.sort_by_key(|entry| entry.call);

        report.allocators += 1;
        let left = driver.ask(|allocator| allocator.snapshot()).flatten();
        let finding = end_of(&drivers, space)
            .map(|finding| (finding, log.len()))
            .or_else(|| replay(serial, &log, left, &mut report));
        drivers.into_iter().for_each(free_all);
        if let Some((finding, count)) = finding.or_else(|| left_behind(&mut driver, space, &log)) {
            let operations = log.into_iter().take(count).map(|entry| entry.operation).collect();
            let trace = Trace { space, operations };
            let also = Vec::new();
            let found = FirstFinding { finding, operations: count, at_end: false, also };
            return (report, Some(Box::new(Failure::new(found, trace, count as u64, false))));
        }
    }
    (report, None)
}

/// Runs one thread for each seed on an allocator. Returns what they did, and their allocations.
fn contend<S: Shareable>(
    allocator: &S,
    (space, load): (Space, Option<Load>),
    seeds: &[u64],
    operations: u64,
) -> (Vec<Entry>, Vec<Driver<Instance<S>>>) {
    let barrier = Barrier::new(seeds.len());
    let work = |thread: usize, seed: u64, mut driver: Driver<Instance<S>>| {
        // A memory failure would hit any thread, and a teardown would end all.
        let capabilities =
            driver.calls().capabilities() & !(Capability::FailNth | Capability::Fini);
        let mut generator = Source::new(load, seed, space, capabilities, 0.0, None);
        let mut log = Vec::new();
        let mut last = 0;
        barrier.wait();
        for _ in 0..operations {
            let operation = generator.next(None);
            let outcome = driver.apply(&operation);
            if outcome == Outcome::Panicked || !driver.report.misuses.is_empty() {
                break;
            }
            let call = driver.calls_mut().implementation.take_last_call();
            last = call.unwrap_or(last);
            generator.observe(&operation, outcome, &driver.blocks, driver.accounts.avail);
            if outcome != Outcome::Skipped {
                let name = |id: Id| id * seeds.len() as Id + thread as Id;
                log.push(Entry {
                    call: (last, call.is_none()),
                    operation: operation.renamed(name),
                    outcome,
                    blocks: driver.blocks.clone(),
                });
            }
        }
        (log, driver)
    };
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..)
            .zip(seeds)
            .map(|(thread, &seed)| {
                let handle = allocator.share();
                scope.spawn(move || work(thread, seed, Driver::of(handle)))
            })
            .collect();
        let (mut log, mut drivers) = (Vec::new(), Vec::new());
        for thread in threads {
            let (entries, driver) = thread.join().expect("a worker does not panic");
            log.extend(entries);
            drivers.push(driver);
        }
        (log, drivers)
    })
}

/// A panic in one of the threads, or a wrapper's misuse there.
fn end_of<S: Shareable>(drivers: &[Driver<Instance<S>>], space: Space) -> Option<Finding> {
    let breach = drivers.iter().find_map(|driver| {
        let misuse = driver.report.misuses.first();
        let panic = || Some(Breach::of_panic(driver.report.panic.clone()?, space));
        misuse.map(|&misuse| Breach::of_misuse(misuse, space)).or_else(panic)
    })?;
    Some(Finding::Breach(breach))
}

fn free_all<S: Shareable>(mut driver: Driver<Instance<S>>) {
    for id in driver.calls().allocated() {
        driver.apply(&Operation::Free { id, cleared: false });
    }
}

/// Repeats the calls of the threads in sequence. Returns the first difference, and how many calls
/// it took.
fn replay(
    mut serial: Lockstep,
    log: &[Entry],
    left: Option<Snapshot>,
    report: &mut Report,
) -> Option<(Finding, usize)> {
    for (count, entry) in (1..).zip(log) {
        let step = serial.step(&entry.operation);
        let (outcome, blocks) = (step.outcome, serial.blocks());
        report.operations += 1;
        report.tally.count(&entry.operation, outcome, blocks.len(), false);
        if let Some(finding) = report.record(step).into_iter().next() {
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
    let alone = serial.snapshot();
    if let (Some(left), Some(alone)) = (left, alone)
        && left != alone
    {
        let (left, alone) = first_difference(&left, &alone);
        return Some((differs(Aspect::Snapshot, &left, &alone), log.len()));
    }
    let finding = serial.finish().findings.into_iter().next()?;
    Some((finding, log.len()))
}

/// Checks an allocator after everything was freed.
fn left_behind<S: Shareable>(
    driver: &mut Driver<Instance<S>>,
    space: Space,
    log: &[Entry],
) -> Option<(Finding, usize)> {
    let size = space.size - space.size % space.chunk_size;
    let (avail, wrong) = driver.ask(|allocator| (allocator.accounts().avail, allocator.scan()))?;
    if avail != size {
        return Some((differs(Aspect::Avail, &avail.to_string(), &size.to_string()), log.len()));
    }
    let wrong = wrong.first()?.to_string();
    Some((differs(Aspect::Snapshot, &wrong, "no inconsistency"), log.len()))
}

fn differs(aspect: Aspect, among_threads: &str, alone: &str) -> Finding {
    let (subject, reference) =
        (format!("{among_threads} among threads"), format!("{alone} one call after the other"));
    Finding::divergence(aspect, subject, reference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::{Implementation, KernelC};
    use crate::sizes::{SZ_1M, SZ_4K};

    const SPACE: Space = Space::new(SZ_1M as u64, SZ_4K as u64);

    fn verdict(log: &[Entry], left: Option<Snapshot>) -> Option<(Finding, usize)> {
        let serial = Lockstep::alone::<KernelC>(SPACE, Default::default()).unwrap();
        replay(serial, log, left, &mut Report::default())
    }

    #[test]
    fn an_order_that_was_not_is_seen() {
        let buddy = KernelC::create(SPACE).unwrap();
        let (mut log, drivers) = contend(&buddy, (SPACE, None), &[1, 2, 3, 4], 500);
        log.sort_by_key(|entry| entry.call);
        let left = buddy.snapshot();
        assert_eq!(verdict(&log, left.clone()).map(|(finding, _)| finding), None);

        // The calls sorted by thread, as if each thread had run alone.
        let mut by_thread = log.clone();
        by_thread.sort_by_key(|entry| entry.operation.allocation().map_or(0, |id| id % 4));
        assert!(verdict(&by_thread, left.clone()).is_some());

        // A call that is missing in the log.
        let is_alloc = |entry: &Entry| {
            matches!(entry.operation, Operation::Alloc { .. }) && entry.outcome == Outcome::Done
        };
        let lost = log.iter().rposition(is_alloc).unwrap();
        log.remove(lost);
        assert!(verdict(&log, left).is_some());
        drivers.into_iter().for_each(free_all);
        assert_eq!(left_behind(&mut Driver::of(buddy), SPACE, &log), None);
    }
}
