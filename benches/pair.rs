//! Times single subjects, for work on one of them:
//!
//! ```sh
//! cargo bench --manifest-path benches/Cargo.toml -- 'safe API'
//! ```

use divan::Bencher;
use gpu_buddy::diff::Churn;
use gpu_buddy_benches::subject::{Kind, Want};

/// The steps in each sample.
const STEPS: usize = 1000;

fn main() {
    divan::main();
}

/// A free and an allocation, under a load.
#[divan::bench(args = cases(), sample_count = 50)]
fn pair(bencher: Bencher<'_, '_>, Case(kind, churn): &Case) {
    let live = churn.live as usize;
    let mut wants = churn.steps(1).map(|step| Want::new(*churn, step));
    let fill: Vec<_> = wants.by_ref().take(2 * live).collect();
    let Some(mut runner) = kind.start(churn.space, live) else { return };
    runner.run(&fill);
    bencher
        .counter(divan::counter::ItemsCount::new(STEPS))
        .with_inputs(|| wants.by_ref().take(STEPS).collect::<Vec<_>>())
        .bench_local_refs(|wants| runner.run(wants));
}

/// A subject under a load.
struct Case(Kind, Churn);

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.name(), self.1.name)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    let loads = Churn::ALL.into_iter().filter(|churn| churn.live <= 100_000);
    loads.flat_map(|churn| Kind::ALL.iter().map(move |&kind| Case(kind, churn)))
}
