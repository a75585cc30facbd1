//! All checks of a wrapper.

use crate::diff::catch;
use crate::diff::torture::{self, Failure, Options, Report};
use crate::diff::{
    Breach, Finding, FirstFinding, Implementation, KernelC, Lockstep, NotCreated, Operation,
    Settings, Space, Trace,
};
use crate::fault::Fault;
use crate::sizes::{SZ_1M, SZ_4K};
use crate::{AllocRequest, Errno};

use super::{Judged, Misuse, Monitor};

/// A small space, for the tests of creation and teardown.
const SPACE: Space = Space::new(SZ_1M as u64, SZ_4K as u64);

/// Judges a wrapper over the [raw layer](crate::ffi). For tests: see [the module](super).
///
/// # Panics
///
/// If it breaks a rule or a promise, or differs from the kernel's C. With a short trace.
#[track_caller]
pub fn check<W: Implementation>(options: &Options) -> Report {
    match find::<W>(options) {
        (report, None) => report,
        (_, Some(failure)) => panic!("{failure}"),
    }
}

/// Like [`check`], but returns the first failure.
///
/// It tests [creation](find_in_creation) and [teardown](find_in_drops), then random operations in
/// lockstep with the kernel's C, then under the contract alone while memory fails.
pub fn find<W: Implementation>(options: &Options) -> (Report, Option<Box<Failure>>) {
    find_beside::<W, KernelC>(options, |_| true)
}

/// Like [`find`], with another reference than the kernel's C. `watch` is as for [`torture::run`].
pub fn find_beside<W: Implementation, R: Implementation>(
    options: &Options,
    mut watch: impl FnMut(&Report) -> bool,
) -> (Report, Option<Box<Failure>>) {
    let failure = find_in_creation::<W>().or_else(find_in_drops::<W>);
    if failure.is_some() {
        return (Report::default(), failure);
    }
    let (mut report, failure) = torture::run_with(options, start::<W, R>, &mut watch);
    if failure.is_some() || !watch(&report) {
        return (report, failure);
    }
    let faults = if options.faults > 0.0 { options.faults } else { 0.02 };
    let operations = options.operations / 4;
    let options = Options { faults, operations, ..options.clone() };
    let (more, failure) = torture::run_alone::<Judged<W>>(&options, watch);
    report.add(&more);
    (report, failure)
}

/// Starts a wrapper in lockstep with a reference.
///
/// # Errors
///
/// [`NotCreated`] if one of them cannot be created.
pub fn start<W: Implementation, R: Implementation>(
    space: Space,
    settings: Settings,
) -> Result<Lockstep, NotCreated> {
    Lockstep::new::<Judged<W>, R>(space, settings)
}

/// Makes each memory allocation of the init function fail in turn. The wrapper must fail with
/// `ENOMEM` and leave nothing behind.
#[must_use]
pub fn find_in_creation<W: Implementation>() -> Option<Box<Failure>> {
    for nth in 1.. {
        let monitor = Monitor::new();
        monitor.set_fault(Some(Fault::nth(nth)));
        let done = catch(|| {
            let created = monitor.run(|| W::create(SPACE));
            let failed = monitor.set_fault(None).is_some_and(|fault| fault.failed() > 0);
            let outcome = created.as_ref().map(|_| ()).map_err(|errno| *errno);
            monitor.run(|| drop(created));
            (failed, outcome)
        });
        let trace =
            || Trace { space: SPACE, operations: vec![Operation::FailNth { nth, times: 1 }] };
        let (failed, outcome) = match done {
            Ok(done) => done,
            Err(panic) => return Some(failure_of(Breach::of_panic(panic, SPACE), trace())),
        };
        if let Some(failure) = judge(&monitor, trace) {
            return Some(failure);
        }
        if failed && outcome != Err(Errno::ENOMEM) {
            return Some(failure_of(Breach::of_error(outcome, SPACE), trace()));
        }
        if !failed {
            break;
        }
    }
    None
}

/// Drops a wrapper and two of its allocations in all orders, if dropping an allocation frees it.
/// That must leave nothing behind and break no rule.
#[must_use]
pub fn find_in_drops<W: Implementation>() -> Option<Box<Failure>> {
    const CHUNK: u64 = SPACE.chunk_size;
    let request =
        AllocRequest { size: 3 * CHUNK, min_block_size: CHUNK, ..AllocRequest::default() };
    // 0 is the wrapper; 1 and 2 are allocations.
    for order in [[1, 2, 0], [2, 1, 0], [1, 0, 2], [2, 0, 1], [0, 1, 2], [0, 2, 1]] {
        let monitor = Monitor::new();
        let done = catch(|| {
            monitor.run(|| {
                let mut wrapper = W::create(SPACE).ok()?;
                let mut allocations = [wrapper.alloc(&request).ok(), wrapper.alloc(&request).ok()];
                let before = monitor.allocated();
                let mut wrapper = Some(wrapper);
                for (index, which) in order.into_iter().enumerate() {
                    match which {
                        0 => drop(wrapper.take()),
                        which => drop(allocations[which - 1].take()),
                    }
                    // If dropping does not free, freeing needs the wrapper, and there is nothing
                    // to test.
                    let frees = monitor.allocated() < before;
                    if index == 0 && which != 0 && !frees {
                        let allocation = allocations.iter_mut().find_map(Option::take)?;
                        wrapper.as_mut()?.free(allocation, false);
                        return None;
                    }
                }
                Some(())
            })
        });
        let trace = || Trace {
            space: SPACE,
            operations: (0..2)
                .map(|id| Operation::Alloc { id, request: request.clone() })
                .collect(),
        };
        match done {
            Ok(done) => done?,
            Err(panic) => return Some(failure_of(Breach::of_panic(panic, SPACE), trace())),
        }
        if let Some(failure) = judge(&monitor, trace) {
            return Some(failure);
        }
    }
    None
}

/// The failure that a monitor saw, after everything was dropped.
fn judge(monitor: &Monitor, trace: impl FnOnce() -> Trace) -> Option<Box<Failure>> {
    let seen = monitor.take_seen();
    if let Some(bug) = seen.bug {
        return Some(failure_of(Breach::of_bug(bug, SPACE), trace()));
    }
    let misuse: Option<Misuse> = seen.misuses.into_iter().chain(monitor.finish()).next();
    misuse.map(|misuse| failure_of(Breach::of_misuse(misuse, SPACE), trace()))
}

fn failure_of(breach: Breach, trace: Trace) -> Box<Failure> {
    let operations = trace.operations.len();
    let finding = Finding::Breach(breach);
    let found = FirstFinding { finding, operations, at_end: true, also: Vec::new() };
    Box::new(Failure::new(found, trace, operations as u64, false))
}
