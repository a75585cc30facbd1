//! Allocators from public crates keep the contract, or break it, as `docs/public-crates.md` says.

#[path = "../../examples/public_heaps.rs"]
#[allow(dead_code, reason = "its `main` is not run")]
mod heaps;
#[path = "../../examples/public_crates.rs"]
#[allow(dead_code, reason = "its `main` is not run")]
mod runs;

use std::fs;
use std::path::Path;

use gpu_buddy::diff::adapter::{Heap, RunAllocator, Runs, check};
use gpu_buddy::diff::torture::{Options, Report};
use gpu_buddy::diff::{Comparison, Implementation, Trace};
use heaps::{LinkedList, Talc, Tlsf};
use rstest::rstest;
use runs::{BuddySystem, Offset, RangeAlloc};

/// The name of a crate, and how to check it.
type Check = (&'static str, fn(&Options) -> Report);

const CHECKS: [Check; 6] = [
    ("range-alloc", check::<RangeAlloc>),
    ("buddy_system_allocator", check::<BuddySystem>),
    ("offset-allocator", check::<Offset>),
    ("linked_list_allocator", check::<Heap<LinkedList>>),
    ("rlsf", check::<Heap<Tlsf>>),
    ("talc", check::<Heap<Talc>>),
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn they_keep_the_contract() {
    for (name, check) in CHECKS {
        let report = check(&Options { operations: 30_000, ..Options::default() });
        assert!(report.operations >= 30_000 && report.allocators > 20, "{name}: {report}");
    }
}

/// The document lists exactly the crates that are tested.
#[test]
fn the_versions_are_documented() {
    let (lock, documented) = (read("Cargo.lock"), read("docs/public-crates.md"));
    for (name, _) in CHECKS {
        let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{name}\""));
        let version = lines.nth(1).and_then(|line| line.split('"').nth(1)).expect("a version");
        let row = format!("| {name} | {version} |");
        assert!(documented.contains(&row), "docs/public-crates.md has no {row:?}");
    }
}

/// The trace below a heading of the document.
fn trace(heading: &str) -> Trace {
    let documented = read("docs/public-crates.md");
    let (_, section) = documented.split_once(&format!("### {heading}\n")).expect("the heading");
    let (_, text) = section.split_once("```text\n").expect("a trace");
    text.split("```").next().and_then(|text| text.parse().ok()).expect("a trace")
}

/// Without size classes: every size is requested as it is.
struct AllSizes<A>(A);

impl<A: RunAllocator> RunAllocator for AllSizes<A> {
    fn new(units: u64) -> Option<Self> {
        A::new(units).map(Self)
    }

    fn get(&mut self, units: u64) -> Option<u64> {
        self.0.get(units)
    }

    fn put(&mut self, start: u64, units: u64) {
        self.0.put(start, units);
    }
}

/// For as many allocations as there are chunks.
struct Few(offset_allocator::Allocator, Vec<offset_allocator::Allocation>);

impl RunAllocator for Few {
    fn new(units: u64) -> Option<Self> {
        let size = u32::try_from(units).ok()?;
        Some(Self(offset_allocator::Allocator::with_max_allocs(size, size), Vec::new()))
    }

    fn get(&mut self, units: u64) -> Option<u64> {
        let allocation = self.0.allocate(units as u32)?;
        self.1.push(allocation);
        Some(allocation.offset.into())
    }

    fn put(&mut self, start: u64, _units: u64) {
        let index = self.1.iter().position(|given| u64::from(given.offset) == start);
        self.0.free(self.1.swap_remove(index.expect("it was given")));
    }
}

#[rstest]
#[case::too_few("offset-allocator: two allocations fewer than documented", replay::<Few>)]
#[case::bins("offset-allocator: not every size that fits", replay::<AllSizes<Offset>>)]
#[case::classes("rlsf: not every size that fits", replay::<AllSizes<Heap<Tlsf>>>)]
fn a_documented_limit_is_there(#[case] heading: &str, #[case] replay: fn(&Trace) -> String) {
    let found = replay(&trace(heading));
    assert!(found.starts_with("room: there is room") || found.contains("are free for"), "{found}");
}

fn replay<A: RunAllocator>(trace: &Trace) -> String
where
    Runs<A>: Implementation,
{
    match trace.replay::<Runs<A>>(Comparison::Contract) {
        Err(failure) => failure.to_string(),
        Ok(()) => "nothing was found".to_owned(),
    }
}
