//! Every public function takes every number, in every position: it comes back
//! soon, takes little memory, and what it refuses it explains. Whether it agrees
//! with the C is for `arguments.rs`.

use std::time::{Duration, Instant};

use crate::common::{CHUNK, KIB, MIB, alignment, within};
use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::{Implementation, KernelC, Lockstep, NotCreated, Operation, Settings, Space};
use gpu_buddy::diff::{ParseSizeError, Trace, format_size, parse_size};
use gpu_buddy::fault::Fault;
use gpu_buddy::kernel::gpu::buddy as binding;
use gpu_buddy::kernel::init::PinInit;
use gpu_buddy::module::Module;
use gpu_buddy::{
    Alignment, AllocRequest, AllocatedBlocks, Errno, Error, GpuBuddy, GpuBuddyAllocFlags,
    GpuBuddyAllocMode, GpuBuddyParams, InvalidArgument, KERNEL,
};
use rstest::rstest;

/// A whole table takes seconds.
const LIMIT: Duration = Duration::from_secs(300);

/// One call is quick. The machine may be busy with others.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// The objects that one call may leave: blocks of each order on the way down to
/// each end of what is allocated, and what is allocated itself, with a margin.
const MOST_OBJECTS: usize = 4 * 64;

/// The extremes, with those that are made from a chunk size.
fn extremes(chunk: u64) -> [u64; 10] {
    [0, 1, chunk - 1, chunk, chunk + 1, 1 << 31, 1 << 32, 1 << 44, 1 << 63, u64::MAX]
}

/// Runs a call and checks that it did not take long.
fn soon<R: std::fmt::Debug>(call: impl FnOnce() -> R) -> R {
    let started = Instant::now();
    let result = call();
    assert!(started.elapsed() < CALL_LIMIT, "{:?}: {result:?}", started.elapsed());
    result
}

/// An error explains itself: it has a known reason, and its text has the name
/// of an argument and the value of one.
fn explains(error: &Error, names: &[&str], values: &[u64]) {
    assert_ne!(*error, InvalidArgument::Unknown.into());
    assert!(!matches!(error, Error::Bug(_) | Error::Other(_) | Error::NoMemory), "{error:?}");
    let text = error.to_string();
    assert!(names.iter().any(|name| text.contains(name)), "'{text}' names none of {names:?}");
    let has = |value: &u64| {
        let digits = |byte: char| !byte.is_ascii_digit();
        text.split(digits).any(|number| number == value.to_string())
    };
    assert!(values.iter().any(has), "'{text}' has none of {values:?}");
}

/// A space, and what it has when all is free.
struct Fresh {
    buddy: GpuBuddy,
    objects: usize,
}

impl Fresh {
    fn new(size: u64, chunk: u64) -> Self {
        let params = GpuBuddyParams { base_offset: 0, size, chunk_size: alignment(chunk) };
        let buddy = GpuBuddy::new(params).expect("a space");
        let objects = buddy.live_objects();
        // Five arrays or so, some of which have an entry for each order, and a root
        // for each bit of the size.
        assert!(objects < MOST_OBJECTS, "{objects} objects");
        Self { buddy, objects }
    }

    /// Checks what a call has left, frees it and checks what is left then.
    fn settle(&self, left: impl IntoIterator<Item = AllocatedBlocks>) {
        let objects = self.buddy.live_objects();
        assert!(objects <= self.objects + MOST_OBJECTS, "{objects} objects");
        drop(left.into_iter().collect::<Vec<_>>());
        self.is_fresh();
    }

    fn is_fresh(&self) {
        assert_eq!(self.buddy.avail(), self.buddy.size());
        assert_eq!(self.buddy.live_objects(), self.objects);
    }

    fn end(self) {
        let end = self.buddy.fini().expect("the last handle");
        assert_eq!((end.warnings.len(), end.bug, end.leaked_objects), (0, None, 0));
    }
}

#[test]
fn new() {
    within(LIMIT, |note| {
        let mut made = 0;
        for chunk in extremes(CHUNK) {
            let Some(chunk_size) = Alignment::new_checked(chunk as usize) else { continue };
            for size in extremes(CHUNK).into_iter().chain(extremes(chunk.max(2))) {
                for base_offset in extremes(CHUNK) {
                    note((chunk, size, base_offset));
                    let params = GpuBuddyParams { base_offset, size, chunk_size };
                    let result = soon(|| GpuBuddy::new(params));
                    assert_eq!(binding::GpuBuddy::new(params).is_ok(), result.is_ok());
                    match result {
                        Ok(buddy) => {
                            made += 1;
                            assert_eq!(buddy.base_offset(), base_offset);
                            assert_eq!((buddy.avail(), buddy.clear_avail()), (buddy.size(), 0));
                            assert!(buddy.size() <= size && size - buddy.size() < chunk);
                            assert!(buddy.live_objects() < MOST_OBJECTS);
                            reads(&buddy);
                        }
                        Err(error) => explains(
                            &error,
                            &["size", "chunk size", "base offset"],
                            &[chunk, size, base_offset],
                        ),
                    }
                }
            }
        }
        assert!(made > 100, "{made}");
    });
}

/// Whatever the space is, its state can be read and written out.
fn reads(buddy: &GpuBuddy) {
    let snapshot = soon(|| buddy.snapshot()).expect("usable");
    assert!(snapshot.blocks.len() <= MOST_OBJECTS);
    assert_eq!(snapshot.statistics(), buddy.statistics().expect("usable"));
    assert_eq!(snapshot.longest_free_run(), 0..buddy.size());
    let largest = 1 << buddy.size().ilog2();
    assert_eq!(buddy.largest_free_block().expect("usable"), largest);
    assert_eq!(snapshot.largest_free_block(), largest);
    assert_eq!(buddy.check_integrity().expect("usable"), []);
    assert!(!buddy.to_string().is_empty() && !snapshot.to_string().is_empty());
    assert!(!format!("{buddy:?}").is_empty());
}

#[test]
fn alignments() {
    for value in extremes(CHUNK).into_iter().chain((0..64).map(|log2| 1 << log2)) {
        let alignment = Alignment::new_checked(value as usize);
        assert_eq!(alignment.is_some(), value.is_power_of_two(), "{value}");
        if let Some(alignment) = alignment {
            assert_eq!((alignment.as_u64(), alignment.as_usize()), (value, value as usize));
            assert_eq!(1 << alignment.log2(), value);
            assert!(alignment.to_string().contains(&value.to_string()));
        }
    }
}

/// A size and a chunk size, at both ends of what there can be.
const SPACES: [(u64, u64); 6] = [
    (CHUNK, CHUNK),
    (16 * MIB, CHUNK),
    ((1 << 44) + 3 * CHUNK, CHUNK),
    (u64::MAX, CHUNK),
    (u64::MAX, 1 << 44),
    (1 << 63, 1 << 63),
];

/// What an error of an allocation may call its arguments.
const NAMES: [&str; 4] = ["size", "min_block_size", "range", "bytes"];

/// Every flag, and every mode, that an allocation can have.
fn manners() -> impl Iterator<Item = (bool, bool, GpuBuddyAllocFlags)> {
    (0..32_u64).map(|bits| {
        let flags = GpuBuddyAllocFlags::all();
        let flags = flags.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
        (bits & 8 != 0, bits & 16 != 0, flags.map(|(_, flag)| flag).collect())
    })
}

/// Every number in every position, all of them at once.
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
                                    // The same few messages, so that a sample will do.
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

/// One number is extreme and all else is right: the message is about that one.
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

/// The same by way of the two bindings, whose ranges and alignments are checked
/// before.
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
        // The largest block there is, the smallest, several, and none.
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

/// The settings of a fault, of which all numbers and all floats are.
fn faults() -> Vec<Fault> {
    let floats = [0.0, -0.0, 0.5, 1.0, -1.0, 2.0, f64::MAX, f64::MIN_POSITIVE];
    let floats = floats.into_iter().chain([f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    let mut faults = vec![Fault::none()];
    for value in extremes(CHUNK) {
        faults.extend([Fault::nth(value), Fault::interval(value), Fault::none().times(value)]);
        faults.extend(floats.clone().map(|float| Fault::probability(float, value)));
        for times in extremes(CHUNK) {
            faults.extend([Fault::nth(value).times(times), Fault::interval(value).times(times)]);
        }
    }
    faults
}

#[test]
fn fault_settings() {
    within(LIMIT, |note| {
        let params =
            GpuBuddyParams { base_offset: 0, size: 60 * KIB, chunk_size: alignment(CHUNK) };
        let request = AllocRequest { size: CHUNK, min_block_size: CHUNK, ..Default::default() };
        for fault in faults() {
            note(fault.clone());
            let mut counted = fault.clone();
            let made = soon(|| GpuBuddy::with_fault(params, &mut counted));
            assert!(counted.attempts() >= counted.failed());
            assert_eq!(made.err(), (counted.failed() > 0).then_some(Error::NoMemory));

            let buddy = GpuBuddy::new(params).expect("a space");
            buddy.set_fault(Some(fault));
            match soon(|| buddy.alloc(&request)) {
                Ok(blocks) => assert_eq!(blocks.size(), CHUNK),
                // The search for room goes on where a block cannot be split.
                Err(Error::NoMemory | Error::NoSpace { .. }) => {}
                Err(error) => assert!(!KERNEL.has("undo_splits"), "{error:?}"),
            }
            let counted = buddy.set_fault(None).expect("it was set");
            assert!(counted.attempts() >= counted.failed());
            if buddy.bug().is_none() {
                assert_eq!(buddy.avail(), buddy.size());
                assert_eq!(buddy.alloc(&request).expect("memory is back").size(), CHUNK);
            }
        }
    });
}

#[test]
fn sizes_as_text() {
    for value in extremes(CHUNK).into_iter().chain((0..64).map(|log2| 1 << log2)) {
        assert_eq!(parse_size(&value.to_string()), Ok(value));
        assert_eq!(parse_size(&format!("{value:#x}")), Ok(value));
        assert_eq!(parse_size(&format_size(value)), Ok(value));
        for (power, suffix) in (1..).zip("KMGTPE".chars()) {
            let expected = value.checked_mul(1 << (10 * power)).ok_or(ParseSizeError::TooLarge);
            assert_eq!(parse_size(&format!("{value}{suffix}")), expected);
        }
    }
    let digits = "9".repeat(1 << 20);
    for text in ["18446744073709551616", "0x10000000000000000", "16E", &digits] {
        let error = soon(|| parse_size(text)).expect_err("too large");
        assert_eq!(error.to_string(), "expected a size that fits in 64 bits");
    }
    for text in [
        "", " ", "K", "0x", "0xK", "-1", "+1", "1 K", "1KK", "1B", "1.5K", "0X1", "１", "4é", "é",
        "\0", "4\0", "\u{301}K", "0x-1", "1_000", "ſ", "4ſ", "∞",
    ] {
        let error = parse_size(text).expect_err("no size");
        assert_eq!(error.to_string(), "expected a size such as 4096, 0x1000 or 4K", "'{text}'");
    }
}

/// A trace that is refused says where and why.
#[test]
fn numbers_in_traces() {
    let huge = ["18446744073709551616", "16E", "0x10000000000000000"];
    for number in huge {
        for line in [
            format!("space size={number} chunk=4K"),
            format!("space size=4K chunk={number}"),
            format!("space size=4K chunk=4K\na = alloc {number}"),
            format!("space size=4K chunk=4K\na = alloc 4K align={number}"),
            format!("space size=4K chunk=4K\na = alloc 4K range={number}..4K"),
            format!("space size=4K chunk=4K\na = alloc 4K range=0..{number}"),
            format!("space size=4K chunk=4K\na = alloc 4K start={number}"),
            format!("space size=4K chunk=4K\na = alloc 4K end={number}"),
            format!("space size=4K chunk=4K\na = alloc 4K\ntrim a {number}"),
            format!("space size=4K chunk=4K\na = alloc 4K\ntrim a 4K start={number}"),
            format!("space size=4K chunk=4K\nlookup {number}"),
        ] {
            let error = line.parse::<Trace>().expect_err("too large").to_string();
            assert!(error.contains("fits in 64 bits") && error.contains(number), "{error}");
        }
    }
    for line in ["a = alloc 4K\nfree a[18446744073709551616]", "fail-nth 18446744073709551616"] {
        let text = format!("space size=4K chunk=4K\n{line}");
        let error = text.parse::<Trace>().expect_err("too large").to_string();
        assert!(error.contains("fits in 64 bits"), "{error}");
    }
}

/// The laboratory: spaces and operations of extremes, on the C and on its twin.
#[test]
fn spaces_in_lockstep() {
    within(LIMIT, |note| {
        let mut made = 0;
        for chunk_size in extremes(CHUNK) {
            for size in extremes(CHUNK).into_iter().chain(extremes(chunk_size.clamp(2, 1 << 62))) {
                let space = Space::new(size, chunk_size);
                note(space);
                let settings = Settings { full_check_interval: 1, ..Settings::default() };
                let started = Instant::now();
                match Lockstep::<KernelC, Reference>::new(space, settings) {
                    Ok(mut pair) => {
                        made += 1;
                        operations_in_lockstep(&mut pair, chunk_size);
                    }
                    Err(error) => assert_eq!(error, NotCreated::Refused(Errno::EINVAL)),
                }
                assert!(started.elapsed() < 4 * CALL_LIMIT, "{space:?}: {:?}", started.elapsed());
            }
        }
        assert!(made >= 20, "{made}");
    });
}

fn operations_in_lockstep(pair: &mut Lockstep<KernelC, Reference>, chunk_size: u64) {
    let request =
        AllocRequest { size: chunk_size, min_block_size: chunk_size, ..AllocRequest::default() };
    let mut operations = vec![Operation::Alloc { id: 0, request }];
    for value in extremes(chunk_size) {
        operations.push(Operation::BlockAt { offset: value });
        operations.push(Operation::FreeBlock {
            id: 0,
            index: (value as usize).max(1),
            cleared: false,
        });
        for new_size in extremes(chunk_size) {
            operations.push(Operation::Trim { id: 0, start: Some(value), new_size });
        }
    }
    let twin = Reference::models(Module::compiled_in().features());
    for operation in &operations {
        let step = pair.step(operation);
        assert!(!twin || step.findings.is_empty(), "{operation:?}: {:?}", step.findings);
    }
    let Space { size, chunk_size, .. } = pair.subject().space();
    let size = size - size % chunk_size;
    let end = pair.finish();
    assert!(!twin || end.findings.is_empty(), "{:?}", end.findings);
    assert_eq!(pair.subject().avail(), size - taken(pair));
}

/// What [`Lockstep::finish`] allocates at its end, to show that it can.
fn taken(pair: &Lockstep<KernelC, Reference>) -> u64 {
    let chunk_size = pair.subject().space().chunk_size;
    pair.blocks().iter().map(|block| chunk_size << block.order).sum()
}
