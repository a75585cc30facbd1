//! Random operations on allocators, from birth to death, until something breaks.

use core::fmt;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::cost::Costs;
use super::generate::{self, Generator};
use super::shrink::{self, renamed};
use super::tally::Tally;
use super::{
    Capabilities, Finding, Implementation, KernelC, Lockstep, NotCreated, Operation, Settings,
    Space, Step, Trace,
};

/// What to run, and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// Decides all that is random: the same seed gives the same run.
    pub seed: u64,
    /// Ends after so many operations.
    pub operations: u64,
    /// The space of every allocator; `None` for a mixture.
    pub space: Option<Space>,
    /// How often the allocator's own memory fails, as a part of all operations,
    /// from 0 to 1. The reference has no memory that fails, so that this goes
    /// with [`run_alone`] only.
    pub faults: f64,
    /// How to judge.
    pub settings: Settings,
    /// How long a failing trace may be shrunk.
    pub shrink: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            operations: 100_000,
            space: None,
            faults: 0.0,
            settings: Settings::default(),
            shrink: Duration::from_secs(60),
        }
    }
}

/// What a run has done so far.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Operations done.
    pub operations: u64,
    /// Allocators made.
    pub allocators: u64,
    /// Spaces that no allocator could be made of.
    pub refused: u64,
    /// Breaches that the C is known for, by name.
    pub known: BTreeMap<&'static str, u64>,
    /// How often the reference took over the state of the one under test.
    pub resynced: u64,
    /// What was met.
    pub tally: Tally,
    /// The most expensive calls.
    pub costs: Costs,
    /// What neither was asked for nor compared, since one of the two does not
    /// offer it.
    pub not_compared: Capabilities,
    /// The allocator that is worked on.
    pub life: Option<Episode>,
    /// Something broke, and its trace is being made short.
    pub shrinking: bool,
}

impl Report {
    /// Counts what came of a step. Returns what is wrong.
    pub(super) fn take_in(&mut self, step: Step) -> Option<Finding> {
        for known in step.known {
            *self.known.entry(known.name).or_default() += 1;
        }
        self.resynced += u64::from(step.resynced);
        step.findings.into_iter().next()
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.allocators += other.allocators;
        self.refused += other.refused;
        self.resynced += other.resynced;
        self.not_compared |= other.not_compared;
        self.tally.add(&other.tally);
        self.costs.add(&other.costs);
        for (name, count) in &other.known {
            *self.known.entry(name).or_default() += count;
        }
    }
}

/// One allocator from birth to death: of these a run is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Decides all that is random in it.
    pub seed: u64,
    /// The space that is managed.
    pub space: Space,
    /// How many operations it has.
    pub operations: u64,
    /// As in [`Settings::full_check_interval`].
    pub full_check_interval: u64,
}

/// Something broke.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// What broke, in the shrunk trace.
    pub finding: Finding,
    /// The shortest sequence of operations found that shows it; the last one
    /// breaks it, or the end of the allocator after that.
    pub trace: Trace,
    /// How many operations the allocator had seen.
    pub operations: u64,
    /// Shrinking ran out of time.
    pub cut_short: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.finding)?;
        if let Finding::Breach(broken) = &self.finding {
            writeln!(f, "{}", broken.promise.explanation())?;
        }
        let cut_short = if self.cut_short { ", shrinking ran out of time" } else { "" };
        writeln!(
            f,
            "after {} operations, shrunk to {}{cut_short}:\n",
            self.operations,
            self.trace.operations.len()
        )?;
        self.trace.fmt(f)
    }
}

impl core::error::Error for Failure {}

/// Runs an implementation in lockstep with a reference. `watch` is called before
/// each life, now and then in it, and while a trace is made short. It ends the run
/// by returning false; of what broke, the trace stays as short as it is by then.
///
/// # Errors
///
/// The first failure, boxed since it is large, beside what was done until then.
pub fn run<S: Implementation, R: Implementation>(
    options: &Options,
    watch: impl FnMut(&Report) -> bool,
) -> (Report, Option<Box<Failure>>) {
    run_with(options, Lockstep::<S, R>::new, watch)
}

/// Runs what `start` makes, with a reference or without: for implementations that are
/// not made by [`Implementation::create`].
pub fn run_with<S: Implementation, R: Implementation>(
    options: &Options,
    start: impl Fn(Space, Settings) -> Result<Lockstep<S, R>, NotCreated>,
    watch: impl FnMut(&Report) -> bool,
) -> (Report, Option<Box<Failure>>) {
    Run { options, start, report: Report::default() }.run(watch)
}

/// Runs an implementation under the contract alone.
pub fn run_alone<S: Implementation>(
    options: &Options,
    watch: impl FnMut(&Report) -> bool,
) -> (Report, Option<Box<Failure>>) {
    run_with(options, Lockstep::<S, S>::alone, watch)
}

/// Runs an implementation in lockstep with the kernel's C, and panics with a
/// short trace at the first difference. For tests.
///
/// ```
/// use gpu_buddy::diff::{KernelC, torture};
///
/// // Any implementation, in place of the C itself.
/// torture::check::<KernelC>(&torture::Options { operations: 2_000, ..Default::default() });
/// ```
///
/// # Panics
///
/// Where the two differ, or a promise is broken; and where no allocator could be made.
pub fn check<S: Implementation>(options: &Options) {
    let (report, failure) = run::<S, KernelC>(options, |_| true);
    if let Some(failure) = failure {
        panic!("{failure}");
    }
    assert!(report.allocators > 0, "no allocator could be made of {:?}", options.space);
}

/// A random trace of so many operations, to replay on two kernels. It asks for what
/// the subject of `start` offers, and its allocations are spread as that places them.
///
/// # Errors
///
/// Where there can be no such space.
pub fn random_trace<S: Implementation, R: Implementation>(
    start: impl Fn(Space, Settings) -> Result<Lockstep<S, R>, NotCreated>,
    seed: u64,
    space: Space,
    operations: u64,
) -> Result<Trace, NotCreated> {
    let options = Options::default();
    start(space, options.settings)?;
    let run = Run { options: &options, start, report: Report::default() };
    Ok(run.record(Episode { seed, space, operations, full_check_interval: 0 }, operations))
}

/// Lives one life of a run again, to its end, under the contract alone. `each` is
/// told of each operation before it is done: so it knows which one kills the
/// process.
pub fn relive<S: Implementation, R: Implementation>(
    options: &Options,
    start: impl Fn(Space, Settings) -> Result<Lockstep<S, R>, NotCreated>,
    life: Episode,
    each: impl FnMut(&Operation),
) {
    let run = Run { options, start, report: Report::default() };
    if let Some(mut pair) = run.relive(life, life.operations, each) {
        pair.finish();
    }
}

/// Makes a failing trace short, for so long. `fails` runs a trace, and returns how
/// many operations it takes to fail in the same way. Returns the trace, and whether
/// time ran out.
pub fn shrink(
    trace: Trace,
    within: Duration,
    fails: impl FnMut(&Trace) -> Option<usize>,
) -> (Trace, bool) {
    let shrunk = shrink::shrink(trace, Instant::now() + within, fails);
    (renamed(shrunk.trace), shrunk.cut_short)
}

/// A run ends that was refused so many spaces, and given none.
const MOST_REFUSED: u64 = 1000;

/// `watch` is called after so many operations.
const WATCH_EVERY: u64 = 1024;

/// Of so many operations at its end a trace is looked at closely; of fewer, where
/// that would be so many blocks.
const TAIL: usize = 256;
const TAIL_BLOCKS: usize = 1 << 16;

pub(super) struct Run<'a, F> {
    pub options: &'a Options,
    pub start: F,
    pub report: Report,
}

impl<S, R, F> Run<'_, F>
where
    S: Implementation,
    R: Implementation,
    F: Fn(Space, Settings) -> Result<Lockstep<S, R>, NotCreated>,
{
    fn run(mut self, mut watch: impl FnMut(&Report) -> bool) -> (Report, Option<Box<Failure>>) {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(self.options.seed);
        while self.report.operations < self.options.operations {
            // No space will do, so there is nothing to run.
            if self.report.allocators == 0 && self.report.refused >= MOST_REFUSED {
                break;
            }
            let life = self.life(&mut random);
            self.report.life = Some(life);
            if !watch(&self.report) {
                break;
            }
            if let Some((finding, operations)) = self.live(life, &mut watch) {
                self.report.shrinking = true;
                let failure = self.shrink(life, finding, operations, watch);
                return (self.report, Some(Box::new(failure)));
            }
        }
        watch(&self.report);
        (self.report, None)
    }

    pub fn life(&self, random: &mut Xoshiro256PlusPlus) -> Episode {
        let space = self.options.space.unwrap_or_else(|| generate::space(random));
        let left = self.options.operations - self.report.operations;
        // Many short ones, so that many spaces and many ends are met, and a few long ones.
        // None takes more than a fiftieth of a run that ends after so many operations.
        let operations = match random.random_range(0..32) {
            0 => 10 * generate::log_uniform(random, 100_000),
            _ => generate::log_uniform(random, 50_000),
        };
        let operations = operations.min((self.options.operations / 50).max(1000)).min(left);
        // Short lives are looked at closely.
        let full_check_interval = match (operations, random.random_range(0..4)) {
            (..1000, 0..3) => 1,
            (..10_000, 0) => 16,
            _ => self.options.settings.full_check_interval,
        };
        Episode { seed: random.random(), space, operations, full_check_interval }
    }

    pub fn settings(&self, life: Episode) -> Settings {
        Settings { full_check_interval: life.full_check_interval, ..self.options.settings }
    }

    /// Lives a life. Returns what broke, and after how many operations.
    pub fn live(
        &mut self,
        life: Episode,
        watch: &mut impl FnMut(&Report) -> bool,
    ) -> Option<(Finding, u64)> {
        let mut pair = match (self.start)(life.space, self.settings(life)) {
            Ok(pair) => pair,
            Err(NotCreated::Finding(finding)) => return Some((*finding, 0)),
            Err(NotCreated::Refused(_)) => {
                self.report.refused += 1;
                return None;
            }
        };
        let mut generator = self.generator(life, pair.capabilities());
        self.report.allocators += 1;
        self.report.not_compared |= !pair.capabilities();
        let mut clear_avail = pair.accounts().clear_avail;
        for done in 1..=life.operations {
            let operation = generator.next();
            let step = pair.step(&operation);
            let blocks = pair.blocks();
            let accounts = pair.accounts();
            generator.observe(&operation, step.outcome, blocks, accounts.avail);

            let clear_before = core::mem::replace(&mut clear_avail, accounts.clear_avail);
            let given: u64 = blocks
                .iter()
                .filter(|block| block.clear)
                .map(|block| life.space.chunk_size << block.order)
                .sum();
            let merged = clear_before > clear_avail.saturating_add(given);
            self.report.operations += 1;
            self.report.tally.count(&operation, step.outcome, blocks.len(), merged);
            if let Some(steps) = pair.costs().0 {
                self.report.costs.record(&operation, steps, &life, done);
            }
            if let Some(finding) = self.report.take_in(step) {
                return Some((finding, done));
            }
            // What was begun is ended, so that its end is checked.
            let watched = self.report.operations.is_multiple_of(WATCH_EVERY);
            if pair.is_unusable() || (watched && !watch(&self.report)) {
                break;
            }
        }
        let step = pair.finish();
        Some((self.report.take_in(step)?, life.operations))
    }

    fn generator(&self, life: Episode, capabilities: Capabilities) -> Generator {
        let mut generator =
            Generator::new(life.seed, life.space, capabilities, self.options.faults);
        // The others end as `Lockstep::finish` has it.
        if life.seed.is_multiple_of(2) {
            generator.end_with_fini(life.operations);
        }
        generator
    }

    /// Lives a life again, to write it down, and shrinks it.
    pub fn shrink(
        &self,
        life: Episode,
        finding: Finding,
        operations: u64,
        mut watch: impl FnMut(&Report) -> bool,
    ) -> Failure {
        let deadline = Instant::now() + self.options.shrink;
        let settings = self.settings(life);
        let first = |trace: &Trace, close| first_finding(&self.start, trace, settings, close);
        let mut stopped = false;

        let mut trace = self.record(life, operations);
        let mut finding = finding;
        loop {
            // Where it is looked at more closely, something may show earlier. Then
            // that is what to look for.
            let mut close = false;
            while let Some((found, length)) = first(&trace, true) {
                let earlier = length < trace.operations.len();
                trace.operations.truncate(length);
                (finding, close) = (found, true);
                if !earlier || Instant::now() >= deadline || !watch(&self.report) {
                    break;
                }
            }
            let shrunk = shrink::shrink(trace, deadline, |trace| {
                stopped |= !watch(&self.report);
                if stopped {
                    return None;
                }
                let (found, length) = first(trace, close)?;
                found.is_like(&finding).then_some(length)
            });
            trace = renamed(shrunk.trace);
            // The facts of the trace as it is now.
            let seen = first(&trace, true);
            let cut_short = shrunk.cut_short || stopped;
            if close || seen.is_none() || cut_short {
                let seen = seen.or_else(|| first(&trace, false));
                let finding = seen.map_or(finding, |(found, _)| found);
                return Failure { finding, trace, operations, cut_short };
            }
        }
    }

    pub fn record(&self, life: Episode, count: u64) -> Trace {
        let mut operations = Vec::new();
        self.relive(life, count, |operation| operations.push(operation.clone()));
        Trace { space: life.space, operations }
    }

    /// The first operations of a life, again. `each` is told of each before it is
    /// done.
    fn relive(
        &self,
        life: Episode,
        count: u64,
        mut each: impl FnMut(&Operation),
    ) -> Option<Lockstep<S, R>> {
        let mut pair = (self.start)(life.space, self.settings(life)).ok()?;
        let mut generator = self.generator(life, pair.capabilities());
        for _ in 0..count {
            let operation = generator.next();
            each(&operation);
            let step = pair.step(&operation);
            generator.observe(&operation, step.outcome, pair.blocks(), pair.accounts().avail);
        }
        Some(pair)
    }
}

/// The first finding in a trace, and the operations that it takes. `close` looks
/// at the whole tree after each of the last operations, and not before.
pub(super) fn first_finding<S, R, F>(
    start: &F,
    trace: &Trace,
    settings: Settings,
    close: bool,
) -> Option<(Finding, usize)>
where
    S: Implementation,
    R: Implementation,
    F: Fn(Space, Settings) -> Result<Lockstep<S, R>, NotCreated>,
{
    let mut pair = match start(trace.space, settings) {
        Ok(pair) => pair,
        Err(NotCreated::Finding(finding)) => return Some((*finding, 0)),
        Err(NotCreated::Refused(_)) => return None,
    };
    let count = trace.operations.len();
    if close {
        pair.set_full_check_interval(0);
    }
    let far_from_end = count.saturating_sub(TAIL);
    let mut near_end = far_from_end;
    for (index, operation) in trace.operations.iter().enumerate() {
        if close && index == far_from_end {
            let blocks = pair.subject().snapshot().map_or(0, |snapshot| snapshot.blocks.len());
            let closely = (TAIL_BLOCKS / blocks.max(1)).clamp(8, TAIL);
            near_end = count.saturating_sub(closely);
        }
        if close && index >= near_end {
            pair.set_full_check_interval(1);
        }
        // After a finding, the states are not what they were.
        if let Some(finding) = pair.step(operation).findings.into_iter().next() {
            return Some((finding, index + 1));
        }
    }
    Some((pair.finish().findings.into_iter().next()?, count))
}
