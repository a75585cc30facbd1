//! Torture: random operations on allocators, from creation to teardown, until there is a finding.

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

/// Starts a pair in a space.
pub(super) type Start<'a> = dyn Fn(Space, Settings) -> Result<Lockstep, NotCreated> + 'a;

/// Options of a torture run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed of all random choices: the same seed gives the same run.
    pub seed: u64,
    /// The number of operations, after which the run ends.
    pub operations: u64,
    /// The space of every allocator; `None` for random spaces.
    pub space: Option<Space>,
    /// The driver whose allocations are imitated; `None` for a random mixture. Without a
    /// [`space`](Self::space), the space is that of a card of the driver.
    pub load: Option<Load>,
    /// How often the allocator's own memory fails, as a fraction of all operations, from 0 to 1.
    /// Only a reference whose memory fails too can be compared then; otherwise use [`run_alone`].
    pub faults: f64,
    /// How to judge.
    pub settings: Settings,
    /// The time limit for shrinking a failing trace.
    pub shrink: Duration,
    /// The time limit for one call in [`check`]. A call that takes longer is a failure.
    pub patience: Duration,
    /// Whether to keep the most expensive calls, in [`Report::costs`].
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

/// Counts the operations that were begun, to detect hangs.
#[derive(Debug, Default)]
pub(super) struct Pulse(AtomicU64);

impl Pulse {
    pub fn beat(&self) {
        // Only one thread writes.
        self.0.store(self.count() + 1, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs an implementation in lockstep with a reference. `watch` is called before each episode, from
/// time to time within it, and during shrinking. If it returns false, the run ends, and a failing
/// trace stays as short as it is by then.
///
/// Returns a report and the first failure.
pub fn run<S: Implementation, R: Implementation>(
    options: &Options,
    watch: impl FnMut(&Report) -> bool,
) -> (Report, Option<Box<Failure>>) {
    run_with(options, Lockstep::new::<S, R>, watch)
}

/// Runs the pairs that `start` creates, with or without a reference: for implementations that are
/// not created by [`Implementation::create`].
pub fn run_with(
    options: &Options,
    start: impl Fn(Space, Settings) -> Result<Lockstep, NotCreated>,
    mut watch: impl FnMut(&Report) -> bool,
) -> (Report, Option<Box<Failure>>) {
    Runner::new(options, &start, &Pulse::default()).run(&mut watch)
}

/// Runs an implementation without a reference: the contract judges it alone.
pub fn run_alone<S: Implementation>(
    options: &Options,
    watch: impl FnMut(&Report) -> bool,
) -> (Report, Option<Box<Failure>>) {
    run_with(options, Lockstep::alone::<S>, watch)
}

/// A random trace of `operations` operations, to replay on two kernels. It uses what the pair from
/// `start` supports, and is generated while it runs on that pair.
///
/// # Errors
///
/// [`NotCreated`] if the space is not possible.
pub fn random_trace(
    start: impl Fn(Space, Settings) -> Result<Lockstep, NotCreated>,
    seed: u64,
    space: Space,
    operations: u64,
) -> Result<Trace, NotCreated> {
    trace(&Options::default(), start, seed, space, operations)
}

/// A trace like that of [`random_trace`], with the [load](Options::load) of the options.
///
/// # Errors
///
/// [`NotCreated`] if the space is not possible.
pub fn trace(
    options: &Options,
    start: impl Fn(Space, Settings) -> Result<Lockstep, NotCreated>,
    seed: u64,
    space: Space,
    operations: u64,
) -> Result<Trace, NotCreated> {
    start(space, options.settings)?;
    let episode = Episode { seed, space, operations, full_check_interval: 0 };
    Ok(Runner::new(options, &start, &Pulse::default()).operations(episode, operations))
}

/// Runs one episode of a run again, to its end. Calls `each` with each operation before it runs, so
/// that a caller knows which one kills the process.
pub fn replay_episode(
    options: &Options,
    start: impl Fn(Space, Settings) -> Result<Lockstep, NotCreated>,
    episode: Episode,
    each: impl FnMut(&Operation),
) {
    Runner::new(options, &start, &Pulse::default()).replay(episode, each);
}

/// Shrinks a failing trace for up to `within`. `fails` runs a trace, and returns after how many
/// operations it fails in the same way. Returns the trace, whose allocations keep their names, and
/// whether time ran out.
pub fn shrink(
    trace: Trace,
    within: Duration,
    fails: impl FnMut(&Trace) -> Option<usize>,
) -> (Trace, bool) {
    let shrunk = shrink::shrink(trace, Instant::now() + within, fails);
    (pruned(shrunk.trace), shrunk.cut_short)
}

/// A trace that is longer than this is shrunk again, by other findings of the same call.
const SHORT: usize = 10;

impl Runner<'_, '_> {
    fn run(mut self, watch: &mut dyn FnMut(&Report) -> bool) -> (Report, Option<Box<Failure>>) {
        let mut choices = Seeded::new(self.options.seed);
        let Some((episode, found)) = self.next_finding(&mut choices, watch) else {
            watch(&self.report);
            return (self.report, None);
        };
        self.report.shrinking = true;
        let mut failure = self.shrink(episode, found.clone(), FirstFinding::is_same, watch);
        if failure.trace.operations.len() > SHORT && !failure.cut_short {
            // What else the same call shows may need less.
            let other = self.shrink(episode, found, FirstFinding::is_like, watch);
            if other.trace.operations.len() < failure.trace.operations.len() {
                failure = other;
            }
        }
        (self.report, Some(Box::new(failure)))
    }

    /// Runs episodes until one has a finding; `None` at the end of the run.
    fn next_finding(
        &mut self,
        choices: &mut Seeded,
        watch: &mut dyn FnMut(&Report) -> bool,
    ) -> Option<(Episode, FirstFinding)> {
        while self.report.operations < self.options.operations && !self.report.has_no_space() {
            let episode = self.draw(choices);
            self.report.episode = Some(episode);
            // Before it begins, because it may kill the process.
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
