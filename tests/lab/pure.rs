//! The allocator in safe Rust: the blocks and the errors of the C.

use std::thread;

use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::torture::{self, Options};
use gpu_buddy::diff::{KernelC, Space};
use gpu_buddy::module::Module;
use gpu_buddy::sizes::SZ_4K;
use gpu_buddy::{
    Alignment, AllocRequest, GpuBuddy, GpuBuddyAllocFlag, GpuBuddyAllocFlags, GpuBuddyAllocMode,
    GpuBuddyParams, PureBuddy,
};
use rstest::rstest;

const K: u64 = 1 << 10;
const CHUNK: Alignment = Alignment::new::<SZ_4K>();
const PARAMS: GpuBuddyParams =
    GpuBuddyParams { base_offset: 1 << 40, size: 92 * K, chunk_size: CHUNK };

/// The same on both allocators, which must give the same text.
macro_rules! both {
    (|$buddy:ident| $do:expr) => {{
        let in_c = {
            let $buddy = GpuBuddy::new(PARAMS).unwrap();
            $do
        };
        let in_rust = {
            let $buddy = PureBuddy::new(PARAMS).unwrap();
            $do
        };
        assert_eq!(in_rust, in_c);
        in_rust
    }};
}

macro_rules! alloc {
    ($buddy:ident, $size:expr, $flags:expr) => {
        $buddy.alloc_blocks(GpuBuddyAllocMode::Simple, $size * K, CHUNK, $flags)
    };
}

fn none() -> GpuBuddyAllocFlags {
    GpuBuddyAllocFlags::empty()
}

/// In spaces of all sizes, against the C or, if that makes other choices, against the contract.
#[rstest]
fn makes_the_choices_of_the_c(#[values(1, 2)] seed: u64) {
    let options = Options { seed, operations: 60_000, ..Options::default() };
    let (report, failure) = if Reference::models(Module::compiled_in().features()) {
        torture::run::<PureBuddy, KernelC>(&options, |_| true)
    } else {
        torture::run_alone::<PureBuddy>(&options, |_| true)
    };
    assert!(failure.is_none(), "{}", failure.expect("one"));
    assert_eq!(report.operations, options.operations);
}

/// A small space of a size that is no power of two, which gets full and fragmented.
#[test]
fn makes_the_choices_of_the_c_when_there_is_little_room() {
    let space = Some(Space { base: 1 << 30, ..Space::new(188 * K, 4 * K) });
    let options = Options { operations: 60_000, space, ..Options::default() };
    let (_, failure) = torture::run::<PureBuddy, Reference>(&options, |_| true);
    assert!(failure.is_none(), "{}", failure.expect("one"));
}

#[test]
fn reports_blocks_as_the_safe_api_does() {
    let blocks = both!(|buddy| {
        let blocks = alloc!(buddy, 28, none()).unwrap();
        let list: Vec<_> = blocks.iter().map(|block| (block.offset(), block.order())).collect();
        (list, blocks.size(), blocks.is_empty(), buddy.avail())
    });
    let base = PARAMS.base_offset;
    // The last chunks of the space are a root of 4 KiB and one of 8 KiB.
    let list = vec![(base + 64 * K, 2), (base + 80 * K, 1), (base + 88 * K, 0)];
    assert_eq!(blocks, (list, 28 * K, false, 64 * K));
}

#[test]
fn knows_what_is_clear() {
    both!(|buddy| {
        alloc!(buddy, 16, none()).unwrap().free_cleared();
        let clear = buddy.clear_avail();
        let blocks = alloc!(buddy, 16, GpuBuddyAllocFlag::Clear).unwrap();
        assert!(blocks.iter().all(|block| block.is_clear()));
        blocks.free_as_allocated();
        assert_eq!((clear, buddy.clear_avail()), (16 * K, 16 * K));
        drop(alloc!(buddy, 16, GpuBuddyAllocFlag::Clear).unwrap());
        assert_eq!(buddy.clear_avail(), 0);
        (buddy.avail(), buddy.clear_avail())
    });
    let buddy = PureBuddy::new(PARAMS).unwrap();
    buddy.reset_clear(true);
    assert_eq!(buddy.clear_avail(), PARAMS.size);
}

#[test]
fn takes_and_trims_blocks() {
    let free = both!(|buddy| {
        let mut blocks = alloc!(buddy, 24, none()).unwrap();
        assert!(blocks.take(2).is_none());
        let mut first = blocks.take(0).unwrap();
        assert_eq!((first.size(), blocks.size()), (16 * K, 8 * K));
        let errors = [
            first.trim(None, 0),
            first.trim(None, 32 * K),
            first.trim(None, 5000),
            first.trim(Some(0), 4 * K),
            first.trim(Some(66_000), 4 * K),
        ];
        first.trim(Some(68 * K), 8 * K).unwrap();
        let last = first.trim(None, 4 * K);
        let texts: Vec<_> = errors.into_iter().chain([last]).map(Result::unwrap_err).collect();
        let kept: Vec<_> = first.iter().map(|block| block.info()).collect();
        let at = buddy.block_at(72 * K).map(|block| block.map(|block| block.offset));
        (texts, kept, at, buddy.block_at(4 * K), buddy.block_at(PARAMS.size), buddy.avail())
    });
    assert_eq!(free.2, Ok(Some(72 * K)));
    assert_eq!(free.5, (92 - 16) * K);
}

#[rstest]
#[case::no_size(AllocRequest { size: 0, ..request() })]
#[case::not_in_chunks(AllocRequest { size: 6000, ..request() })]
#[case::alignment_no_power_of_two(AllocRequest { min_block_size: 12 * K, ..request() })]
#[case::alignment_below_a_chunk(AllocRequest { min_block_size: 2 * K, ..request() })]
#[case::beyond_the_space(AllocRequest { size: 128 * K, ..request() })]
#[case::range_beyond_the_space(AllocRequest { end: 128 * K, range: true, ..request() })]
#[case::range_not_aligned(AllocRequest { start: 4 * K, end: 12 * K, size: 8 * K, ..request() })]
#[case::rounded_beyond(AllocRequest { size: 92 * K, min_block_size: 64 * K, ..request() })]
#[case::unknown_flags(AllocRequest { extra_flags: 1 << 40, ..request() })]
#[case::no_room(AllocRequest { end: 4 * K, range: true, size: 8 * K, ..request() })]
fn refuses_what_the_safe_api_refuses(#[case] request: AllocRequest) {
    both!(|buddy| {
        let error = buddy.alloc(&request).unwrap_err();
        (error, error.to_string(), buddy.avail())
    });
}

fn request() -> AllocRequest {
    AllocRequest { size: 4 * K, min_block_size: 8 * K, ..AllocRequest::default() }
}

#[rstest]
#[case::no_chunk(0, 2048, 4096)]
#[case::small_chunks(0, 1 << 20, 2048)]
#[case::beyond_64_bits(u64::MAX, 1 << 20, 4096)]
fn refuses_impossible_spaces(#[case] base_offset: u64, #[case] size: u64, #[case] chunk: usize) {
    let chunk_size = Alignment::new_checked(chunk).unwrap();
    let params = GpuBuddyParams { base_offset, size, chunk_size };
    assert_eq!(PureBuddy::new(params).unwrap_err(), GpuBuddy::new(params).unwrap_err());
}

#[test]
fn says_why_there_is_no_room() {
    both!(|buddy| {
        let _rest = alloc!(buddy, 64, none()).unwrap();
        let error = alloc!(buddy, 32, none()).unwrap_err();
        (error.to_string(), error.errno())
    });
    let buddy = PureBuddy::new(PARAMS).unwrap();
    let _rest = alloc!(buddy, 64, none()).unwrap();
    assert_eq!((buddy.largest_free_block(), buddy.longest_free_run()), (16 * K, 64 * K..92 * K));
}

/// Allocations may outlive every other handle, and be freed by any thread.
#[test]
fn is_shared_between_threads() {
    let buddy = PureBuddy::new(GpuBuddyParams { size: 1 << 30, ..PARAMS }).unwrap();
    let last = thread::scope(|scope| {
        let threads: Vec<_> = (1..=4)
            .map(|chunks| {
                let buddy = buddy.clone();
                scope.spawn(move || {
                    let mut last = None;
                    for _ in 0..2000 {
                        last = Some(alloc!(buddy, 4 * chunks, none()).unwrap());
                    }
                    last.unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(buddy.size() - buddy.avail(), (1 + 2 + 3 + 4) * 4 * K);
    let mut taken: Vec<_> =
        last.iter().flatten().map(|block| (block.offset(), block.size())).collect();
    taken.sort_unstable();
    assert!(taken.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{taken:x?}");
    let buddy = last[0].buddy().clone();
    drop(last);
    assert_eq!(buddy.avail(), buddy.size());
}
