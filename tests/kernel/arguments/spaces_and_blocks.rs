//! Creation, trims and look-ups.

use super::*;

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
                    // The safe API's type cannot hold this value.
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
