//! The page of a run: `page.md` with its tables, the plots, and the traces of expensive calls.

mod pictures;
mod tables;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::run::Results;
use crate::subject::Kind;

pub use tables::costs;

/// Writes `performance.md` into a folder, and its pictures and traces next to it. Returns its path.
///
/// # Errors
///
/// If a file cannot be written, or a picture not drawn.
pub fn write(results: &Results, folder: &Path) -> io::Result<PathBuf> {
    let beside = folder.join("performance");
    std::fs::create_dir_all(&beside)?;
    for (name, plot) in pictures::all(results) {
        std::fs::write(beside.join(name), plot.svg()?)?;
    }
    for (walk, costs) in &results.walks {
        let least = costs.first().map_or(64, |cost| cost.0);
        let text = format!("# n = {least}: {}\n{}", walk.call, walk.trace(least));
        std::fs::write(beside.join(walk.name).with_extension("trace"), text)?;
    }
    let file = folder.join("performance.md");
    std::fs::write(&file, page(results))?;
    Ok(file)
}

/// Fills in the page.
fn page(results: &Results) -> String {
    let values = [
        ("verdict", verdict(results)),
        ("machine", machine(results)),
        ("noise", noise(results)),
        ("minutes", results.elapsed.as_secs().div_ceil(60).to_string()),
        ("rounds", results.rounds.to_string()),
        ("pairs", results.pairs.to_string()),
        ("loads", tables::loads(results)),
        ("ratios", tables::ratios(results)),
        ("steps", tables::steps(results)),
        ("costs", costs(&results.instructions)),
        ("atomics", "three".to_owned()),
        ("lock", nanoseconds(|lock: &std::sync::Mutex<u32>| *lock.lock().expect("free") += 1)),
        ("count", nanoseconds(|it: &std::sync::Arc<u32>| drop(std::sync::Arc::clone(it)))),
        ("requests", results.requests.to_string()),
        ("failures", tables::fills(results, |left, requests| {
            100.0 * left.failed as f64 / requests as f64
        })),
        ("largest", tables::fills(results, |left, _| 100.0 * left.largest)),
        ("drivers", tables::drivers(results)),
        ("first", tables::first_live(results).to_string()),
        ("fixed", crate::run::LIVE.to_string()),
        ("live", tables::live(results, |point, base| ratio(point.nanoseconds / base))),
        ("spaces", tables::spaces(results)),
        ("live_steps", tables::live_steps(results)),
        ("block", size_of::<gpu_buddy::ffi::gpu_buddy_block>().to_string()),
        ("bytes", tables::bytes(results)),
        ("walks", tables::walks(results)),
        ("least", results.walks.first().and_then(|it| it.1.first()).map_or(0, |it| it.0).to_string()),
    ];
    let mut page = include_str!("page.md").to_owned();
    for (name, value) in values {
        page = page.replace(&format!("{{{{{name}}}}}"), value.trim_end());
    }
    page
}

/// The nanoseconds of a call, with one digit.
fn nanoseconds<T: Default>(call: impl Fn(&T)) -> String {
    const CALLS: u32 = 1_000_000;
    let value = T::default();
    let started = Instant::now();
    (0..CALLS).for_each(|_| call(std::hint::black_box(&value)));
    format!("{:.1}", started.elapsed().as_nanos() as f64 / f64::from(CALLS))
}

/// Two or three significant digits.
fn ratio(value: f64) -> String {
    match value {
        10.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The range of a subject's ratios over all loads.
fn range(results: &Results, kind: Kind) -> String {
    let subjects = results.loads.iter().flat_map(|load| &load.subjects);
    let ratios = subjects.filter(|it| it.kind == kind).map(|it| it.ratio.median);
    let (least, most) = ratios.fold((f64::MAX, 0.0), |(least, most): (f64, f64), it| {
        (least.min(it), most.max(it))
    });
    format!("{least:.2} to {most:.2}")
}

fn verdict(results: &Results) -> String {
    let range = |kind| range(results, kind);
    format!(
        "Relative to the raw C, a free and an allocation take {} through the safe API, {} in the \
         reference model, {} in `offset-allocator` and {} in `buddy_system_allocator`, depending on \
         the load. Contiguous requests of odd sizes are the slowest for the C, and lose the most to \
         fragmentation.",
        range(Kind::Safe),
        range(Kind::Reference),
        range(Kind::OffsetAllocator),
        range(Kind::BuddySystem),
    )
}

fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let kernel = gpu_buddy::KERNEL;
    let rows = [
        ("processor", machine.processor.clone()),
        ("running kernel", machine.kernel.clone()),
        ("compilers", machine.compilers.clone()),
        ("the C", format!("Linux {}, revision {}", kernel.series, kernel.revision)),
    ];
    rows.map(|(name, value)| format!("| {name} | {value} |\n")).concat()
}

fn noise(results: &Results) -> String {
    if !results.machine.is_loaded() {
        return String::new();
    }
    "**Other programs ran at the same time: the times are too high, and the ratios are noisy.**\n\n"
        .to_owned()
}
