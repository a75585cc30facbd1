//! The slab: which memory the C gets. Inside a scope it is that of the scope's
//! arena, outside of all it is `malloc`'s.

use core::ffi::{c_char, c_void};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::arena::{Arena, calloc, free};

/// Objects alive outside of every arena.
static OUTSIDE: AtomicUsize = AtomicUsize::new(0);

pub(super) fn live_outside() -> usize {
    OUTSIDE.load(Ordering::Relaxed)
}

/// Whether no cache can be made.
static CACHES_FAIL: AtomicBool = AtomicBool::new(false);

/// Lets the making of caches fail. For tests: see [`crate::ffi`].
pub(crate) fn fail_caches(fail: bool) {
    CACHES_FAIL.store(fail, Ordering::Relaxed);
}

pub(super) extern "C-unwind" fn cache_create(_name: *const c_char, _object_size: usize) -> bool {
    !CACHES_FAIL.load(Ordering::Relaxed)
}

/// The arena of the scope that this thread is in.
fn with_arena<R>(f: impl FnOnce(&mut Arena) -> R) -> Option<R> {
    // SAFETY: the scope was made from an exclusive reference that lives as long
    // as the scope. `f` does not call the C, so there is one reference at a time.
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
    // SAFETY: an object is freed where it was allocated: inside the scope of its
    // allocator, or outside of all.
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
    // SAFETY: as for objects.
    if with_arena(|arena| unsafe { arena.kfree(memory) }).is_none() {
        // SAFETY: as above.
        unsafe { outside_free(memory) };
    }
}

fn outside_alloc(count: usize, size: usize) -> *mut c_void {
    // SAFETY: calloc takes any two numbers and fails where they overflow.
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
