//! The checks made in Rust agree with the C: the safe API and the raw layer are
//! driven with the same arguments, right and wrong, and do the same. The raw
//! layer is left out only where the C would be undefined or not come to an end,
//! and the safe API refuses exactly there.

mod common;

use std::time::{Duration, Instant};

use common::{CHUNK, GIB, KIB, List, MIB, Random, Raw, extents, params, within};
use gpu_buddy::{
    Alignment, AllocRequest, AllocatedBlocks, Errno, Error, GpuBuddy, GpuBuddyAllocFlag as Flag,
    GpuBuddyAllocFlags as Flags, GpuBuddyAllocMode as Mode, InvalidArgument,
};
use rstest::rstest;

/// The grids below take seconds, and a call that does not return takes forever.
const LIMIT: Duration = Duration::from_secs(300);

/// One call is quick, on whatever arguments.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// The last space in chunks of 4 KiB: 2^64 bytes but one chunk.
const ALL: u64 = u64::MAX - CHUNK + 1;

/// The numbers at which checks turn, around each of which three are tried.
fn around(values: &[u64], step: u64) -> Vec<u64> {
    let mut all: Vec<_> = values
        .iter()
        .flat_map(|&value| [value.wrapping_sub(step), value, value.wrapping_add(step)])
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

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

/// Every set of flags, and of the two that are the mode in Rust.
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

/// What the C makes of a request before it looks for room.
#[derive(Debug, PartialEq)]
enum Fate {
    /// It returns.
    Returns,
    /// It rounds up to a power of two that there is not.
    Undefined,
    /// It loses the upper bits of the number of chunks and goes on, a chunk at a
    /// time, for 2^32 of them.
    Endless,
}

/// Worked out from the documented checks, in numbers wide enough.
fn fate(request: &AllocRequest, size: u64, chunk: u64) -> Fate {
    let AllocRequest { start, end, size: requested, min_block_size, flags, .. } = *request;
    let refused = requested < chunk
        || min_block_size < chunk
        || !min_block_size.is_power_of_two()
        || [start, end, requested].iter().any(|value| value % chunk != 0)
        || end > size
        || u128::from(start) + u128::from(requested) > u128::from(size)
        || start >= size;
    if refused || start + requested == end {
        return Fate::Returns;
    }
    if flags.contains(Flag::Contiguous) {
        return if requested > 1 << 63 { Fate::Undefined } else { Fate::Returns };
    }
    let kept = cfg!(offset_align) && requested < min_block_size && requested.is_power_of_two();
    let requested = u128::from(requested);
    let rounded =
        if kept { requested } else { requested.next_multiple_of(u128::from(min_block_size)) };
    let chunks = rounded / u128::from(chunk);
    // The order that the C takes is that of the lower 32 bits.
    let seen = chunks as u32;
    if rounded <= u128::from(size) && chunks > u128::from(u32::MAX) && seen != 0 {
        return Fate::Endless;
    }
    Fate::Returns
}

/// What a call comes to, for both ways to make it.
type Outcome = Result<Vec<(u64, u64)>, i32>;

/// Frees what was allocated.
fn outcome(result: Result<AllocatedBlocks, Error>) -> Outcome {
    match result {
        Ok(blocks) => Ok(extents(&blocks)),
        Err(error) => Err(-error.errno().code()),
    }
}

/// The same space twice.
struct Pair {
    safe: GpuBuddy,
    raw: Raw,
}

impl Pair {
    fn new(size: u64, chunk: u64) -> Self {
        let safe = GpuBuddy::new(params(0, size, chunk)).expect("a space");
        Self { safe, raw: Raw::new(size, chunk).expect("a space") }
    }

    /// Returns what came of it, freed again.
    fn compare(&mut self, request: &AllocRequest) -> Outcome {
        let started = Instant::now();
        let size = self.safe.size();
        let chunk = self.safe.chunk_size().as_u64();
        let safe = self.safe.alloc(request);
        let fate = fate(request, size, chunk);
        match (&safe, &fate) {
            (Err(Error::InvalidArgument(InvalidArgument::NoPowerOfTwo { .. })), _) => {
                assert_eq!(fate, Fate::Undefined, "{request:x?} of {size:#x}");
            }
            (Err(Error::InvalidArgument(InvalidArgument::TooManyChunks { .. })), fate) => {
                assert_ne!(*fate, Fate::Undefined, "{request:x?} of {size:#x}");
            }
            (result, fate) => {
                assert_eq!(*fate, Fate::Returns, "{request:x?} of {size:#x}: {result:?}");
            }
        }
        let safe = outcome(safe);
        if fate == Fate::Returns {
            let mut list = List::new();
            let raw = match self.raw.alloc(request, &mut list) {
                0 => Ok(list.extents(&mut self.raw)),
                error => Err(error),
            };
            self.raw.free(&mut list);
            assert_eq!(safe, raw, "{request:x?} of {size:#x}");
            assert_eq!(self.safe.avail(), self.raw.avail(), "{request:x?} of {size:#x}");
        }
        assert!(started.elapsed() < CALL_LIMIT, "{request:x?} took {:?}", started.elapsed());
        safe
    }
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
            // At first all is free, then a chunk in the middle is not.
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
        // The grid is no grid of wrong arguments alone.
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
    // One less is a request like any other.
    let most = u64::from(u32::MAX) * CHUNK;
    assert_eq!(buddy.alloc(&request(most, CHUNK, Flags::empty())).expect("room").size(), most);
}

#[test]
fn new_spaces() {
    within(LIMIT, |note| {
        let mut chunks = vec![0, 1, 3 * CHUNK, CHUNK - 1, CHUNK + 1, u64::MAX];
        chunks.extend((0..64).map(|log2| 1_u64 << log2));
        let (mut made, mut refused) = (0, 0);
        for &chunk in &chunks {
            let turns = [0, chunk, CHUNK, 1 << 31, 1 << 32, 1 << 44, 1 << 63, u64::MAX];
            for size in around(&turns, 1).into_iter().chain(around(&turns, CHUNK)) {
                note((size, chunk));
                let raw = Raw::new(size, chunk);
                let Some(chunk_size) = Alignment::new_checked(chunk as usize) else {
                    // No such value can be given to the safe API.
                    assert_eq!(raw.err(), Some(-22), "{size:#x} {chunk:#x}");
                    continue;
                };
                let safe =
                    GpuBuddy::new(gpu_buddy::GpuBuddyParams { base_offset: 0, size, chunk_size });
                match (&safe, &raw) {
                    (Ok(safe), Ok(raw)) => {
                        assert_eq!((safe.avail(), safe.size()), (raw.avail(), raw.avail()));
                        made += 1;
                    }
                    (Err(error), Err(raw)) => {
                        assert_eq!(-error.errno().code(), *raw, "{size:#x} {chunk:#x}");
                        assert!(matches!(error, Error::InvalidArgument(argument)
                            if *argument != InvalidArgument::Unknown));
                        refused += 1;
                    }
                    _ => panic!("{size:#x} in {chunk:#x}: {safe:?}, C {:?}", raw.is_ok()),
                }
            }
        }
        assert!(made > 500 && refused > 200, "{made} {refused}");
    });
}

#[rstest]
#[case::at_the_start(16 * MIB, CHUNK, 0, 64 * KIB)]
#[case::in_the_middle(16 * MIB, CHUNK, 4 * MIB, 64 * KIB)]
#[case::one_chunk(16 * MIB, CHUNK, 4 * MIB, CHUNK)]
#[case::everything(16 * MIB, CHUNK, 0, 16 * MIB)]
#[case::large_chunks(10 * GIB, 2 * MIB, 2 * GIB, GIB)]
#[case::half_of_all(ALL, CHUNK, 0, 1 << 63)]
#[case::up_to_the_last_address(ALL, CHUNK, ALL - 64 * KIB + CHUNK, 32 * KIB)]
#[case::the_last_chunk(ALL, CHUNK, ALL - CHUNK, CHUNK)]
#[case::several_blocks(16 * MIB, CHUNK, CHUNK, 2 * CHUNK)]
fn trims(#[case] size: u64, #[case] chunk: u64, #[case] at: u64, #[case] block: u64) {
    within(LIMIT, move |note| {
        let mut pair = Pair::new(size, chunk);
        let request = AllocRequest {
            start: at,
            end: at + block,
            size: block,
            min_block_size: chunk,
            ..AllocRequest::default()
        };
        let new_sizes = around(&[0, chunk, block / 2, block, size, 1 << 32, 1 << 63], chunk);
        let turns = [0, at, at + chunk, at + block / 2, at + block, size, 1 << 32, 1 << 63];
        let mut starts: Vec<_> = around(&turns, chunk).into_iter().map(Some).collect();
        starts.extend([None, Some(at + 1), Some(at.wrapping_sub(1)), Some(u64::MAX)]);
        let (mut made, mut refused) = (0, 0);
        for &start in &starts {
            for new_size in new_sizes.iter().copied().chain([1, chunk + 1, block - 1, u64::MAX]) {
                note((start, new_size));
                let mut list = List::new();
                assert_eq!(pair.raw.alloc(&request, &mut list), 0);
                let mut blocks = pair.safe.alloc(&request).expect("free");

                let raw = pair.raw.trim(start, new_size, &mut list);
                let safe = blocks.trim(start, new_size);
                let errno = safe.map_or_else(|error| -error.errno().code(), |()| 0);
                assert_eq!(errno, raw, "{start:x?} {new_size:#x}: {safe:?}");
                assert_ne!(safe, Err(InvalidArgument::Unknown.into()));
                assert_eq!(extents(&blocks), list.extents(&mut pair.raw));
                assert_eq!(pair.safe.avail(), pair.raw.avail());
                *if raw == 0 { &mut made } else { &mut refused } += 1;

                pair.raw.free(&mut list);
                drop(blocks);
            }
        }
        assert!(refused > 0 && (made > 0 || !block.is_power_of_two()) || at == CHUNK);
    });
}

#[cfg(addr_to_block)]
#[rstest]
#[case::power_of_two(16 * MIB)]
#[case::odd(13 * MIB + 20 * KIB)]
#[case::one_chunk(CHUNK)]
#[case::all(ALL)]
fn blocks_at(#[case] size: u64) {
    use gpu_buddy::ffi;

    let mut pair = Pair::new(size, CHUNK);
    // The last chunk is allocated.
    let request = AllocRequest {
        start: size - CHUNK,
        end: size,
        size: CHUNK,
        min_block_size: CHUNK,
        ..AllocRequest::default()
    };
    let mut list = List::new();
    assert_eq!(pair.raw.alloc(&request, &mut list), 0);
    let _blocks = pair.safe.alloc(&request).expect("free");
    let turns = [0, size / 2, size - CHUNK, size, 1 << 32, 1 << 63, u64::MAX];
    for offset in around(&turns, 1).into_iter().chain(around(&turns, CHUNK)) {
        // SAFETY: the allocator is initialised; the C takes any address.
        let raw = unsafe { ffi::gpu_buddy_allocated_addr_to_block(pair.raw.mm(), offset) };
        match pair.safe.block_at(offset) {
            Ok(None) => assert!(raw.is_null(), "{offset:#x}"),
            Ok(Some(block)) => {
                assert_eq!(raw, list.blocks()[0], "{offset:#x}");
                assert_eq!((block.offset, block.order), (size - CHUNK, 0));
            }
            Err(error) => {
                let errno = -error.errno().code() as isize;
                assert_eq!(raw.addr() as isize, errno, "{offset:#x}: {error}");
            }
        }
    }
    pair.raw.free(&mut list);
}

/// Arguments from all over the numbers, most of them wrong: none of them stops
/// the process, and the space is whole afterwards.
#[rstest]
fn hostile_arguments(
    #[values(CHUNK, 16 * MIB, 13 * MIB + 20 * KIB, (1 << 44) + CHUNK, ALL)] size: u64,
    #[values(1, 2)] seed: u64,
) {
    within(LIMIT, move |note| {
        let buddy = GpuBuddy::new(params(0, size, CHUNK)).expect("a space");
        let mut random = Random::new(seed ^ size);
        let mut held: Vec<AllocatedBlocks> = Vec::new();
        let (mut made, mut failed) = (0, 0);
        let number = |random: &mut Random| match random.below(8) {
            0 => random.next(),
            1 => 1 << random.below(64),
            2 => (1_u64 << random.below(64)).wrapping_sub(CHUNK),
            3 => size.wrapping_sub(random.below(4) * CHUNK),
            4 => random.next() & !(CHUNK - 1),
            5 => 0,
            _ => random.below(size / CHUNK + 2).wrapping_mul(CHUNK),
        };
        for _ in 0..20_000 {
            let started = Instant::now();
            let numbers: [u64; 4] = std::array::from_fn(|_| number(&mut random));
            let [first, second, third, fourth] = numbers;
            let bits = random.next();
            let action = random.below(8);
            note((action, numbers, bits));
            let flags = Flags::from_bits_truncate(bits);
            let result = match action {
                0 => buddy.block_at(first).map(|_| ()),
                1 => match held.last_mut() {
                    Some(blocks) => blocks.trim((bits & 1 == 0).then_some(first), second),
                    None => Ok(()),
                },
                2 => {
                    if !held.is_empty() {
                        drop(held.swap_remove((first % held.len() as u64) as usize));
                    }
                    Ok(())
                }
                3 => match held.last_mut().and_then(|blocks| blocks.take(first as usize)) {
                    Some(block) => {
                        block.free_cleared();
                        Ok(())
                    }
                    None => Ok(()),
                },
                4 | 5 => {
                    let mode = match bits >> 32 & 3 {
                        0 => Mode::Simple,
                        1 => Mode::TopDown,
                        _ => Mode::Range(first..second),
                    };
                    let min = Alignment::new_checked(1 << (fourth % 64)).expect("a power of two");
                    buddy.alloc_blocks(mode, third, min, flags).map(|blocks| held.push(blocks))
                }
                _ => {
                    let request = AllocRequest {
                        start: first,
                        end: second,
                        size: third,
                        min_block_size: if bits & 64 == 0 { CHUNK } else { fourth },
                        range: bits & 1 == 0,
                        top_down: bits & 2 == 0,
                        flags,
                        extra_flags: 0,
                    };
                    buddy.alloc(&request).map(|blocks| held.push(blocks))
                }
            };
            match result {
                Ok(()) => made += 1,
                Err(Error::Bug(bug)) => panic!("{action} {numbers:x?} {bits:#x}: {bug}"),
                Err(error) => {
                    assert_ne!(error, InvalidArgument::Unknown.into());
                    failed += 1;
                }
            }
            assert!(started.elapsed() < CALL_LIMIT, "{action} {numbers:x?} {bits:#x}");
        }
        assert!(made > 1000 && failed > 1000, "{made} {failed}");
        drop(held);
        assert_eq!(buddy.avail(), size);
        let fini = buddy.fini().expect("the last handle");
        assert_eq!((fini.warnings, fini.bug, fini.leaked_objects), (vec![], None, 0));
    });
}
