//! Allocations with every size, block size, range and set of flags.

use super::*;

fn sizes(size: u64, chunk: u64) -> Vec<u64> {
    let turns = [
        0,
        chunk,
        chunk.wrapping_mul(2),
        chunk.wrapping_mul(6),
        size / 2,
        size,
        1 << 31,
        1 << 32,
        1 << 44,
        1 << 63,
    ];
    let mut all = around(&turns, chunk);
    all.extend([1, chunk + 1, size - 1, size + 1, u64::MAX]);
    // As many chunks as 32 bits hold, and one more than 2^32.
    all.extend([u64::from(u32::MAX), (1 << 32) + 1].map(|chunks| chunk.wrapping_mul(chunks)));
    all.sort_unstable();
    all.dedup();
    all
}

fn block_sizes(size: u64, chunk: u64) -> Vec<u64> {
    let mut all = vec![0, 1, chunk / 2, chunk - 1, chunk + 1, chunk.wrapping_mul(3), u64::MAX];
    all.extend([
        chunk,
        chunk.wrapping_mul(2),
        chunk.wrapping_mul(16),
        1 << 31,
        1 << 32,
        1 << 44,
        1 << 62,
        1 << 63,
    ]);
    all.extend([size, 1 << size.ilog2(), (1 << size.ilog2()) / 2]);
    all.sort_unstable();
    all.dedup();
    all
}

fn ranges(size: u64, chunk: u64, requested: u64) -> Vec<(u64, u64)> {
    let half = size / 2 / chunk * chunk;
    let exact = |start: u64| (start, start.wrapping_add(requested));
    vec![
        (0, 0),
        (0, size),
        (0, half),
        (half, size),
        (half, half),
        (chunk, size - chunk),
        (size, half),
        (size, size),
        (size - chunk, size),
        (1, size),
        (0, size - 1),
        (0, size.wrapping_add(chunk)),
        (0, u64::MAX),
        (u64::MAX, 0),
        (u64::MAX - chunk + 1, u64::MAX),
        (1 << 63, 1 << 44),
        exact(0),
        exact(chunk),
        exact(half),
        exact(size.wrapping_sub(requested)),
        exact(u64::MAX - chunk + 1),
    ]
}

/// Range, top-down and sets of the other flags.
fn flag_sets() -> impl Iterator<Item = (bool, bool, Flags)> {
    let flags = [
        Flags::empty(),
        Flag::Contiguous.into(),
        Flag::Clear.into(),
        Flag::TrimDisable.into(),
        Flag::Contiguous | Flag::TrimDisable,
        Flag::Contiguous | Flag::Clear,
    ];
    [(false, false), (true, false), (false, true), (true, true)]
        .into_iter()
        .flat_map(move |(range, top_down)| flags.map(|flags| (range, top_down, flags)))
}

#[rstest]
#[case::power_of_two(16 * MIB, CHUNK)]
#[case::odd(13 * MIB + 20 * KIB, CHUNK)]
#[case::one_chunk(CHUNK, CHUNK)]
#[case::three_chunks(3 * CHUNK, CHUNK)]
#[case::large_chunks(10 * GIB, 2 * MIB)]
#[case::more_chunks_than_32_bits_count((1 << 44) + 3 * CHUNK, CHUNK)]
#[case::twice_as_many(1 << 46, CHUNK)]
#[case::half_of_all(1 << 63, CHUNK)]
#[case::more_than_half_of_all((1 << 63) + (1 << 61) + CHUNK, CHUNK)]
#[case::all(ALL, CHUNK)]
#[case::all_in_large_chunks(u64::MAX << 33, 1 << 33)]
#[case::all_in_few_chunks(u64::MAX << 61, 1 << 61)]
#[case::all_in_one_chunk(1 << 63, 1 << 63)]
fn allocations(#[case] size: u64, #[case] chunk: u64) {
    within(LIMIT, move |note| {
        let mut pair = Pair::new(size, chunk);
        let (mut made, mut refused, mut no_room) = (0_u64, 0_u64, 0_u64);
        for taken in [0, chunk] {
            // First everything is free, then a chunk in the middle is allocated.
            let middle = size / 2 / chunk * chunk;
            let taken = (taken != 0).then(|| {
                let request = AllocRequest {
                    start: middle,
                    end: middle + chunk,
                    size: chunk,
                    min_block_size: chunk,
                    ..AllocRequest::default()
                };
                let mut list = List::new();
                assert_eq!(pair.raw.alloc(&request, &mut list), 0);
                (pair.safe.alloc(&request).expect("free"), list)
            });
            for requested in sizes(size, chunk) {
                for (start, end) in ranges(size, chunk, requested) {
                    for min_block_size in block_sizes(size, chunk) {
                        for (range, top_down, flags) in flag_sets() {
                            let request = AllocRequest {
                                start,
                                end,
                                size: requested,
                                min_block_size,
                                range,
                                top_down,
                                flags,
                                extra_flags: 0,
                            };
                            note(request.clone());
                            match pair.compare(&request) {
                                Ok(_) => made += 1,
                                Err(-28) => no_room += 1,
                                Err(-22) => refused += 1,
                                Err(error) => panic!("{request:x?}: {error}"),
                            }
                        }
                    }
                }
            }
            if let Some((blocks, mut list)) = taken {
                drop(blocks);
                pair.raw.free(&mut list);
            }
        }
        // All three outcomes were met.
        assert!(made > 0 && refused > 0 && (no_room > 0 || size == chunk));
        assert_eq!(pair.safe.avail(), size);
        assert_eq!(pair.safe.fini().expect("the last handle").warnings, []);
    });
}

#[test]
fn what_is_refused_beyond_the_c() {
    let request = |size: u64, min_block_size: u64, flags: Flags| AllocRequest {
        size,
        min_block_size,
        flags,
        ..AllocRequest::default()
    };
    let buddy = GpuBuddy::new(params(0, u64::MAX, CHUNK)).expect("a space");
    let over_half = (1 << 63) + CHUNK;
    let error = buddy.alloc(&request(over_half, CHUNK, Flag::Contiguous.into())).expect_err("2^64");
    assert_eq!(
        error.to_string(),
        "size 9223372036854779904 cannot be rounded up to a power of two in 64 bits"
    );
    let chunks = (1_u64 << 32) + 1;
    let error = buddy.alloc(&request(chunks * CHUNK, CHUNK, Flags::empty())).expect_err("2^32 + 1");
    assert_eq!(
        error.to_string(),
        "size 17592186048512 is 4294967297 chunks; a request must have fewer than 2^32"
    );
    assert_eq!(error.errno(), Errno::EINVAL);
    // One chunk less is allowed.
    let most = u64::from(u32::MAX) * CHUNK;
    assert_eq!(buddy.alloc(&request(most, CHUNK, Flags::empty())).expect("room").size(), most);
}
