//! The page of a run: `page.md` with its tables, the plots, and the traces of expensive calls.

mod pictures;
mod tables;

use std::io;
use std::path::{Path, PathBuf};

use crate::run::Results;
use crate::subject::Kind;
use crate::timer::Timer;

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
        let text = format!("# n = {least}. {}\n{}", walk.call, walk.trace(least));
        std::fs::write(beside.join(walk.name).with_extension("trace"), text)?;
    }
    let file = folder.join("performance.md");
    std::fs::write(&file, page(results))?;
    Ok(file)
}

/// Fills in the page.
fn page(results: &Results) -> String {
    let values = [
        ("verdict", tables::wrapped(&verdict(results))),
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
        (
            "failures",
            tables::fills(results, |left, requests| 100.0 * left.failed as f64 / requests as f64),
        ),
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
        (
            "least",
            results.walks.first().and_then(|it| it.1.first()).map_or(0, |it| it.0).to_string(),
        ),
    ];
    let mut page = include_str!("page.md").to_owned();
    for (name, value) in values {
        page = page.replace(&format!("{{{{{name}}}}}"), value.trim_end());
    }
    // Where there is nothing to say.
    page.replace("\n\n\n", "\n\n")
}

/// The nanoseconds of a call, with one digit.
fn nanoseconds<T: Default>(call: impl Fn(&T)) -> String {
    const CALLS: u32 = 1_000_000;
    let value = T::default();
    let started = Timer::start();
    (0..CALLS).for_each(|_| call(std::hint::black_box(&value)));
    format!("{:.1}", started.nanoseconds() / f64::from(CALLS))
}

/// Two or three significant digits.
fn ratio(value: f64) -> String {
    match value {
        10.0.. => format!("{value:.0}"),
        0.1.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The range of a subject's ratios over all loads.
fn range(results: &Results, kind: Kind) -> String {
    let subjects = results.loads.iter().flat_map(|load| &load.subjects);
    let ratios = subjects.filter(|it| it.kind == kind).map(|it| it.ratio.median);
    let (least, most) =
        ratios.fold((f64::MAX, 0.0), |(least, most): (f64, f64), it| (least.min(it), most.max(it)));
    format!("{} to {}", ratio(least), ratio(most))
}

fn verdict(results: &Results) -> String {
    let range = |kind| range(results, kind);
    let mut text = format!(
        "Relative to the raw C, a free and an allocation take {} through the safe API, {} in the \
         reference model, {} in `offset-allocator` and {} in `buddy_system_allocator`, depending on \
         the load.",
        range(Kind::Safe),
        range(Kind::Reference),
        range(Kind::OffsetAllocator),
        range(Kind::BuddySystem),
    );
    if let Some((percent, left)) = results.fills.iter().rfind(|(percent, _)| *percent <= 90) {
        let failed = |kind, in_pieces| {
            let entry = left.iter().find(|(it, _)| (it.kind, it.in_pieces) == (kind, in_pieces));
            entry.map_or(0.0, |it| 100.0 * it.1.failed as f64 / results.requests as f64)
        };
        text += &format!(
            " If {percent} % of a space is in use, {:.1} % of the C's requests for one run fail, \
             {:.1} % of those that may be filled in pieces, and {:.1} % in `offset-allocator`.",
            failed(Kind::RawC, false),
            failed(Kind::RawC, true),
            failed(Kind::OffsetAllocator, false),
        );
    }
    text
}

fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let kernel = gpu_buddy::KERNEL;
    let revision: Vec<_> =
        kernel.revision.lines().filter(|line| !line.starts_with("series:")).collect();
    let rows = [
        ("processor", machine.processor.clone()),
        ("running kernel", machine.kernel.clone()),
        ("compilers", machine.compilers.clone()),
        ("the C", format!("Linux {}; {}", kernel.series, revision.join(", "))),
    ];
    rows.map(|(name, value)| format!("| {name} | {value} |\n")).concat()
}

fn noise(results: &Results) -> String {
    if !results.machine.is_loaded() {
        return String::new();
    }
    "**Other programs ran at the same time: the times are too high, and the ratios are noisy.**"
        .to_owned()
}
