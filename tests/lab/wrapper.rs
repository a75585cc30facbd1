//! Wrappers over the raw layer under `wrapper::find`: a right one passes, and each of several
//! planted mistakes is found.

use std::panic::catch_unwind;
use std::sync::{Mutex, PoisonError};

use gpu_buddy::diff::torture::Options;
use gpu_buddy::diff::{Block, Capabilities, Capability, Implementation, Promise, Space};
use gpu_buddy::fault::Fault;
use gpu_buddy::wrapper::{self, Misuse, Monitor};
use gpu_buddy::{AllocRequest, Errno, ffi};
use rstest::rstest;

#[path = "../../examples/my_wrapper.rs"]
#[allow(dead_code, reason = "its `main` is not run")]
mod my_wrapper;

const NONE: u8 = 0;
const NO_LOCK: u8 = 1;
const NO_LOCK_TO_FREE: u8 = 2;
const OTHER_LOCK: u8 = 3;
const NEVER_TORN_DOWN: u8 = 4;
const FREES_TWICE: u8 = 5;
const TORN_DOWN_TWICE: u8 = 6;
const FORGETS_A_BLOCK: u8 = 7;
const WRONG_CONTAINER: u8 = 8;
const WRONG_ORDER: u8 = 9;
const HIDES_NO_MEMORY: u8 = 10;
const LEAKS_ON_FAILURE: u8 = 11;
const TORN_DOWN_IN_USE: u8 = 12;
const OTHER_ALLOCATOR: u8 = 13;
const PANICS_WITHOUT_MEMORY: u8 = 14;
const PANICS_IN_DROP: u8 = 15;

/// An allocator and its lock.
struct Locked {
    lock: Mutex<()>,
    other: Mutex<()>,
    mm: Box<core::cell::UnsafeCell<ffi::gpu_buddy>>,
}

/// A wrapper with one mistake.
struct Wrapper<const FLAW: u8> {
    main: Locked,
    second: Option<Locked>,
}

impl Locked {
    fn new(space: Space) -> Result<Self, Errno> {
        let mm = Box::new(core::cell::UnsafeCell::new(ffi::gpu_buddy::default()));
        // SAFETY: the allocator stays in its box.
        Errno::check(unsafe { ffi::gpu_buddy_init(mm.get(), space.size, space.chunk_size) })?;
        Ok(Self { lock: Mutex::new(()), other: Mutex::new(()), mm })
    }

    /// Calls `f` with the lock held, or with another, or with none.
    fn locked<R>(&self, lock: Option<&Mutex<()>>, f: impl FnOnce(*mut ffi::gpu_buddy) -> R) -> R {
        let _guard = lock.map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner));
        let _held = lock.map(ffi::hold);
        f(self.mm.get())
    }

    fn fini(&self) {
        // SAFETY: it was initialised, and is not used after this.
        self.locked(Some(&self.lock), |mm| unsafe { ffi::gpu_buddy_fini(mm) });
    }
}

/// An allocation of a wrapper: a list, which its drop frees.
struct Allocated(Box<ffi::list_head>);

impl<const FLAW: u8> Implementation for Wrapper<FLAW> {
    type Allocation = Allocated;

    fn capabilities(&self) -> Capabilities {
        Capability::Alignment | Capability::RoundsUp
    }

    fn create(space: Space) -> Result<Self, Errno> {
        let main = match Locked::new(space) {
            Err(_) if FLAW == HIDES_NO_MEMORY => return Err(Errno::EINVAL),
            Err(_) if FLAW == PANICS_WITHOUT_MEMORY => panic!("there is always memory"),
            main => main?,
        };
        let second = (FLAW == OTHER_ALLOCATOR).then(|| Locked::new(space)).transpose();
        let second = second.inspect_err(|_| main.fini())?;
        if FLAW == LEAKS_ON_FAILURE && !space.size.is_multiple_of(3) {
            return Err(Errno::EOPNOTSUPP);
        }
        Ok(Self { main, second })
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<Allocated, Errno> {
        let AllocRequest { size, min_block_size, .. } = *request;
        let mut list = ffi::list_head::boxed();
        let lock = match FLAW {
            NO_LOCK => None,
            OTHER_LOCK => Some(&self.main.other),
            _ => Some(&self.main.lock),
        };
        // SAFETY: the list is empty and stays in its box, and no other thread is there.
        Errno::check(self.main.locked(lock, |mm| unsafe {
            ffi::gpu_buddy_alloc_blocks(mm, 0, 0, size, min_block_size, &raw mut *list, 0)
        }))?;
        Ok(Allocated(list))
    }

    fn blocks(&self, allocation: &Allocated, blocks: &mut Vec<Block>) {
        // SAFETY: all on the list are blocks that are allocated.
        let found = unsafe { ffi::blocks(&*allocation.0) };
        let shift = usize::from(FLAW == WRONG_CONTAINER) * size_of::<u64>();
        // SAFETY: as above; a word further there is a pointer to read.
        let info =
            |block: *mut ffi::gpu_buddy_block| unsafe { ffi::block_info(block.byte_add(shift)) };
        let skip = usize::from(FLAW == FORGETS_A_BLOCK && found_several(allocation));
        blocks.extend(found.skip(skip).map(|block| Block::from(info(block))));
        if FLAW == WRONG_ORDER {
            blocks.reverse();
        }
    }

    fn free(&mut self, mut allocation: Allocated, _cleared: bool) {
        let lock = Some(&self.main.lock).filter(|_| ![NO_LOCK, NO_LOCK_TO_FREE].contains(&FLAW));
        let of = self.second.as_ref().unwrap_or(&self.main);
        let list = &raw mut *allocation.0;
        // SAFETY: the list is one of allocated blocks; what is planted is seen before the C.
        of.locked(lock, |mm| unsafe {
            if FLAW == FREES_TWICE && found_several(&allocation) {
                let first = ffi::blocks(list).next().expect("there are several");
                ffi::gpu_buddy_free_block(mm, first);
            }
            if FLAW == TORN_DOWN_IN_USE {
                ffi::gpu_buddy_fini(mm);
            }
            ffi::gpu_buddy_free_list(mm, list, 0);
        });
    }

    fn avail(&self) -> u64 {
        // SAFETY: it is initialised, and no other thread is there.
        unsafe { (*self.main.mm.get()).avail }
    }
}

fn found_several(allocation: &Allocated) -> bool {
    allocation.0.next != allocation.0.prev
}

impl<const FLAW: u8> Drop for Wrapper<FLAW> {
    fn drop(&mut self) {
        if FLAW == NEVER_TORN_DOWN {
            return;
        }
        self.main.fini();
        assert!(FLAW != PANICS_IN_DROP, "in a destructor");
        if FLAW == TORN_DOWN_TWICE {
            self.main.fini();
        }
        self.second.iter().for_each(Locked::fini);
    }
}

/// The first finding, as it is printed, and how many operations show it.
fn find<const FLAW: u8>(seed: u64) -> Option<(String, usize)> {
    let options = Options { seed, operations: 20_000, ..Options::default() };
    // The right one is run to the end.
    let found = wrapper::find::<Wrapper<FLAW>>(&options).1;
    found.map(|failure| (failure.finding.to_string(), failure.trace.operations.len()))
}

#[test]
fn a_right_wrapper_passes() {
    assert_eq!(find::<NONE>(1), None);
    let options = Options { operations: 5000, ..Options::default() };
    let report = wrapper::check::<Wrapper<NONE>>(&options);
    assert!(report.operations > 5000 && report.allocators > 10, "{report}");
}

#[rstest]
#[case::no_lock(find::<NO_LOCK>, "lock-held: gpu_buddy_alloc_blocks()")]
#[case::no_lock_to_free(find::<NO_LOCK_TO_FREE>, "lock-held: gpu_buddy_free_list()")]
#[case::other_lock(find::<OTHER_LOCK>, "lock-held: gpu_buddy_free_list()")]
#[case::never_torn_down(find::<NEVER_TORN_DOWN>, "torn-down: gpu_buddy_fini() was not called")]
#[case::frees_twice(find::<FREES_TWICE>, "freed-once: gpu_buddy_free_list()")]
#[case::torn_down_twice(find::<TORN_DOWN_TWICE>, "allocator-alive: gpu_buddy_fini()")]
#[case::forgets_a_block(find::<FORGETS_A_BLOCK>, "divergence in blocks")]
#[case::wrong_container(find::<WRONG_CONTAINER>, "divergence in blocks")]
#[case::wrong_order(find::<WRONG_ORDER>, "divergence in blocks")]
#[case::hides_no_memory(find::<HIDES_NO_MEMORY>, "known-error: gpu_buddy_init() returned ENOMEM")]
#[case::leaks_on_failure(find::<LEAKS_ON_FAILURE>, "torn-down: gpu_buddy_fini() was not called")]
#[case::torn_down_in_use(find::<TORN_DOWN_IN_USE>, "torn-down: gpu_buddy_fini() is called with")]
#[case::other_allocator(find::<OTHER_ALLOCATOR>, "freed-once: gpu_buddy_free_list() is given a block of")]
#[case::panics_without_memory(find::<PANICS_WITHOUT_MEMORY>, "no-panic: panicked at")]
#[case::panics_in_drop(find::<PANICS_IN_DROP>, "no-panic: panicked at")]
fn a_planted_mistake_is_found(
    #[case] find: fn(u64) -> Option<(String, usize)>,
    #[case] says: &str,
    #[values(1, 2)] seed: u64,
) {
    let (finding, operations) = find(seed).expect("it is found");
    assert!(finding.starts_with(says), "{finding}");
    assert!(operations <= 4, "{operations} operations: {finding}");
}

#[test]
fn the_example_finds_its_double_free() {
    let (_, failure) = wrapper::find::<my_wrapper::Wrapper>(&Options::default());
    let failure = failure.expect("it is planted");
    assert!(failure.finding.to_string().starts_with("freed-once: "), "{failure}");
    let lines = include_str!("../../examples/my_wrapper.rs").lines().count();
    assert!(lines <= 60, "the documentation says 60 lines, and there are {lines}");
}

fn seen(monitor: &Monitor) -> Vec<Misuse> {
    monitor.take_seen().misuses
}

/// A BUG does not unwind under a monitor, not even out of a destructor in a panic.
#[test]
fn a_bug_in_a_destructor_is_recorded() {
    struct Frees(*mut ffi::gpu_buddy, *mut ffi::gpu_buddy_block);
    impl Drop for Frees {
        fn drop(&mut self) {
            // SAFETY: the allocator is initialised. Its block says that it is free.
            unsafe { ffi::gpu_buddy_free_block(self.0, self.1) };
        }
    }
    let monitor = Monitor::new();
    let mm = Box::into_raw(Box::new(ffi::gpu_buddy::default()));
    let mut list = ffi::list_head::boxed();
    let list = &raw mut *list;
    // SAFETY: the allocator and the list stay where they are, and this thread alone has them.
    unsafe {
        monitor.run(|| assert_eq!(ffi::gpu_buddy_init(mm, 1 << 20, 4096), 0));
        let _held = ffi::hold(&*mm);
        assert_eq!(ffi::gpu_buddy_alloc_blocks(mm, 0, 0, 4096, 4096, list, 0), 0);
        let block = ffi::blocks(list).next().unwrap();
        (*block).header ^= u64::from(ffi::GPU_BUDDY_ALLOCATED ^ ffi::GPU_BUDDY_FREE);
        let unwound = catch_unwind(|| {
            let _frees = Frees(mm, block);
            panic!("one");
        });
        assert!(unwound.is_err());
        let bug = monitor.take_seen().bug.expect("a free of what is free is a BUG");
        assert!(bug.file.ends_with("buddy.c"), "{bug}");
        // The allocator is not used any more.
        assert_eq!(
            ffi::gpu_buddy_alloc_blocks(mm, 0, 0, 4096, 4096, list, 0),
            -Errno::ENOTRECOVERABLE.code()
        );
        ffi::gpu_buddy_fini(mm);
    }
    assert_eq!((seen(&monitor), monitor.finish()), (vec![], vec![]));
}

#[test]
fn memory_of_the_raw_layer_can_fail() {
    let monitor = Monitor::new();
    let mm = Box::into_raw(Box::new(ffi::gpu_buddy::default()));
    // SAFETY: the allocator stays where it is, and this thread alone has it.
    let init = || unsafe { ffi::gpu_buddy_init(mm, 1 << 20, 4096) };
    monitor.set_fault(Some(Fault::nth(2)));
    assert_eq!(monitor.run(init), -Errno::ENOMEM.code());
    let fault = monitor.set_fault(None).unwrap();
    assert_eq!((fault.attempts() >= 2, fault.failed()), (true, 1));
    assert!(monitor.take_seen().faulted);
    assert_eq!((monitor.live_objects(), monitor.finish()), (0, vec![]));

    assert_eq!(monitor.run(init), 0);
    assert!(monitor.live_objects() > 0 && !monitor.take_seen().faulted);
    assert_eq!(monitor.finish(), [Misuse::NotTornDown { allocators: 1 }]);
    assert_eq!(monitor.run(init), -Errno::ENOTRECOVERABLE.code());
    assert_eq!(seen(&monitor), [Misuse::InitialisedTwice]);
    // SAFETY: it is initialised, and after this not used any more.
    unsafe { ffi::gpu_buddy_fini(mm) };
    assert_eq!((monitor.live_objects(), monitor.finish()), (0, vec![]));
    // SAFETY: it came from a box.
    drop(unsafe { Box::from_raw(mm) });
}

/// Each kind of misuse breaks a promise that has an explanation.
#[test]
fn promises_of_wrappers_are_named() {
    let misuse = Misuse::NotAllocated { function: "gpu_buddy_free_list" };
    assert_eq!(misuse.promise(), Promise::FreedOnce);
    assert!(Promise::ALL.contains(&Promise::LockHeld));
}

/// Lockdep's own assertions in the C know a lock that a thread says it holds.
#[test]
fn the_c_is_told_of_a_lock() {
    if !gpu_buddy::KERNEL.has("lockdep") {
        return;
    }
    let captured = ffi::capture(|| {
        let mm = Box::into_raw(Box::new(ffi::gpu_buddy::default()));
        // SAFETY: the allocator stays where it is, and this thread alone has it.
        unsafe {
            assert_eq!(ffi::gpu_buddy_init(mm, 1 << 20, 4096), 0);
            let map = ffi::lockdep_map { name: c"mine".as_ptr() };
            set_lock(mm, &map);
            let held = ffi::hold(&map);
            ffi::gpu_buddy_reset_clear(mm, true);
            drop(held);
            ffi::gpu_buddy_reset_clear(mm, false);
            let _held = ffi::hold(&map);
            ffi::gpu_buddy_fini(mm);
            drop(Box::from_raw(mm));
        }
    });
    assert_eq!(captured.warnings.len(), 1, "{captured:?}");
}

/// As `gpu_buddy_driver_set_lock()`, which is a macro of the C.
///
/// # Safety
///
/// `mm` is initialised, and the lock outlives it.
unsafe fn set_lock(mm: *mut ffi::gpu_buddy, map: &ffi::lockdep_map) {
    #[cfg(lockdep)]
    // SAFETY: as the caller says.
    unsafe {
        (*mm).lock_dep_map = core::ptr::from_ref(map).cast_mut();
    }
    #[cfg(not(lockdep))]
    let _ = (mm, map);
}
