//! Every public function gets extreme numbers in every position: it returns soon, takes little
//! memory, and explains what it refuses. Whether it agrees with the C is tested in `arguments`.

mod allocations;
mod fault_settings;
mod lockstep;
mod text;

use std::time::{Duration, Instant};

use crate::common::{CHUNK, KIB, MIB, alignment, within};
use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::{KernelC, Lockstep, NotCreated, Operation, Settings, Space};
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

/// The extreme numbers, among them those near the chunk size.
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

/// Checks that an error explains itself: its reason is known, and its text has the name and
/// the value of an argument.
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

/// A space, and the number of its objects when everything is free.
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

    /// Checks the number of objects after a call, frees what it allocated, and checks again.
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

/// Checks that the state of any space can be read and printed.
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

/// Sizes and chunk sizes, from the smallest to the largest.
const SPACES: [(u64, u64); 6] = [
    (CHUNK, CHUNK),
    (16 * MIB, CHUNK),
    ((1 << 44) + 3 * CHUNK, CHUNK),
    (u64::MAX, CHUNK),
    (u64::MAX, 1 << 44),
    (1 << 63, 1 << 63),
];
