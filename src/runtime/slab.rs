//! The slab allocator and `kmalloc` of the C. In a scope with an arena, memory comes from the
//! arena; otherwise from `malloc`.

use core::ffi::{c_char, c_void};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::arena::{Arena, calloc, free};

/// The number of live objects outside all arenas.
static OUTSIDE: AtomicUsize = AtomicUsize::new(0);

pub(super) fn live_outside() -> usize {
    OUTSIDE.load(Ordering::Relaxed)
}

/// Whether the creation of caches fails.
static CACHES_FAIL: AtomicBool = AtomicBool::new(false);

/// Makes the creation of caches fail. For tests: see [`crate::ffi`].
pub(crate) fn fail_caches(fail: bool) {
    CACHES_FAIL.store(fail, Ordering::Relaxed);
}

pub(super) extern "C-unwind" fn cache_create(_name: *const c_char, _object_size: usize) -> bool {
    !CACHES_FAIL.load(Ordering::Relaxed)
}

/// Calls `f` with the arena of this thread's scope.
fn with_arena<R>(f: impl FnOnce(&mut Arena) -> R) -> Option<R> {
    // SAFETY: the scope was made from an exclusive reference that is still borrowed by the caller
    // of `run`. `f` does not call the C, so there is only one reference at a time.
    unsafe { super::scope::arena().as_mut() }.map(f)
}

pub(super) extern "C-unwind" fn object_alloc(size: usize) -> *mut c_void {
    with_arena(|arena| arena.decide(|arena| arena.object_alloc(size)))
        .unwrap_or_else(|| outside_alloc(1, size))
}

/// # Safety
///
/// As for `kmem_cache_free`.
pub(super) unsafe extern "C-unwind" fn object_free(object: *mut c_void, size: usize) {
    // SAFETY: as the caller says; an object is freed where it was allocated, in its allocator's
    // scope or outside all.
    if with_arena(|arena| unsafe { arena.object_free(object, size) }).is_none() {
        // SAFETY: as above.
        unsafe { outside_free(object) };
    }
}

pub(super) extern "C-unwind" fn kmalloc(count: usize, size: usize) -> *mut c_void {
    with_arena(|arena| arena.decide(|arena| arena.kmalloc(count, size)))
        .unwrap_or_else(|| outside_alloc(count, size))
}

/// # Safety
///
/// As for `kfree`.
pub(super) unsafe extern "C-unwind" fn kfree(memory: *mut c_void) {
    // SAFETY: as the caller says; memory is freed where it was allocated.
    if with_arena(|arena| unsafe { arena.kfree(memory) }).is_none() {
        // SAFETY: as above.
        unsafe { outside_free(memory) };
    }
}

fn outside_alloc(count: usize, size: usize) -> *mut c_void {
    // SAFETY: calloc takes any two numbers, and fails if their product overflows.
    let memory = unsafe { calloc(count, size) };
    if !memory.is_null() {
        OUTSIDE.fetch_add(1, Ordering::Relaxed);
    }
    memory
}

/// # Safety
///
/// `memory` is null, or came from `outside_alloc` and nothing uses it any more.
unsafe fn outside_free(memory: *mut c_void) {
    if !memory.is_null() {
        OUTSIDE.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: it came from calloc.
        unsafe { free(memory) };
    }
}
