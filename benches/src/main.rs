//! Writes `docs/performance.md`.
use gpu_buddy::diff::Churn;
use gpu_buddy_benches::{pairs, subject::Kind};
fn main() {
    for churn in Churn::ALL {
        let started = std::time::Instant::now();
        let load = pairs::measure(churn, Kind::ALL, 7, 4000);
        println!("{} ({:?})", churn.name, started.elapsed());
        for it in &load.subjects {
            println!("  {:24} {:8.0} {:.2} {:.2} {:.2}", it.kind.name(), it.nanoseconds, it.ratio.lower, it.ratio.median, it.ratio.upper);
        }
    }
}
