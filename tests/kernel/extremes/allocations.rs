//! Allocations, trims and look-ups.

use super::*;

/// Names of arguments in the errors of an allocation.
const NAMES: [&str; 4] = ["size", "min_block_size", "range", "bytes"];

/// All combinations of range, top-down and flags.
fn manners() -> impl Iterator<Item = (bool, bool, GpuBuddyAllocFlags)> {
    (0..32_u64).map(|bits| {
        let flags = GpuBuddyAllocFlags::all();
        let flags = flags.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
        (bits & 8 != 0, bits & 16 != 0, flags.map(|(_, flag)| flag).collect())
    })
}

/// Every extreme number in every position, in all combinations.
#[rstest]
fn alloc(#[values(0, 1, 2, 3, 4, 5)] space: usize) {
    within(LIMIT, move |note| {
        let (size, chunk) = SPACES[space];
        let fresh = Fresh::new(size, chunk);
        let (mut made, mut refused) = (0_u64, 0_u64);
        let values = extremes(chunk);
        for requested in values {
            for min_block_size in values {
                for start in values {
                    for end in values {
                        for (range, top_down, flags) in manners() {
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
                            match soon(|| fresh.buddy.alloc(&request)) {
                                Ok(blocks) => {
                                    made += 1;
                                    assert!(blocks.size() >= requested);
                                    fresh.settle([blocks]);
                                }
                                Err(error) => {
                                    refused += 1;
                                    // There are few messages, so a sample is enough.
                                    if !top_down
                                        && !flags.contains(gpu_buddy::GpuBuddyAllocFlag::Clear)
                                    {
                                        let values = [start, end, requested, min_block_size];
                                        explains(&error, &NAMES, &values);
                                    }
                                    fresh.is_fresh();
                                }
                            }
                        }
                    }
                }
            }
        }
        assert!(made > 0 && refused > 0);
        fresh.end();
    });
}

/// Only one number is extreme: the message is about that one.
#[test]
fn the_argument_that_is_wrong_is_named() {
    let fresh = Fresh::new(16 * MIB, CHUNK);
    let right = AllocRequest {
        start: 0,
        end: MIB,
        size: 3 * CHUNK,
        min_block_size: CHUNK,
        range: true,
        ..AllocRequest::default()
    };
    type Position = (fn(&mut AllocRequest) -> &mut u64, &'static [&'static str]);
    let positions: [Position; 4] = [
        (|request| &mut request.size, &["size ", "bytes from offset"]),
        (|request| &mut request.min_block_size, &["min_block_size", "rounded up to"]),
        (|request| &mut request.start, &["range", "bytes from offset"]),
        (|request| &mut request.end, &["range"]),
    ];
    for (position, names) in positions {
        let mut refused = 0;
        for value in extremes(CHUNK) {
            let mut request = right.clone();
            *position(&mut request) = value;
            match fresh.buddy.alloc(&request) {
                Ok(blocks) => fresh.settle([blocks]),
                Err(Error::NoSpace { requested, .. }) => assert_eq!(requested, request.size),
                Err(error) => {
                    explains(&error, names, &[value]);
                    refused += 1;
                }
            }
        }
        assert!(refused >= 5, "{names:?}: {refused}");
    }
    fresh.end();
}

/// The same through `alloc_blocks` of the crate and of the kernel's binding.
#[rstest]
fn alloc_blocks(#[values(0, 1, 2, 3, 4, 5)] space: usize) {
    within(LIMIT, move |note| {
        let (size, chunk) = SPACES[space];
        let fresh = Fresh::new(size, chunk);
        let params = GpuBuddyParams { base_offset: 0, size, chunk_size: alignment(chunk) };
        let kernel = binding::GpuBuddy::new(params).expect("a space");
        let values = extremes(chunk);
        let ranges = values.iter().flat_map(|&start| values.map(|end| start..end));
        let modes: Vec<_> = [GpuBuddyAllocMode::Simple, GpuBuddyAllocMode::TopDown]
            .into_iter()
            .chain(ranges.map(GpuBuddyAllocMode::Range))
            .collect();
        for mode in &modes {
            for requested in values {
                for min_block_size in values {
                    let Some(align) = Alignment::new_checked(min_block_size as usize) else {
                        continue;
                    };
                    note((mode.clone(), requested, min_block_size));
                    let flags = GpuBuddyAllocFlags::empty();
                    let allocate =
                        || fresh.buddy.alloc_blocks(mode.clone(), requested, align, flags);
                    let result = soon(allocate);
                    let number = result.as_ref().err().map(|error| -error.errno().code());
                    let same = kernel.alloc_blocks(mode.clone(), requested, align, flags).make();
                    assert_eq!(number, same.err().map(|error| error.to_errno()));
                    match result {
                        Ok(blocks) => fresh.settle([blocks]),
                        Err(error) => {
                            let mut values = vec![requested, min_block_size];
                            if let GpuBuddyAllocMode::Range(range) = mode {
                                values.extend([range.start, range.end]);
                            }
                            explains(&error, &NAMES, &values);
                        }
                    }
                }
            }
        }
        fresh.end();
    });
}

#[rstest]
fn trim(#[values(0, 1, 2, 3, 4, 5)] space: usize) {
    within(LIMIT, move |note| {
        let (size, chunk) = SPACES[space];
        let fresh = Fresh::new(size, chunk);
        let managed = fresh.buddy.size();
        let whole = 1 << managed.ilog2();
        // The largest block, the smallest, several blocks, and none.
        for length in [whole, chunk, managed.min(whole | chunk), 0] {
            let starts = extremes(chunk).into_iter().map(Some).chain([None]);
            for start in starts {
                for new_size in extremes(chunk) {
                    note((length, start, new_size));
                    let request = AllocRequest {
                        size: length.max(chunk),
                        min_block_size: chunk,
                        ..AllocRequest::default()
                    };
                    // More chunks than one request takes.
                    let Ok(mut blocks) = fresh.buddy.alloc(&request) else { continue };
                    if length == 0 {
                        drop(blocks.take(0));
                        assert!(blocks.is_empty());
                    }
                    let before = blocks.size();
                    match soon(|| blocks.trim(start, new_size)) {
                        Ok(()) => assert_eq!(blocks.size(), new_size),
                        Err(error) => {
                            assert_eq!(blocks.size(), before);
                            let count = blocks.iter().count() as u64;
                            let names = ["trimmed to", "new size", "begin at", "offset", "blocks"];
                            explains(&error, &names, &[start.unwrap_or(0), new_size, count]);
                        }
                    }
                    fresh.settle([blocks]);
                }
            }
        }
        fresh.end();
    });
}

#[rstest]
fn take_and_look_up(#[values(0, 1, 2, 3, 4, 5)] space: usize) {
    within(LIMIT, move |note| {
        let (size, chunk) = SPACES[space];
        let fresh = Fresh::new(size, chunk);
        let request =
            AllocRequest { size: chunk, min_block_size: chunk, ..AllocRequest::default() };
        let mut blocks = fresh.buddy.alloc(&request).expect("room");
        for value in extremes(chunk) {
            note(value);
            match soon(|| fresh.buddy.block_at(value)) {
                Ok(_) => assert!(value < fresh.buddy.size()),
                Err(error) => {
                    assert!(value >= fresh.buddy.size());
                    explains(&error, &["offset"], &[value]);
                }
            }
            let taken = soon(|| blocks.take(value as usize));
            assert_eq!(taken.is_some(), value == 0);
            if let Some(taken) = taken {
                assert!(blocks.is_empty());
                assert_eq!(taken.size(), chunk);
                blocks = taken;
            }
        }
        fresh.settle([blocks]);
        fresh.end();
    });
}
