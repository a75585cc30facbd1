//! Memory for the C.
//!
//! An allocator of the safe API owns an [`Arena`]. The C takes from it while it
//! runs inside that allocator's scope, under that allocator's lock: so an arena
//! needs no lock, knows exactly what is alive, and gives back everything at once
//! when it goes. Outside of every scope, memory is `malloc`'s.

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::HashSet;

use super::KernelBug;
use crate::fault::Fault;

unsafe extern "C" {
    fn calloc(count: usize, size: usize) -> *mut c_void;
    fn free(memory: *mut c_void);
}

/// Objects alive outside of every arena.
static OUTSIDE: AtomicUsize = AtomicUsize::new(0);

pub(super) fn live_outside() -> usize {
    OUTSIDE.load(Ordering::Relaxed)
}

/// Objects in the first slab; each further slab doubles, up to the last.
const FIRST_SLAB: usize = 32;
const LAST_SLAB: usize = 4096;

/// With a sanitizer each object is `malloc`'s own, so that a use after free or
/// beyond the end is seen.
const SLABS: bool = !cfg!(sanitized);

/// The memory of one allocator.
pub(crate) struct Arena {
    /// Objects that are free, linked through their first word.
    free: *mut FreeObject,
    /// Size of the objects in the slabs; 0 before the first.
    object_size: usize,
    slabs: Vec<NonNull<c_void>>,
    next_slab: usize,
    /// What kmalloc gave out: a few arrays, and under a sanitizer every object.
    kmallocs: HashSet<NonNull<c_void>>,
    live: usize,
    /// Decides which allocations fail.
    fault: Option<Fault>,
    /// Whether the C may be told that there is no memory. If not, it is stopped
    /// instead.
    recovers: bool,
}

struct FreeObject {
    next: *mut FreeObject,
}

// SAFETY: the pointers are to memory that the arena owns.
unsafe impl Send for Arena {}

impl Arena {
    pub fn new() -> Self {
        Self {
            free: ptr::null_mut(),
            object_size: 0,
            slabs: Vec::new(),
            next_slab: FIRST_SLAB,
            kmallocs: HashSet::new(),
            live: 0,
            fault: None,
            recovers: cfg!(undo_splits),
        }
    }

    /// For `gpu_buddy_init`, which every series recovers from: it is told of
    /// failures, until [`initialised`](Self::initialised).
    pub fn for_init(fault: Option<Fault>) -> Self {
        let mut arena = Self::new();
        arena.fault = fault;
        arena.recovers = true;
        arena
    }

    /// From here on, failures are for the C only where it recovers from them.
    pub fn initialised(&mut self) {
        self.recovers = cfg!(undo_splits);
    }

    /// How many objects are alive, of the slabs and of kmalloc.
    pub fn live(&self) -> usize {
        self.live
    }

    /// What decides over allocations, with what it has counted.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// Replaces what decides over allocations.
    pub fn set_fault(&mut self, fault: Option<Fault>) -> Option<Fault> {
        core::mem::replace(&mut self.fault, fault)
    }

    /// The memory that `alloc` finds, unless the fault says otherwise. Null where
    /// there is none; then again the C may have to be stopped here.
    fn decide(&mut self, alloc: impl FnOnce(&mut Self) -> *mut c_void) -> *mut c_void {
        let mut recovers = self.recovers;
        if let Some(fault) = &mut self.fault
            && fault.should_fail()
        {
            recovers |= fault.allows_corruption();
        } else {
            let memory = alloc(self);
            if !memory.is_null() {
                return memory;
            }
        }
        if !recovers {
            std::panic::resume_unwind(Box::new(KernelBug::OUT_OF_MEMORY));
        }
        ptr::null_mut()
    }

    /// A zeroed object of `size` bytes, or null.
    fn object_alloc(&mut self, size: usize) -> *mut c_void {
        if !SLABS {
            return self.kmalloc(1, size);
        }
        if self.object_size == 0 {
            self.object_size = size.next_multiple_of(align_of::<FreeObject>());
        }
        // The allocator has one cache; another one's objects are kmalloc's.
        if size > self.object_size {
            return self.kmalloc(1, size);
        }
        if self.free.is_null() && !self.grow() {
            return ptr::null_mut();
        }
        let object = self.free;
        // SAFETY: `free` links objects of the slabs that nothing else uses, each
        // of `object_size` bytes, of which `size` are no more.
        unsafe {
            self.free = (*object).next;
            object.cast::<u8>().write_bytes(0, size);
        }
        self.live += 1;
        object.cast()
    }

    /// # Safety
    ///
    /// `object` came from `object_alloc` of this arena with the same `size`, and
    /// nothing uses it any more.
    unsafe fn object_free(&mut self, object: *mut c_void, size: usize) {
        if !SLABS || size > self.object_size {
            // SAFETY: such objects came from `kmalloc`.
            return unsafe { self.kfree(object) };
        }
        let object = object.cast::<FreeObject>();
        // SAFETY: the object is in a slab and nothing else uses it.
        unsafe { (*object).next = self.free };
        self.free = object;
        self.live -= 1;
    }

    /// Another slab; false where there is no memory.
    fn grow(&mut self) -> bool {
        if self.slabs.try_reserve(1).is_err() {
            return false;
        }
        // SAFETY: calloc takes any two numbers.
        let slab = unsafe { calloc(self.next_slab, self.object_size) };
        let Some(slab) = NonNull::new(slab) else {
            return false;
        };
        self.slabs.push(slab);
        // From the last to the first, so that they are given out ascending.
        for index in (0..self.next_slab).rev() {
            // SAFETY: `index` is below the number of objects in the slab.
            let object = unsafe { slab.byte_add(index * self.object_size) }.cast::<FreeObject>();
            // SAFETY: the object is in the slab, with room and alignment for a link.
            unsafe { object.write(FreeObject { next: self.free }) };
            self.free = object.as_ptr();
        }
        self.next_slab = (self.next_slab * 2).min(LAST_SLAB);
        true
    }

    fn kmalloc(&mut self, count: usize, size: usize) -> *mut c_void {
        if self.kmallocs.try_reserve(1).is_err() {
            return ptr::null_mut();
        }
        // SAFETY: calloc takes any two numbers and fails where they overflow.
        let Some(memory) = NonNull::new(unsafe { calloc(count, size) }) else {
            return ptr::null_mut();
        };
        self.kmallocs.insert(memory);
        self.live += 1;
        memory.as_ptr()
    }

    /// # Safety
    ///
    /// `memory` is null, or came from `kmalloc` of this arena and nothing uses
    /// it any more.
    unsafe fn kfree(&mut self, memory: *mut c_void) {
        let Some(memory) = NonNull::new(memory) else {
            return;
        };
        // What is not found is not ours: it was freed before, or is a wrong
        // address. A sanitizer gets it nevertheless, and tells.
        let known = self.kmallocs.remove(&memory);
        self.live -= usize::from(known);
        if known || cfg!(sanitized) {
            // SAFETY: it came from calloc, and was in the set, so once only.
            unsafe { free(memory.as_ptr()) };
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for memory in self.slabs.drain(..).chain(self.kmallocs.drain()) {
            // SAFETY: it came from calloc, and the arena is the only owner.
            unsafe { free(memory.as_ptr()) };
        }
    }
}

/// The arena of the scope that this thread is in.
fn with_arena<R>(f: impl FnOnce(&mut Arena) -> R) -> Option<R> {
    // SAFETY: the scope was made from an exclusive reference that lives as long
    // as the scope. `f` does not call the C, so there is one reference at a time.
    unsafe { super::scope::arena().as_mut() }.map(f)
}

#[unsafe(no_mangle)]
extern "C-unwind" fn gpu_buddy_rt_object_alloc(size: usize) -> *mut c_void {
    with_arena(|arena| arena.decide(|arena| arena.object_alloc(size)))
        .unwrap_or_else(|| outside_alloc(1, size))
}

/// # Safety
///
/// As for `kmem_cache_free`.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn gpu_buddy_rt_object_free(object: *mut c_void, size: usize) {
    // SAFETY: an object is freed where it was allocated: inside the scope of its
    // allocator, or outside of all.
    if with_arena(|arena| unsafe { arena.object_free(object, size) }).is_none() {
        // SAFETY: as above.
        unsafe { outside_free(object) };
    }
}

#[unsafe(no_mangle)]
extern "C-unwind" fn gpu_buddy_rt_kmalloc(count: usize, size: usize) -> *mut c_void {
    with_arena(|arena| arena.decide(|arena| arena.kmalloc(count, size)))
        .unwrap_or_else(|| outside_alloc(count, size))
}

/// # Safety
///
/// As for `kfree`.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn gpu_buddy_rt_kfree(memory: *mut c_void) {
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
