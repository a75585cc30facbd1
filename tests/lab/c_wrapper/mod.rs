//! A wrapper in C under `wrapper::find`: it gets the functions of the raw layer as pointers.

use core::cell::RefCell;
use core::ffi::{c_int, c_uint, c_ulong, c_void};
use core::ptr;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use gpu_buddy::diff::torture::Options;
use gpu_buddy::diff::{Block, Capabilities, Capability, Implementation, Space};
use gpu_buddy::{AllocRequest, Errno, ffi, wrapper};
use libloading::os::unix::Library;
use rstest::rstest;

/// What the C calls, in its order.
#[repr(C)]
struct Functions {
    size_of_buddy: usize,
    init: unsafe extern "C-unwind" fn(*mut ffi::gpu_buddy, u64, u64) -> c_int,
    fini: unsafe extern "C-unwind" fn(*mut ffi::gpu_buddy),
    alloc_blocks: unsafe extern "C-unwind" fn(
        *mut ffi::gpu_buddy,
        u64,
        u64,
        u64,
        u64,
        *mut ffi::list_head,
        c_ulong,
    ) -> c_int,
    free_list: unsafe extern "C-unwind" fn(*mut ffi::gpu_buddy, *mut ffi::list_head, c_uint),
    held: extern "C" fn(*const c_void),
    released: extern "C" fn(*const c_void),
}

static FUNCTIONS: Functions = Functions {
    size_of_buddy: size_of::<ffi::gpu_buddy>(),
    init: ffi::gpu_buddy_init,
    fini: ffi::gpu_buddy_fini,
    alloc_blocks: ffi::gpu_buddy_alloc_blocks,
    free_list: ffi::gpu_buddy_free_list,
    held,
    released,
};

thread_local! {
    /// The locks that the wrapper has said it holds.
    static HELD: RefCell<Vec<ffi::Held<'static>>> = const { RefCell::new(Vec::new()) };
}

extern "C" fn held(lock: *const c_void) {
    // SAFETY: the lock outlives the time in which it is held.
    let lock = unsafe { &*lock.cast::<u8>() };
    HELD.with_borrow_mut(|held| held.push(ffi::hold(lock)));
}

/// The wrapper has one lock, so that the last one is meant.
extern "C" fn released(_lock: *const c_void) {
    HELD.with_borrow_mut(Vec::pop);
}

/// The wrapper's own functions.
struct Manager {
    new: unsafe extern "C-unwind" fn(*const Functions, u64, u64, c_int, *mut *mut c_void) -> c_int,
    alloc: unsafe extern "C-unwind" fn(*mut c_void, u64, u64, *mut ffi::list_head) -> c_int,
    free: unsafe extern "C-unwind" fn(*mut c_void, *mut ffi::list_head),
    buddy: unsafe extern "C-unwind" fn(*const c_void) -> *const ffi::gpu_buddy,
    destroy: unsafe extern "C-unwind" fn(*mut c_void),
    _library: Library,
}

/// Compiles and loads the wrapper.
fn manager() -> &'static Manager {
    static MANAGER: OnceLock<Manager> = OnceLock::new();
    MANAGER.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/c_wrapper/wrapper.c");
        let folder = tempfile::tempdir().unwrap();
        let object = folder.path().join("wrapper.so");
        let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let flags = ["-std=gnu11", "-Wall", "-Werror", "-fexceptions", "-shared", "-fPIC", "-o"];
        let status = Command::new(cc).args(flags).args([&object, &source]).status().unwrap();
        assert!(status.success(), "the wrapper does not compile");
        // SAFETY: the object has no initialisers, and stays loaded.
        let library = unsafe { Library::new(object) }.unwrap();
        // SAFETY: these are the types of the functions in wrapper.c.
        unsafe {
            Manager {
                new: *library.get(b"manager_new").unwrap(),
                alloc: *library.get(b"manager_alloc").unwrap(),
                free: *library.get(b"manager_free").unwrap(),
                buddy: *library.get(b"manager_buddy").unwrap(),
                destroy: *library.get(b"manager_destroy").unwrap(),
                _library: library,
            }
        }
    })
}

const NONE: c_int = 0;
const NO_LOCK_TO_FREE: c_int = 1;
const FREES_TWICE: c_int = 2;
const NEVER_TORN_DOWN: c_int = 3;

/// A manager of the wrapper's, with one mistake.
struct Wrapper<const FLAW: c_int>(*mut c_void);

impl<const FLAW: c_int> Implementation for Wrapper<FLAW> {
    type Allocation = Box<ffi::list_head>;

    fn capabilities(&self) -> Capabilities {
        Capability::Alignment | Capability::RoundsUp
    }

    fn create(space: Space) -> Result<Self, Errno> {
        let mut made = ptr::null_mut();
        let Space { size, chunk_size, .. } = space;
        // SAFETY: the functions live as long as the program.
        let error = unsafe { (manager().new)(&FUNCTIONS, size, chunk_size, FLAW, &raw mut made) };
        Errno::check(error).map(|_| Self(made))
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<Self::Allocation, Errno> {
        let AllocRequest { size, min_block_size, .. } = *request;
        let mut list = ffi::list_head::boxed();
        // SAFETY: the manager is not destroyed yet, and the list stays in its box.
        let error = unsafe { (manager().alloc)(self.0, size, min_block_size, &raw mut *list) };
        Errno::check(error).map(|_| list)
    }

    fn blocks(&self, list: &Self::Allocation, blocks: &mut Vec<Block>) {
        // SAFETY: all on the list are blocks that are allocated.
        let found = unsafe { ffi::blocks(&**list).map(|block| ffi::block_info(block)) };
        blocks.extend(found.map(Block::from));
    }

    fn free(&mut self, mut list: Self::Allocation, _cleared: bool) {
        // SAFETY: the manager is not destroyed yet. What is planted is seen before the C.
        unsafe { (manager().free)(self.0, &raw mut *list) };
    }

    fn avail(&self) -> u64 {
        // SAFETY: the manager is not destroyed yet, and no other thread has it.
        unsafe { (*(manager().buddy)(self.0)).avail }
    }
}

impl<const FLAW: c_int> Drop for Wrapper<FLAW> {
    fn drop(&mut self) {
        // SAFETY: nobody uses it after this.
        unsafe { (manager().destroy)(self.0) };
    }
}

fn find<const FLAW: c_int>() -> Option<String> {
    let options = Options { operations: 20_000, ..Options::default() };
    let failure = wrapper::find::<Wrapper<FLAW>>(&options).1;
    failure.map(|failure| failure.finding.to_string())
}

#[test]
fn a_right_wrapper_in_c_passes() {
    assert_eq!(find::<NONE>(), None);
}

#[rstest]
#[case::no_lock_to_free(find::<NO_LOCK_TO_FREE>, "lock-held: gpu_buddy_free_list()")]
#[case::frees_twice(find::<FREES_TWICE>, "freed-once: gpu_buddy_free_list()")]
#[case::never_torn_down(find::<NEVER_TORN_DOWN>, "torn-down: gpu_buddy_fini() was not called")]
fn a_mistake_in_c_is_found(#[case] find: fn() -> Option<String>, #[case] says: &str) {
    let finding = find().expect("it is found");
    assert!(finding.starts_with(says), "{finding}");
}
