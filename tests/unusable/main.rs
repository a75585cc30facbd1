//! Allocators that a BUG has made unusable: what is refused from there on, what
//! is kept, what others notice, and that nothing is lost for good. What is
//! promised is in docs/assurance/unusable.md.
//!
//! Some BUGs are provoked by spoiling a block behind the safe API's back. Those
//! in the middle of every function are planted in a copy of the kernel, with
//! which this same file is built again; see [`a_bug_in_the_middle_of_each_function`].

#[path = "../common/mod.rs"]
mod common;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::ptr;
use std::sync::Barrier;
use std::thread;

use crate::common::{self, CHUNK, MIB, exact, params, simple, space};
use gpu_buddy::fault::Fault;
use gpu_buddy::{
    AllocRequest, AllocatedBlock, AllocatedBlocks, Errno, Error, GpuBuddy,
    GpuBuddyAllocFlags as Flags, GpuBuddyAllocMode as Mode, KERNEL, KernelBug, ffi,
};
use rstest::rstest;

fn none() -> Flags {
    Flags::empty()
}

/// Where a block of the safe API is, which does not tell.
fn address(block: AllocatedBlock<'_>, buddy: &GpuBuddy) -> *mut ffi::gpu_buddy_block {
    // SAFETY: a block is two pointers: to itself, and to its allocator. If it
    // became something else, this would not compile.
    let pointers: [*mut ffi::gpu_buddy_block; 2] = unsafe { std::mem::transmute(block) };
    let is_handle = |pointer: &*mut ffi::gpu_buddy_block| {
        ptr::eq(pointer.cast_const().cast::<GpuBuddy>(), buddy)
    };
    let [block] = pointers.iter().filter(|pointer| !is_handle(pointer)).collect::<Vec<_>>()[..]
    else {
        panic!("one of the two is the handle");
    };
    *block
}

/// # Safety
///
/// `block` is alive, and nothing else looks at it.
unsafe fn set_state(block: *mut ffi::gpu_buddy_block, state: u32) {
    // SAFETY: as the caller says.
    unsafe {
        let header = (*block).header & !ffi::GPU_BUDDY_HEADER_STATE;
        (*block).header = header | u64::from(state);
    }
}

/// Makes the block at `index` say that it is free: freeing it is a BUG.
fn spoil(blocks: &AllocatedBlocks, index: usize) {
    let block = address(blocks.iter().nth(index).expect("a block"), blocks.buddy());
    // SAFETY: the block is alive, and this thread alone uses the allocator.
    unsafe { set_state(block, ffi::GPU_BUDDY_FREE) };
}

/// Makes the free buddy of the only block say that it is allocated, though it
/// is in a tree of free blocks: allocating it is a BUG.
fn spoil_buddy(blocks: &AllocatedBlocks) {
    let block = address(blocks.iter().next().expect("a block"), blocks.buddy());
    // SAFETY: a block that is no root is one of the two halves of its parent;
    // this thread alone uses the allocator.
    unsafe {
        let parent = (*block).parent;
        let (left, right) = ((*parent).left, (*parent).right);
        set_state(if left == block { right } else { left }, ffi::GPU_BUDDY_ALLOCATED);
    }
}

/// A call that ends in a BUG, on an allocator in use; returns the BUG as that
/// call reports it, or none where the call reports nothing.
type Provoke = fn(&GpuBuddy) -> Option<Error>;

fn free(buddy: &GpuBuddy) -> Option<Error> {
    let blocks = exact(buddy, 0, CHUNK).expect("free");
    spoil(&blocks, 0);
    drop(blocks);
    None
}

/// The last of several: those before it are freed.
fn free_several(buddy: &GpuBuddy) -> Option<Error> {
    let blocks = exact(buddy, 0, 7 * CHUNK).expect("free");
    spoil(&blocks, 2);
    blocks.free_cleared();
    None
}

fn free_as_allocated(buddy: &GpuBuddy) -> Option<Error> {
    let blocks = exact(buddy, 0, 7 * CHUNK).expect("free");
    spoil(&blocks, 1);
    blocks.free_as_allocated();
    None
}

/// After a first block has been taken, which nobody will ever get.
fn alloc(buddy: &GpuBuddy) -> Option<Error> {
    let kept = exact(buddy, 0, CHUNK).expect("free");
    spoil_buddy(&kept);
    // It is to be the only free block of its size.
    let _others = [131, 195].map(|chunk| exact(buddy, chunk * CHUNK, CHUNK).expect("free"));
    simple(buddy, 3 * CHUNK, none()).err()
}

/// Where the series does not survive it; elsewhere it is no BUG.
fn out_of_memory(buddy: &GpuBuddy) -> Option<Error> {
    let mut blocks = exact(buddy, 0, 8 * CHUNK).expect("free");
    buddy.set_fault(Some(Fault::nth(3)));
    let error = blocks.trim(None, CHUNK).expect_err("out of memory");
    // The C had the block when it was stopped.
    assert!(blocks.is_empty());
    Some(error)
}

/// Each method of an unusable allocator and of its allocations.
fn assert_unusable(buddy: &GpuBuddy, held: &mut AllocatedBlocks) {
    let bug = buddy.bug().expect("unusable");
    let error = Error::Bug(bug);
    assert_eq!(error.errno(), Errno::ENOTRECOVERABLE);
    assert_eq!(error.to_string(), format!("{bug}; the allocator is unusable"));
    let (chunk, size) = (buddy.chunk_size().as_u64(), buddy.size());

    // What would run the C, or read what it may have left half done.
    let min_block_size = buddy.chunk_size();
    let blocks = buddy.alloc_blocks(Mode::Simple, chunk, min_block_size, none());
    assert_eq!(blocks.map(|_| ()), Err(error));
    let request = AllocRequest { size: chunk, min_block_size: chunk, ..AllocRequest::default() };
    assert_eq!(buddy.alloc(&request).map(|_| ()), Err(error));
    assert_eq!(buddy.reset_clear(true), Err(error));
    assert_eq!(buddy.block_at(0), Err(error));
    assert_eq!(buddy.statistics(), Err(error));
    assert_eq!(buddy.largest_free_block(), Err(error));
    assert_eq!(buddy.longest_free_run(), Err(error));
    assert_eq!(buddy.snapshot(), Err(error));
    assert_eq!(buddy.check_integrity(), Err(error));
    assert_eq!(buddy.print(), Err(error));
    assert_eq!(held.trim(None, chunk), Err(error));

    // Wrong arguments are still called wrong.
    assert_eq!(buddy.block_at(size).map_err(|error| error.errno()), Err(Errno::ENXIO));
    let blocks = buddy.alloc_blocks(Mode::Simple, 0, min_block_size, none());
    assert_eq!(blocks.map(|_| ()).map_err(|error| error.errno()), Err(Errno::EINVAL));

    // What is known without the C.
    assert_eq!(buddy.params(), (0, size, chunk));
    assert!(buddy.avail() <= size && buddy.clear_avail() <= size);
    assert!(buddy.live_objects() > 0);
    buddy.set_fault(Some(Fault::nth(1)));
    assert_eq!(buddy.fault().map(|fault| fault.attempts()), Some(0));
    assert_eq!(buddy.to_string(), format!("{error}\n"));
    assert!(format!("{buddy:?}").starts_with("GpuBuddy {"));

    // What is allocated stays allocated, and freeing it does nothing.
    let (avail, objects) = (buddy.avail(), buddy.live_objects());
    assert_eq!((held.size(), held.iter().count()), (3 * chunk, 2));
    assert!(format!("{held:?}").contains("offset: "));
    assert_eq!(held.buddy().bug(), Some(bug));
    let taken = held.take(0).expect("two blocks");
    assert_eq!(taken.size() + held.size(), 3 * chunk);
    taken.free_cleared();
    let clone = buddy.clone();
    let clone = clone.fini().expect_err("not the last handle");
    assert_eq!((clone.avail(), clone.live_objects()), (avail, objects));
    assert_eq!((clone.bug(), clone.warnings()), (Some(bug), vec![]));
}

trait Params {
    fn params(&self) -> (u64, u64, u64);
}

impl Params for GpuBuddy {
    fn params(&self) -> (u64, u64, u64) {
        (self.base_offset(), self.size(), self.chunk_size().as_u64())
    }
}

/// The whole story of one BUG. Returns it.
fn unusable(chunk: u64, provoke: impl FnOnce(&GpuBuddy) -> Option<Error>) -> KernelBug {
    let other = space(MIB);
    let kept = simple(&other, CHUNK, none()).expect("room");

    let buddy = GpuBuddy::new(params(0, 256 * chunk, chunk)).expect("a space");
    let mut held = exact(&buddy, 128 * chunk, 3 * chunk).expect("free");
    let dropped = exact(&buddy, 192 * chunk, 3 * chunk).expect("free");
    let early = buddy.clone();
    let reported = provoke(&buddy);
    let bug = buddy.bug().expect("unusable");
    assert!([None, Some(Error::Bug(bug))].contains(&reported), "{reported:?}");

    assert_unusable(&buddy, &mut held);
    let objects = buddy.live_objects();
    dropped.free_as_allocated();
    drop(held);
    drop(early);
    assert_eq!(buddy.live_objects(), objects);
    // On another thread, too.
    let buddy = thread::spawn(move || buddy).join().expect("no panic");
    let fini = buddy.fini().expect("the last handle");
    assert_eq!((fini.bug, fini.leaked_objects), (Some(bug), 0));

    // Others never noticed.
    assert_eq!((other.bug(), other.check_integrity()), (None, Ok(vec![])));
    drop(kept);
    let fini = other.fini().expect("the last handle");
    assert_eq!((fini.bug, fini.leaked_objects, fini.warnings), (None, 0, vec![]));
    bug
}

#[rstest]
#[case::free(free)]
#[case::free_several(free_several)]
#[case::free_as_allocated(free_as_allocated)]
#[case::alloc(alloc)]
fn after_a_bug(#[case] provoke: Provoke) {
    let bug = unusable(CHUNK, provoke);
    assert_eq!(bug.file, "drivers/gpu/buddy.c");
    let line = common::kernel_line(bug.file, bug.line);
    assert!(line.starts_with("BUG_ON("), "{line}");
}

/// Memory runs out in the middle of a trim, at each place in turn.
#[test]
fn an_error_in_the_middle_of_a_trim() {
    if !KERNEL.has("undo_splits") {
        assert_eq!(unusable(CHUNK, out_of_memory), KernelBug::OUT_OF_MEMORY);
        return;
    }
    // Three splits, of two blocks each.
    for nth in 1..=6 {
        for times in [1, u64::MAX] {
            let buddy = space(MIB);
            let mut blocks = exact(&buddy, 0, 8 * CHUNK).expect("free");
            let before = buddy.snapshot();
            buddy.set_fault(Some(Fault::nth(nth).times(times)));
            assert_eq!(blocks.trim(None, CHUNK), Err(Error::NoMemory));
            // Nothing has changed, and nothing is unusable.
            assert_eq!((buddy.bug(), buddy.snapshot()), (None, before));
            assert_eq!(buddy.check_integrity(), Ok(vec![]));
            buddy.set_fault(None);
            assert_eq!(blocks.trim(None, CHUNK), Ok(()));
            drop(blocks);
            let fini = buddy.fini().expect("the last handle");
            assert_eq!((fini.bug, fini.leaked_objects, fini.warnings), (None, 0, vec![]));
        }
    }
}

/// The BUG is kept inside of the drop, so a panic may be on its way.
#[test]
fn a_bug_while_a_panic_unwinds() {
    let buddy = space(MIB);
    let payload = catch_unwind(AssertUnwindSafe(|| {
        let blocks = exact(&buddy, 0, CHUNK).expect("free");
        spoil(&blocks, 0);
        let _other = exact(&buddy, MIB / 2, CHUNK).expect("free");
        resume_unwind(Box::new(7));
    }))
    .expect_err("it panics");
    assert_eq!(payload.downcast_ref(), Some(&7));
    assert!(buddy.bug().is_some());
    assert!(buddy.fini().is_ok());
}

/// The last that is left is the allocation whose drop is a BUG.
#[test]
fn a_bug_in_the_drop_that_is_the_last() {
    let buddy = space(MIB);
    let blocks = exact(&buddy, 0, 7 * CHUNK).expect("free");
    spoil(&blocks, 0);
    drop(buddy);
    drop(blocks);
}

/// One thread meets the BUG; the others get an error from then on, at once, and
/// go on with what they have.
#[test]
fn others_that_share_it_get_the_error() {
    const THREADS: u64 = 8;
    let buddy = space(8 * MIB);
    let spoilt = exact(&buddy, 0, CHUNK).expect("free");
    // Held, or it would be freed by another thread, and merged with the spoilt one.
    let _neighbour = exact(&buddy, CHUNK, CHUNK).expect("free");
    spoil(&spoilt, 0);
    let barrier = Barrier::new(THREADS as usize + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (buddy, barrier) = (buddy.clone(), &barrier);
                scope.spawn(move || {
                    let mut held = Vec::new();
                    barrier.wait();
                    loop {
                        match simple(&buddy, 3 * CHUNK, none()) {
                            Ok(blocks) => held.push(blocks),
                            Err(error @ Error::Bug(_)) => break (error, held),
                            Err(error) => assert_eq!(error.errno(), Errno::ENOSPC),
                        }
                        if held.len() > 40 {
                            held.clear();
                        }
                    }
                })
            })
            .collect();
        barrier.wait();
        drop(spoilt);
        let expected = Error::Bug(buddy.bug().expect("unusable"));
        for thread in threads {
            let (error, held) = thread.join().expect("no panic");
            assert_eq!(error, expected);
            assert!(held.iter().all(|blocks| blocks.size() == 3 * CHUNK));
        }
    });
    assert!(buddy.bug().is_some());
}

/// Spaces whose chunk size is one of these meet what is planted in the copy of
/// the kernel; no other does.
mod plant {
    pub const BLOCK_ALLOC: u64 = 1 << 13;
    pub const SPLIT: u64 = 1 << 14;
    pub const FREE: u64 = 1 << 15;
    pub const MERGE: u64 = 1 << 16;
    pub const PRINT: u64 = 1 << 17;
    pub const ADDR_TO_BLOCK: u64 = 1 << 18;
    pub const LOCK_TOLD: u64 = 1 << 19;
    /// A warning, in each function that the safe API calls.
    pub const WARN: u64 = 1 << 20;
}

const ALLOCATOR: &str = "drivers/gpu/buddy.c";
const HEADER: &str = "include/linux/gpu_buddy.h";

/// Puts a statement in the first place of the C function `name`; false where
/// there is no such function.
fn plant(text: &mut String, name: &str, statement: &str) -> bool {
    let call = format!("{name}(");
    let body = text.match_indices(&call).find_map(|(start, _)| {
        let end = start + text[start..].find(')')?;
        text[end..].starts_with(")\n{").then_some(end + ")\n{".len())
    });
    if let Some(body) = body {
        text.insert_str(body, statement);
    }
    body.is_some()
}

/// Builds this file with a kernel in which a BUG is planted in the middle of
/// each function, and runs the tests of [`planted`].
#[test]
fn a_bug_in_the_middle_of_each_function() {
    if std::env::var_os(PLANTED).is_some() {
        return;
    }
    let kernel = tempfile::tempdir().expect("a folder");
    let copied = Command::new("cp")
        .arg("-RL")
        .arg(common::kernel_tree().join("."))
        .arg(kernel.path())
        .status();
    assert!(copied.expect("cp runs").success());
    // The functions that a later kernel may have in another form.
    let mut missing = Vec::new();
    let mut edit = |file: &str, plants: &[(&str, u64, bool)]| {
        let path = kernel.path().join(file);
        let mut text = fs::read_to_string(&path).expect(file);
        for &(function, chunk_size, needed) in plants {
            let statement = match chunk_size {
                plant::LOCK_TOLD => {
                    format!("WARN_ON(mm->chunk_size == {chunk_size} && mm->lock_dep_map);")
                }
                // Before anything is initialised.
                plant::WARN if function == "gpu_buddy_init" => {
                    format!("WARN_ON(chunk_size == {chunk_size});")
                }
                plant::WARN => format!("WARN_ON(mm->chunk_size == {chunk_size});"),
                _ => format!("BUG_ON(mm->chunk_size == {chunk_size});"),
            };
            if !plant(&mut text, function, &statement) && needed {
                missing.push(format!("{function}() in {file}"));
            }
        }
        fs::write(&path, text).expect(file);
    };
    edit(
        ALLOCATOR,
        &[
            ("gpu_block_alloc", plant::BLOCK_ALLOC, true),
            ("split_block", plant::SPLIT, true),
            ("__gpu_buddy_free", plant::FREE, true),
            ("__force_merge", plant::MERGE, true),
            ("gpu_buddy_print", plant::PRINT, true),
            ("gpu_buddy_allocated_addr_to_block", plant::ADDR_TO_BLOCK, false),
            ("gpu_buddy_init", plant::WARN, true),
            ("gpu_buddy_fini", plant::WARN, true),
            ("int gpu_buddy_alloc_blocks", plant::WARN, true),
            ("gpu_buddy_block_trim", plant::WARN, true),
            ("gpu_buddy_free_list", plant::WARN, true),
            ("gpu_buddy_free_block", plant::WARN, true),
            ("gpu_buddy_reset_clear", plant::WARN, true),
            ("gpu_buddy_print", plant::WARN, true),
        ],
    );
    if cfg!(lockdep) {
        // The first of the two is the one that asserts.
        edit(HEADER, &[("gpu_buddy_driver_lock_held", plant::LOCK_TOLD, true)]);
    }
    if !missing.is_empty() {
        common::not_found("a BUG in the middle of each function", &missing.join(", no "));
        return;
    }

    let target = common::nested_target();
    let output = Command::new(env!("CARGO"))
        .current_dir(common::project())
        .args(["test", "--offline", "--no-default-features", "--test", "unusable", "--target-dir"])
        .arg(target.path())
        .args(["--", "--ignored", "planted::"])
        .env("GPU_BUDDY_KERNEL", kernel.path())
        .env(PLANTED, "1")
        .output()
        .expect("cargo starts");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    let tests = if cfg!(lockdep) { 15 } else { 14 };
    assert!(stdout.contains(&format!("{tests} passed; 0 failed")), "{stdout}");
}

/// Set where the kernel that is compiled in is the copy.
const PLANTED: &str = "GPU_BUDDY_PLANTED";

/// Run by [`a_bug_in_the_middle_of_each_function`], in a build of its own.
mod planted {
    use super::*;

    fn new(chunk: u64) -> gpu_buddy::Result<GpuBuddy> {
        GpuBuddy::new(params(0, 256 * chunk, chunk))
    }

    fn is_planted() -> bool {
        let planted = std::env::var_os(PLANTED).is_some();
        if !planted {
            let why = "only a_bug_in_the_middle_of_each_function builds it";
            common::not_tested("a kernel with planted BUGs", why);
        }
        planted
    }

    fn assert_planted(bug: KernelBug, chunk: u64) {
        assert_eq!(bug.condition, format!("mm->chunk_size == {chunk}"));
        assert_eq!(bug.file, ALLOCATOR);
    }

    #[test]
    #[ignore = "for a kernel with planted BUGs"]
    fn init() {
        if !is_planted() {
            return;
        }
        let Err(Error::Bug(bug)) = new(plant::BLOCK_ALLOC) else { panic!("no BUG") };
        assert_planted(bug, plant::BLOCK_ALLOC);
        // And the fault that was lent comes back with what it has counted.
        let mut fault = Fault::none();
        let result = GpuBuddy::with_fault(
            params(0, 256 * plant::BLOCK_ALLOC, plant::BLOCK_ALLOC),
            &mut fault,
        );
        assert!(result.is_err());
        assert!(fault.attempts() > 3, "it came in the middle: {fault:?}");
    }

    /// The space of this chunk size cannot be split, so nothing is held there.
    fn whole(provoke: impl FnOnce(&GpuBuddy, AllocatedBlocks)) {
        let buddy = new(plant::SPLIT).expect("a space");
        let all = exact(&buddy, 0, buddy.size()).expect("free");
        let objects = buddy.live_objects();
        provoke(&buddy, all);
        assert_planted(buddy.bug().expect("unusable"), plant::SPLIT);
        assert_eq!(buddy.live_objects(), objects);
        let fini = buddy.fini().expect("the last handle");
        assert_eq!((fini.warnings, fini.leaked_objects), (vec![], 0));
    }

    #[test]
    #[ignore = "for a kernel with planted BUGs"]
    fn alloc() {
        if !is_planted() {
            return;
        }
        whole(|buddy, all| {
            drop(all);
            assert!(matches!(simple(buddy, plant::SPLIT, none()), Err(Error::Bug(_))));
        });
    }

    /// The block is free already, and will be in parts.
    #[test]
    #[ignore = "for a kernel with planted BUGs"]
    fn trim() {
        if !is_planted() {
            return;
        }
        whole(|buddy, mut all| {
            let avail = buddy.avail();
            assert!(matches!(all.trim(None, plant::SPLIT), Err(Error::Bug(_))));
            // In the middle: it was counted as free, and is nobody's now.
            assert_eq!((avail, buddy.avail()), (0, buddy.size()));
            assert!(all.is_empty());
            assert_eq!((all.size(), format!("{all:?}")), (0, "[]".to_owned()));
            assert!(all.take(0).is_none());
            assert!(matches!(all.trim(None, plant::SPLIT), Err(Error::Bug(_))));
        });
    }

    #[test]
    #[ignore = "for a kernel with planted BUGs"]
    fn drop_blocks() {
        if is_planted() {
            let bug = unusable(plant::FREE, |buddy| {
                drop(exact(buddy, 0, 7 * plant::FREE).expect("free"));
                None
            });
            assert_planted(bug, plant::FREE);
        }
    }

    #[test]
    #[ignore = "for a kernel with planted BUGs"]
    fn free_as_allocated() {
        if is_planted() {
            let bug = unusable(plant::FREE, |buddy| {
                exact(buddy, 0, 7 * plant::FREE).expect("free").free_as_allocated();
                None
            });
            assert_planted(bug, plant::FREE);
        }
    }

    #[test]
    #[ignore = "for a kernel with planted BUGs"]
    fn reset_clear() {
        if is_planted() {
            let bug = unusable(plant::MERGE, |buddy| buddy.reset_clear(true).err());
            assert_planted(bug, plant::MERGE);
        }
    }

    #[test]
    #[ignore = "for a kernel with planted BUGs"]
    fn print() {
        if is_planted() {
            let bug = unusable(plant::PRINT, |buddy| buddy.print().err());
            assert_planted(bug, plant::PRINT);
        }
    }

    #[test]
    #[ignore = "for a kernel with planted BUGs"]
    fn block_at() {
        if is_planted() && KERNEL.has("addr_to_block") {
            let bug = unusable(plant::ADDR_TO_BLOCK, |buddy| buddy.block_at(0).err());
            assert_planted(bug, plant::ADDR_TO_BLOCK);
        }
    }

    /// In `fini`, and where the last handle is dropped, which tells nobody.
    #[test]
    #[ignore = "for a kernel with planted BUGs"]
    fn fini() {
        if !is_planted() {
            return;
        }
        let buddy = new(plant::MERGE).expect("a space");
        let fini = buddy.fini().expect("the last handle");
        assert_planted(fini.bug.expect("a BUG"), plant::MERGE);
        assert_eq!((fini.warnings, fini.leaked_objects), (vec![], 0));

        drop(new(plant::MERGE).expect("a space"));
        let buddy = new(plant::MERGE).expect("a space");
        let blocks = simple(&buddy, plant::MERGE, none()).expect("room");
        drop(buddy);
        drop(blocks);
    }

    /// A logger that panics. Each call of the C has a warning for it.
    mod logger {
        use std::cell::Cell;

        use log::{LevelFilter, Log, Metadata, Record};

        use super::*;

        thread_local! {
            static PANICS: Cell<bool> = const { Cell::new(false) };
            static LINES: Cell<usize> = const { Cell::new(0) };
        }

        struct Panicking;

        impl Log for Panicking {
            fn enabled(&self, _: &Metadata<'_>) -> bool {
                PANICS.get()
            }

            fn log(&self, record: &Record<'_>) {
                if PANICS.get() {
                    LINES.set(LINES.get() + 1);
                    resume_unwind(Box::new(record.args().to_string()));
                }
            }

            fn flush(&self) {}
        }

        /// Checks that the logger's panic comes out of `f`, and that it was asked to log
        /// so many lines.
        fn panics(lines: usize, f: impl FnOnce()) {
            let payload = payload(lines, f);
            let text = payload.downcast_ref::<String>().expect("the logger's");
            assert!(text.contains(&format!("chunk_size == {}", plant::WARN)), "{text}");
        }

        fn payload(lines: usize, f: impl FnOnce()) -> Box<dyn std::any::Any + Send> {
            let _ = log::set_logger(&Panicking);
            log::set_max_level(LevelFilter::Warn);
            LINES.set(0);
            PANICS.set(true);
            let result = catch_unwind(AssertUnwindSafe(f));
            PANICS.set(false);
            assert_eq!(LINES.get(), lines);
            result.expect_err("a panic")
        }

        fn alloc(buddy: &GpuBuddy) -> AllocatedBlocks {
            exact(buddy, 0, 7 * plant::WARN).expect("free")
        }

        /// It has everything back, and is torn down without a complaint.
        fn assert_whole(buddy: GpuBuddy) {
            assert_eq!((buddy.bug(), buddy.avail()), (None, buddy.size()));
            assert_eq!(buddy.check_integrity(), Ok(vec![]));
            let fini = buddy.fini().expect("the last handle");
            assert_eq!((fini.bug, fini.leaked_objects), (None, 0));
            for warning in fini.warnings {
                assert!(warning.condition.contains("chunk_size == "), "{warning}");
            }
        }

        #[test]
        #[ignore = "for a kernel with planted BUGs"]
        fn new_and_fini() {
            if !is_planted() {
                return;
            }
            // The C's fini warns as well: what was made is torn down.
            panics(2, || drop(new(plant::WARN)));
            let params = params(0, 256 * plant::WARN, plant::WARN);
            let mut fault = Fault::none();
            panics(2, || drop(GpuBuddy::with_fault(params, &mut fault)));
            assert!(fault.attempts() > 3, "{fault:?}");

            let buddy = new(plant::WARN).expect("a space");
            panics(1, || drop(buddy));
            let buddy = new(plant::WARN).expect("a space");
            panics(1, || drop(buddy.fini()));
        }

        #[test]
        #[ignore = "for a kernel with planted BUGs"]
        fn alloc_and_trim() {
            if !is_planted() {
                return;
            }
            let buddy = new(plant::WARN).expect("a space");
            // What was allocated is freed again.
            panics(2, || drop(alloc(&buddy)));
            assert_eq!(buddy.avail(), buddy.size());

            let mut blocks = exact(&buddy, 0, 8 * plant::WARN).expect("free");
            panics(1, || blocks.trim(None, 3 * plant::WARN).expect("inside"));
            assert_eq!(blocks.size(), 3 * plant::WARN);
            assert_eq!(buddy.avail(), buddy.size() - blocks.size());
            drop(blocks);
            assert_whole(buddy);
        }

        #[test]
        #[ignore = "for a kernel with planted BUGs"]
        fn free() {
            if !is_planted() {
                return;
            }
            let buddy = new(plant::WARN).expect("a space");
            let blocks = alloc(&buddy);
            panics(1, || drop(blocks));
            let blocks = alloc(&buddy);
            panics(1, || blocks.free_cleared());
            let blocks = alloc(&buddy);
            panics(1, || blocks.free_as_allocated());
            let several: Vec<_> =
                (0..3).map(|_| simple(&buddy, plant::WARN, none()).expect("room")).collect();
            panics(3, || drop(several));
            assert_whole(buddy);

            // Where it is the last handle, that goes too.
            let blocks = alloc(&new(plant::WARN).expect("a space"));
            panics(2, || drop(blocks));
            let blocks = alloc(&new(plant::WARN).expect("a space"));
            panics(2, || blocks.free_cleared());
        }

        #[test]
        #[ignore = "for a kernel with planted BUGs"]
        fn print_and_reset_clear() {
            if !is_planted() {
                return;
            }
            let buddy = new(plant::WARN).expect("a space");
            panics(1, || drop(buddy.print()));
            panics(1, || buddy.reset_clear(true).expect("usable"));
            assert_eq!(buddy.clear_avail(), buddy.size());
            assert_whole(buddy);
        }

        /// A second panic would abort the process.
        #[test]
        #[ignore = "for a kernel with planted BUGs"]
        fn while_a_panic_unwinds() {
            if !is_planted() {
                return;
            }
            let buddy = new(plant::WARN).expect("a space");
            let blocks = alloc(&buddy);
            let other = alloc(&new(plant::WARN).expect("a space"));
            let payload = payload(3, || {
                let _held = (blocks, other);
                resume_unwind(Box::new(7));
            });
            assert_eq!(payload.downcast_ref(), Some(&7));
            assert_whole(buddy);
        }
    }

    /// Each function of the C that asserts its lock was told of it, and is
    /// called with it held: the only warnings are the planted ones, which say
    /// that it was told. And which methods do not call the C.
    #[cfg(lockdep)]
    #[test]
    #[ignore = "for a kernel with planted BUGs"]
    fn the_c_is_told_of_the_lock() {
        if !is_planted() || !cfg!(debug_assertions) {
            return;
        }
        let chunk = plant::LOCK_TOLD;
        let buddy = new(chunk).expect("a space");
        let mut seen = 0;
        let mut entered = |f: &mut dyn FnMut()| {
            f();
            let warnings = buddy.warnings();
            let new = warnings.len() - seen;
            seen = warnings.len();
            for warning in warnings {
                assert!(warning.condition.contains("lock_dep_map"), "{warning}");
                assert!(warning.condition.contains("chunk_size"), "without the lock: {warning}");
            }
            new > 0
        };
        let alloc =
            || buddy.alloc_blocks(Mode::Simple, 4 * chunk, common::alignment(chunk), none());

        // Into the C.
        let mut held = Vec::new();
        assert!(entered(&mut || held.push(alloc().expect("room"))));
        assert!(entered(&mut || held.push(alloc().expect("room"))));
        assert!(entered(&mut || held.push(alloc().expect("room"))));
        assert!(entered(&mut || held[0].trim(None, 3 * chunk).expect("inside")));
        assert!(entered(&mut || drop(held.pop())));
        assert!(entered(&mut || held.pop().expect("a second").free_as_allocated()));
        let mut other = alloc().ok();
        assert!(entered(&mut || other.take().expect("room").free_cleared()));
        assert!(entered(&mut || buddy.reset_clear(false).expect("usable")));
        assert!(entered(&mut || drop(buddy.print().expect("usable"))));
        assert!(entered(&mut || drop(buddy.to_string())));
        if KERNEL.has("addr_to_block") {
            assert!(entered(&mut || assert_eq!(buddy.block_at(0), Ok(None))));
        }

        // Under the lock, but not into the C.
        assert!(!entered(&mut || {
            let _ = (buddy.avail(), buddy.clear_avail(), buddy.live_objects());
            let _ = (buddy.warnings(), buddy.bug(), buddy.fault(), buddy.set_fault(None));
            let _ = (buddy.snapshot(), buddy.statistics(), buddy.check_integrity());
            let _ = (buddy.largest_free_block(), buddy.longest_free_run());
            let _ = format!("{buddy:?}");
        }));
        // Without the lock.
        assert!(!entered(&mut || {
            let _ = (buddy.base_offset(), buddy.size(), buddy.chunk_size(), buddy.clone());
            let blocks = &held[0];
            let _ = (blocks.is_empty(), blocks.size(), blocks.buddy(), format!("{blocks:?}"));
            for block in blocks {
                let _ = (block.offset(), block.order(), block.size(), block.is_clear());
                let _ = block.info();
            }
        }));
        assert!(!entered(&mut || {
            let taken = held[0].take(0);
            held.extend(taken);
        }));
    }
}
