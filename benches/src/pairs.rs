//! Time: every subject does the same steps, by turns.

use gpu_buddy::diff::Churn;

use crate::subject::{Kind, Runner, Want};
use crate::timer::Timer;

const SEED: u64 = 1;

/// The times of one load.
pub struct Load {
    /// The load.
    pub churn: Churn,
    /// Those that can take part.
    pub subjects: Vec<Times>,
    /// The steps of the C for each step of the load.
    pub steps: Option<f64>,
}

/// The times of one subject.
pub struct Times {
    /// Which.
    pub kind: Kind,
    /// The median time for a free and an allocation, in nanoseconds.
    pub nanoseconds: f64,
    /// The time relative to the raw C in the same round: the median and the quartiles.
    pub ratio: Quartiles,
}

/// The median of some values, and the quartiles.
#[derive(Clone, Copy)]
pub struct Quartiles {
    /// A quarter of the values is below.
    pub lower: f64,
    /// The median.
    pub median: f64,
    /// A quarter of the values is above.
    pub upper: f64,
}

impl Quartiles {
    /// Of at least one value.
    #[must_use]
    pub fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |part: f64| values[((values.len() - 1) as f64 * part).round() as usize];
        Self { lower: at(0.25), median: at(0.5), upper: at(0.75) }
    }
}

/// Fills each subject, and measures rounds of `pairs` steps each. Each goes first equally often.
#[must_use]
pub fn measure(churn: Churn, kinds: &[Kind], rounds: usize, pairs: usize) -> Load {
    let mut wants = churn.steps(SEED).map(|step| Want::new(churn, step));
    let mut take = |count: usize| -> Vec<Want> { wants.by_ref().take(count).collect() };
    let live = churn.live as usize;
    let fill = take(live + live.min(pairs));
    let mut runners: Vec<(Kind, Box<dyn Runner>)> = kinds
        .iter()
        .filter_map(|&kind| {
            let mut runner = kind.start(churn.space, live)?;
            let failed = runner.run(&fill);
            assert_eq!(failed, 0, "{}: {}", churn.name, kind.name());
            Some((kind, runner))
        })
        .collect();
    let mut times = vec![Vec::new(); runners.len()];
    for round in 0..rounds {
        let wants = take(pairs);
        for turn in 0..runners.len() {
            let index = (round + turn) % runners.len();
            let started = Timer::start();
            let failed = runners[index].1.run(&wants);
            times[index].push(started.nanoseconds() / pairs as f64);
            assert_eq!(failed, 0, "{}: {}", churn.name, runners[index].0.name());
        }
    }
    let yardstick = times[0].clone();
    let subjects = times.into_iter().zip(&runners).map(|(times, &(kind, _))| Times {
        kind,
        ratio: Quartiles::new(times.iter().zip(&yardstick).map(|(it, raw)| it / raw).collect()),
        nanoseconds: Quartiles::new(times).median,
    });
    Load { churn, subjects: subjects.collect(), steps: steps(churn, pairs) }
}

/// The steps of the C for each step of a load, once it is filled; `None` if the laboratory allows
/// fewer objects.
#[must_use]
pub fn steps(churn: Churn, pairs: usize) -> Option<f64> {
    let live = churn.live as usize;
    let mut wants = churn.steps(SEED).map(|step| Want::new(churn, step));
    let mut runner = Kind::Counted.start(churn.space, live)?;
    let mut failed = runner.run(&wants.by_ref().take(2 * live).collect::<Vec<_>>());
    let before = runner.steps()?;
    failed += runner.run(&wants.take(pairs).collect::<Vec<_>>());
    (failed == 0).then(|| (runner.steps().unwrap_or(0) - before) as f64 / pairs as f64)
}
