//! Random operations on allocators, from birth to death, until something breaks.

mod check;
mod collect;
mod episode;
mod failure;
mod report;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::generate::Seeded;
use super::shrink::{self, pruned};
use super::trace::FirstFinding;
use super::{Implementation, Load, Lockstep, NotCreated, Operation, Settings, Space, Trace};

pub use check::check;
pub use collect::{Collected, collect};
pub use episode::Episode;
pub(super) use episode::Runner;
pub use failure::Failure;
pub use report::Report;

/// What to run, and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// Decides all that is random: the same seed gives the same run.
    pub seed: u64,
    /// Ends after so many operations.
    pub operations: u64,
    /// The space of every allocator; `None` for a mixture.
    pub space: Option<Space>,
    /// The driver whose allocations are made; `None` for a mixture of everything. Its cards
    /// are drawn, unless [`space`](Self::space) says what there is.
    pub load: Option<Load>,
    /// How often the allocator's own memory fails, as a part of all operations,
    /// from 0 to 1. The reference has no memory that fails, so that this goes
    /// with [`run_alone`] only.
    pub faults: f64,
    /// How to judge.
    pub settings: Settings,
    /// How long a failing trace may be shrunk.
    pub shrink: Duration,
    /// How long one call may take in [`check`]. One that takes longer fails it.
    pub patience: Duration,
    /// Whether the most expensive calls are kept, in [`Report::costs`].
    pub costs: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            operations: 100_000,
            space: None,
            load: None,
            faults: 0.0,
            settings: Settings::default(),
            shrink: Duration::from_secs(60),
            patience: Duration::from_secs(10),
            costs: false,
        }
    }
}

/// Counts the operations that were begun, for whoever waits for them to end.
#[derive(Debug, Default)]
pub(super) struct Pulse(AtomicU64);

impl Pulse {
    pub fn beat(&self) {
        // One thread writes.
        self.0.store(self.count() + 1, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs an implementation in lockstep with a reference. `watch` is called before
/// each episode, now and then in it, and while a trace is made short. It ends the run
/// by returning false; of what broke, the trace stays as short as it is by then.
///
/// Returns what was done, and the first failure.
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
    Runner { options, start, report: Report::default(), pulse: &Pulse::default() }.run(watch)
}

/// Runs an implementation under the contract alone.
pub fn run_alone<S: Implementation>(
    options: &Options,
    watch: impl FnMut(&Report) -> bool,
) -> (Report, Option<Box<Failure>>) {
    run_with(options, Lockstep::<S, S>::alone, watch)
}

/// A random trace of so many operations, to replay on two kernels. It asks for what
/// the subject of `start` offers, and its allocations are spread as that places them.
///
/// # Errors
///
/// If there can be no such space.
pub fn random_trace<S: Implementation, R: Implementation>(
    start: impl Fn(Space, Settings) -> Result<Lockstep<S, R>, NotCreated>,
    seed: u64,
    space: Space,
    operations: u64,
) -> Result<Trace, NotCreated> {
    trace(&Options::default(), start, seed, space, operations)
}

/// A trace of so many operations, as [`random_trace`] makes one, of the
/// [load](Options::load) that the options name.
///
/// # Errors
///
/// If there can be no such space.
pub fn trace<S: Implementation, R: Implementation>(
    options: &Options,
    start: impl Fn(Space, Settings) -> Result<Lockstep<S, R>, NotCreated>,
    seed: u64,
    space: Space,
    operations: u64,
) -> Result<Trace, NotCreated> {
    start(space, options.settings)?;
    let runner = Runner { options, start, report: Report::default(), pulse: &Pulse::default() };
    let episode = Episode { seed, space, operations, full_check_interval: 0 };
    Ok(runner.operations(episode, operations))
}

/// Runs one episode of a run once more, to its end. `each` is told of each operation before
/// it is done: so it knows which one kills the process.
pub fn replay_episode<S: Implementation, R: Implementation>(
    options: &Options,
    start: impl Fn(Space, Settings) -> Result<Lockstep<S, R>, NotCreated>,
    episode: Episode,
    each: impl FnMut(&Operation),
) {
    let runner = Runner { options, start, report: Report::default(), pulse: &Pulse::default() };
    runner.replay(episode, each);
}

/// Makes a failing trace short, for so long. `fails` runs a trace, and returns how
/// many operations it takes to fail in the same way. Returns the trace, whose allocations
/// keep their names, and whether time ran out.
pub fn shrink(
    trace: Trace,
    within: Duration,
    fails: impl FnMut(&Trace) -> Option<usize>,
) -> (Trace, bool) {
    let shrunk = shrink::shrink(trace, Instant::now() + within, fails);
    (pruned(shrunk.trace), shrunk.cut_short)
}

/// A run ends that was given no allocator for so many spaces.
const MOST_REFUSED: u64 = 1000;

impl<S, R, F> Runner<'_, F>
where
    S: Implementation,
    R: Implementation,
    F: Fn(Space, Settings) -> Result<Lockstep<S, R>, NotCreated>,
{
    fn run(mut self, mut watch: impl FnMut(&Report) -> bool) -> (Report, Option<Box<Failure>>) {
        let mut choices = Seeded::new(self.options.seed);
        let Some((episode, found)) = self.next_finding(&mut choices, &mut watch) else {
            watch(&self.report);
            return (self.report, None);
        };
        self.report.shrinking = true;
        let failure = self.shrink(episode, found, watch);
        (self.report, Some(Box::new(failure)))
    }

    /// Runs episodes until one shows something; `None` at the end of the run.
    fn next_finding(
        &mut self,
        choices: &mut Seeded,
        watch: &mut impl FnMut(&Report) -> bool,
    ) -> Option<(Episode, FirstFinding)> {
        while self.report.operations < self.options.operations {
            let made_none = self.report.refused + self.report.declined >= MOST_REFUSED;
            if self.report.allocators == 0 && made_none {
                break;
            }
            let episode = self.draw(choices);
            self.report.episode = Some(episode);
            // Told before it begins: it may be the one that ends the process.
            if !watch(&self.report) {
                break;
            }
            if let Some(found) = self.run_episode(episode, watch) {
                return Some((episode, found));
            }
        }
        None
    }
}
