//! Allocators of runs: correct ones pass, of every kind, and each planted fault is found.

mod allocators;

use allocators::*;
use gpu_buddy::diff::adapter::{self, Heap, Runs};
use gpu_buddy::diff::{Block, Capability, Comparison, Implementation, Settings, Space, torture};
use gpu_buddy::{AllocRequest, Errno, GpuBuddyAllocFlag};
use rstest::rstest;

fn run<S: Implementation>() -> (torture::Report, Option<Box<torture::Failure>>) {
    let settings = Settings { comparison: Comparison::Contract, ..Settings::default() };
    let options = torture::Options { settings, operations: 20_000, ..torture::Options::default() };
    torture::run_alone::<S>(&options, |_| true)
}

#[test]
fn a_correct_allocator_passes() {
    let (report, failure) = run::<Runs<FreeList<NONE>>>();
    assert!(failure.is_none(), "{}", failure.unwrap());
    assert_eq!(report.operations, 20_000);
    let compared = Capability::Contiguous | Capability::Alignment | Capability::Trim;
    assert!(!report.not_compared.intersects(compared | Capability::FreeBlock), "{report}");
}

/// `promise` is the one that breaks; the shrunk trace has `most` operations at most.
#[rstest]
#[case::never_merges(run::<Runs<FreeList<NEVER_MERGES>>>, "room", 5)]
#[case::merges_backwards_only(run::<Runs<FreeList<MERGES_BACKWARDS_ONLY>>>, "room", 5)]
#[case::merges_across_gaps(run::<Runs<FreeList<MERGES_ACROSS_GAPS>>>, "avail", 6)]
#[case::last_match_only(run::<Runs<FreeList<LAST_MATCH_ONLY>>>, "room", 5)]
#[case::leaves_one_out(run::<Runs<FreeList<LEAVES_ONE_OUT>>>, "avail", 3)]
#[case::never_exact(run::<Runs<FreeList<NEVER_EXACT>>>, "room", 3)]
#[case::outside(run::<Runs<FreeList<OUTSIDE>>>, "in-space", 2)]
#[case::absurd(run::<Runs<FreeList<ABSURD>>>, "block-shape", 2)]
#[case::panics(run::<Runs<FreeList<PANICS>>>, "no-panic", 3)]
#[case::miscounts(run::<Runs<FreeList<MISCOUNTS>>>, "avail", 10)]
#[case::fails_for_good(run::<Runs<FreeList<FAILS_FOR_GOOD>>>, "room", 5)]
#[case::unaligned(run::<Runs<FreeList<UNALIGNED>>>, "aligned", 4)]
#[case::part_too_long(run::<Runs<FreeList<PART_TOO_LONG>>>, "failure-changes-nothing", 4)]
#[case::one_too_far(run::<Runs<FreeList<ONE_TOO_FAR>>>, "avail", 2)]
#[case::buddy_unaligned(run::<Runs<Buddy<UNALIGNED>>>, "block-shape", 4)]
#[case::buddy_never_merges(run::<Runs<Buddy<NEVER_MERGES>>>, "room", 5)]
#[case::heap_scribbles(run::<Runs<Heap<Bump<PANICS>>>>, "no-panic", 5)]
#[case::heap_outside(run::<Runs<Heap<Bump<OUTSIDE>>>>, "no-panic", 3)]
#[case::heap_unaligned(run::<Runs<Heap<Bump<UNALIGNED>>>>, "no-panic", 3)]
fn a_fault_is_found(
    #[case] run: fn() -> (torture::Report, Option<Box<torture::Failure>>),
    #[case] promise: &str,
    #[case] most: usize,
) {
    let failure = run().1.expect("it is found");
    let text = failure.to_string();
    assert!(text.starts_with(&format!("{promise}: ")), "{text}");
    assert!(failure.trace.operations.len() <= most, "{text}");
}

#[test]
fn a_correct_buddy_allocator_passes() {
    let (report, failure) = run::<Runs<Buddy<NONE>>>();
    assert!(failure.is_none(), "{}", failure.unwrap());
    let compared = Capability::Alignment | Capability::FreeBlock;
    assert!(!report.not_compared.intersects(compared), "{report}");
}

#[test]
fn a_correct_heap_passes() {
    let (report, failure) = run::<Runs<Heap<Bump<NONE>>>>();
    assert!(failure.is_none(), "{}", failure.unwrap());
    // A space of 2^63 bytes has more units than there is memory.
    assert!(report.declined > 0 && report.allocators > 10, "{report}");
}

#[test]
fn a_scaled_allocator_with_size_classes_passes() {
    let (report, failure) = run::<Runs<Scaled>>();
    assert!(failure.is_none(), "{}", failure.unwrap());
    assert!(report.allocators > 10, "{report}");
}

#[test]
fn requests_are_made_of_runs() -> Result<(), Errno> {
    const CHUNK: u64 = 4 << 10;
    let mut runs = Runs::<FreeList<NONE>>::create(Space::new(12 * CHUNK + 5, CHUNK))?;
    assert_eq!(runs.avail(), 12 * CHUNK);
    let request = |chunks: u64| AllocRequest {
        size: chunks * CHUNK,
        min_block_size: CHUNK,
        ..AllocRequest::default()
    };
    let [a, b, c] = [3, 3, 3].map(|chunks| runs.alloc(&request(chunks)));
    let (mut a, b, _c) = (a?, b?, c?);
    let blocks = |runs: &Runs<_>, allocation: &Vec<_>| {
        let mut blocks = Vec::new();
        runs.blocks(allocation, &mut blocks);
        blocks
            .into_iter()
            .map(|Block { offset, order, .. }| (offset / CHUNK, order))
            .collect::<Vec<_>>()
    };
    assert_eq!(blocks(&runs, &a), [(0, 1), (2, 0)]);
    assert_eq!(blocks(&runs, &b), [(3, 0), (4, 1)]);

    // 3 chunks are free at the end, and 3 in the middle.
    runs.free(b, false);
    let contiguous = AllocRequest { flags: GpuBuddyAllocFlag::Contiguous.into(), ..request(4) };
    assert_eq!(runs.alloc(&contiguous).err(), Some(Errno::ENOSPC));
    let d = runs.alloc(&request(6))?;
    assert_eq!((d.len(), runs.avail()), (2, 0));
    assert_eq!(runs.alloc(&request(1)).err(), Some(Errno::ENOSPC));
    runs.free(d, false);

    runs.free_block(&mut a, 0, false);
    assert_eq!((blocks(&runs, &a), runs.avail()), (vec![(2, 0)], 8 * CHUNK));
    for wrong in [0, 13] {
        assert_eq!(runs.alloc(&request(wrong)).err(), Some(Errno::EINVAL));
    }
    let odd = AllocRequest { min_block_size: 3 * CHUNK, ..request(3) };
    assert_eq!(runs.alloc(&odd).err(), Some(Errno::EINVAL));

    let mut e = runs.alloc(&AllocRequest { min_block_size: 2 * CHUNK, ..request(2) })?;
    assert_eq!(blocks(&runs, &e), [(0, 1)]);
    assert_eq!(runs.trim(&mut e, Some(2 * CHUNK), CHUNK), Err(Errno::EINVAL));
    assert_eq!(runs.trim(&mut e, Some(CHUNK), 0), Err(Errno::EINVAL));
    runs.trim(&mut e, Some(CHUNK), CHUNK)?;
    assert_eq!((blocks(&runs, &e), runs.avail()), (vec![(1, 0)], 7 * CHUNK));
    Ok(())
}

#[test]
fn spaces_without_an_allocator() {
    let create = |size, chunk_size| {
        Runs::<Scaled>::create(Space::new(size, chunk_size)).map(|_| ()).unwrap_err()
    };
    assert_eq!(create(4096, 1000), Errno::EINVAL);
    assert_eq!(create(4095, 4096), Errno::EINVAL);
    assert_eq!(create(4096, 0), Errno::EINVAL);
    // It cannot have that many units.
    let heap = Runs::<Heap<Bump<NONE>>>::create(Space::new(1 << 40, 4096));
    assert_eq!(heap.map(|_| ()), Err(Errno::EOPNOTSUPP));
}

/// A user's test in one line: it returns a report, or panics with the trace.
#[test]
fn check_is_one_line() {
    let options = torture::Options { operations: 5_000, ..torture::Options::default() };
    let report = adapter::check::<FreeList<NONE>>(&options);
    assert!(report.operations >= 5_000, "{report}");

    let panicked =
        std::panic::catch_unwind(|| adapter::check::<FreeList<LAST_MATCH_ONLY>>(&options));
    let payload = panicked.expect_err("it is found");
    let text = payload.downcast::<String>().expect("a text");
    for line in ["room: there is room in one piece at ", "promised: ENOSPC means", "\nspace size="]
    {
        assert!(text.contains(line), "no {line:?} in: {text}");
    }
    assert!(text.lines().count() <= 15, "{text}");
}
