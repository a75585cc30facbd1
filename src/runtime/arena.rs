//! Memory for the C.
//!
//! Each allocator of the safe API owns an [`Arena`]. The C allocates from it while it runs in that
//! allocator's scope and under its lock. So an arena needs no lock, knows exactly what is alive,
//! and frees everything at once when it is dropped. Outside every scope, memory comes from
//! `malloc`.

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use std::collections::HashSet;

use super::KernelBug;
use super::sanitizer;
use super::scope::unwind;
use crate::fault::Fault;

/// The most objects of an allocator under test: 400 MB of blocks. After that, memory fails, so that
/// a call that asks for billions of blocks ends with `ENOMEM`.
pub(crate) const MOST_OBJECTS: usize = 1 << 22;

unsafe extern "C" {
    pub(super) fn calloc(count: usize, size: usize) -> *mut c_void;
    fn malloc(size: usize) -> *mut c_void;
    pub(super) fn free(memory: *mut c_void);
}

/// The number of objects in a slab. Pages that no object has used take no memory.
const SLAB: usize = 4096;

/// The first slab is kept until the arena is dropped. The others are surplus, and are freed only
/// when at most this many objects are alive. Otherwise an allocator that varies around the limit
/// would allocate and free a slab again and again.
const FEW_OBJECTS: usize = SLAB / 2;

/// The memory of one allocator.
pub(crate) struct Arena {
    /// Under a sanitizer, each object comes from `malloc`, so that a use after free or beyond the
    /// end is seen.
    has_slabs: bool,
    /// Free objects of the first slab, linked through their first word.
    free: *mut FreeObject,
    /// Free objects of the surplus, used only if there are no others.
    free_surplus: *mut FreeObject,
    /// The size in bytes of the objects in the slabs; 0 before the first.
    object_size: usize,
    slabs: Vec<NonNull<c_void>>,
    /// How many objects of the last slab were used so far. The rest is in no list.
    used: usize,
    /// Memory from kmalloc: a few arrays, and under a sanitizer every object.
    kmallocs: HashSet<NonNull<c_void>>,
    live: usize,
    /// How many live objects are in the surplus.
    in_surplus: usize,
    /// The most live objects; further allocations fail.
    most: usize,
    /// Decides which allocations fail.
    fault: Option<Fault>,
    /// How many allocations have failed.
    failed: u64,
    /// Whether the init function has succeeded.
    initialised: bool,
    /// Whether the C survives a failed allocation. If not, it is stopped instead.
    recovers: bool,
}

struct FreeObject {
    next: *mut FreeObject,
}

// SAFETY: the pointers are to memory that the arena owns alone.
unsafe impl Send for Arena {}

impl Arena {
    /// For an allocator that survives a failed split (`recovers`), or not.
    pub fn new(recovers: bool) -> Self {
        Self {
            has_slabs: !sanitizer::is_on(),
            free: ptr::null_mut(),
            free_surplus: ptr::null_mut(),
            object_size: 0,
            slabs: Vec::new(),
            used: SLAB,
            kmallocs: HashSet::new(),
            live: 0,
            in_surplus: 0,
            most: usize::MAX,
            fault: None,
            failed: 0,
            initialised: false,
            recovers,
        }
    }

    /// For the init function: every kernel survives a failed allocation there. Until
    /// [`initialised`](Self::initialised).
    pub fn for_init(fault: Option<Fault>) -> Self {
        let mut arena = Self::new(true);
        arena.fault = fault;
        arena
    }

    /// The init function has succeeded. From now on, the C gets failures only if it survives them.
    pub fn initialised(&mut self, recovers: bool) {
        self.recovers = recovers;
        self.initialised = true;
    }

    /// Sets the most live objects, so that a call that asks for billions of them ends.
    pub fn set_limit(&mut self, objects: usize) {
        self.most = objects;
    }

    /// The number of live objects, of the slabs and of kmalloc.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Whether there is an allocator to tear down.
    pub fn is_initialised(&self) -> bool {
        self.initialised
    }

    /// How many allocations have failed, injected or not.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// The number of slabs, and how many are kept.
    #[cfg(test)]
    pub fn slabs(&self) -> (usize, usize) {
        (self.slabs.len(), usize::from(self.has_slabs))
    }

    /// The fault that is set, with its counts.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// Replaces the fault. Returns the previous one.
    pub fn set_fault(&mut self, fault: Option<Fault>) -> Option<Fault> {
        core::mem::replace(&mut self.fault, fault)
    }

    /// Returns the memory from `alloc`, or null if the fault says so or there is none. Stops the C
    /// instead of returning null if it would not survive that.
    pub(super) fn decide(&mut self, alloc: impl FnOnce(&mut Self) -> *mut c_void) -> *mut c_void {
        let mut recovers = self.recovers;
        if let Some(fault) = &mut self.fault
            && fault.should_fail()
        {
            recovers |= fault.allows_corruption();
        } else if self.live < self.most {
            let memory = alloc(self);
            if !memory.is_null() {
                return memory;
            }
        }
        self.failed += 1;
        if !recovers {
            unwind(KernelBug::OUT_OF_MEMORY, &KernelBug::OUT_OF_MEMORY);
        }
        ptr::null_mut()
    }

    /// A zeroed object of `size` bytes, or null.
    pub(super) fn object_alloc(&mut self, size: usize) -> *mut c_void {
        if !self.has_slabs {
            return self.kmalloc(1, size);
        }
        if self.object_size == 0 {
            self.object_size = size.next_multiple_of(align_of::<FreeObject>());
        }
        // The slabs are for the first cache only. Objects of another one that are larger come from
        // kmalloc.
        if size > self.object_size {
            return self.kmalloc(1, size);
        }
        let list = if self.free.is_null() { &mut self.free_surplus } else { &mut self.free };
        let object = if list.is_null() {
            let Some(object) = self.unused() else { return ptr::null_mut() };
            object
        } else {
            let object = *list;
            // SAFETY: the list links free objects of the slabs.
            *list = unsafe { (*object).next };
            object
        };
        // SAFETY: an object has `object_size` bytes, `size` is at most that, and nothing uses it.
        unsafe { object.cast::<u8>().write_bytes(0, size) };
        self.live += 1;
        self.in_surplus += usize::from(self.is_surplus(object));
        object.cast()
    }

    /// # Safety
    ///
    /// `object` came from `object_alloc` of this arena with the same `size`, and
    /// nothing uses it any more.
    pub(super) unsafe fn object_free(&mut self, object: *mut c_void, size: usize) {
        if !self.has_slabs || size > self.object_size {
            // SAFETY: as the caller says; such objects came from `kmalloc`.
            return unsafe { self.kfree(object) };
        }
        let object = object.cast::<FreeObject>();
        let is_surplus = self.is_surplus(object);
        let list = if is_surplus { &mut self.free_surplus } else { &mut self.free };
        // SAFETY: as the caller says, the object is in a slab and nothing uses it.
        unsafe { (*object).next = *list };
        *list = object;
        self.live -= 1;
        self.in_surplus -= usize::from(is_surplus);
        if self.slabs.len() > 1 && self.in_surplus == 0 && self.live <= FEW_OBJECTS {
            self.give_back();
        }
    }

    /// Whether an object of a slab is in the surplus.
    fn is_surplus(&self, object: *mut FreeObject) -> bool {
        let first = self.slabs.first().map_or(0, |slab| slab.addr().get());
        // For an object before the slab, this wraps around to a large number.
        object.addr().wrapping_sub(first) >= SLAB * self.object_size
    }

    /// Frees the surplus slabs. None of their objects is alive.
    fn give_back(&mut self) {
        self.free_surplus = ptr::null_mut();
        // All of the first slab was used before there was a second.
        self.used = SLAB;
        for slab in self.slabs.drain(1..) {
            // SAFETY: it came from malloc, none of its objects is alive, and no list has one any
            // more.
            unsafe { free(slab.as_ptr()) };
        }
    }

    /// An object that was never used: the next of the last slab, or the first of another one.
    fn unused(&mut self) -> Option<*mut FreeObject> {
        if self.used == SLAB {
            self.slabs.try_reserve(1).ok()?;
            // SAFETY: malloc takes any size.
            let slab = NonNull::new(unsafe { malloc(SLAB * self.object_size) })?;
            self.slabs.push(slab);
            self.used = 0;
        }
        let slab = self.slabs.last()?;
        // SAFETY: `used` is below the number of objects, so the result is inside the slab.
        let object = unsafe { slab.byte_add(self.used * self.object_size) };
        self.used += 1;
        Some(object.as_ptr().cast())
    }

    pub(super) fn kmalloc(&mut self, count: usize, size: usize) -> *mut c_void {
        if self.kmallocs.try_reserve(1).is_err() {
            return ptr::null_mut();
        }
        // SAFETY: calloc takes any two numbers, and fails if their product overflows.
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
    pub(super) unsafe fn kfree(&mut self, memory: *mut c_void) {
        let Some(memory) = NonNull::new(memory) else {
            return;
        };
        // An unknown address was freed before, or is wrong. It is ignored, but a sanitizer gets it,
        // to report it.
        let known = self.kmallocs.remove(&memory);
        self.live -= usize::from(known);
        if known || !self.has_slabs {
            // SAFETY: a known address came from calloc, and was removed from the set, so it is
            // freed once. An unknown one is reported by the sanitizer, which replaces `free`.
            unsafe { free(memory.as_ptr()) };
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for memory in self.slabs.drain(..).chain(self.kmallocs.drain()) {
            // SAFETY: it came from malloc or calloc, and only the arena owns it.
            unsafe { free(memory.as_ptr()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The C may free what its init function allocated, and keep other objects instead.
    #[test]
    fn slabs_with_live_objects_stay() {
        const SIZE: usize = 64;
        let mut arena = Arena::for_init(None);
        let mut objects: Vec<_> = (0..2).map(|_| arena.object_alloc(SIZE)).collect();
        arena.initialised(true);
        objects.extend((0..50_000).map(|_| arena.object_alloc(SIZE)));
        let last = objects.split_off(objects.len() - 2);
        for object in &last {
            // SAFETY: the object is alive, and has this size.
            unsafe { object.cast::<u8>().write_bytes(0x5a, SIZE) };
        }
        let grown = arena.slabs();
        for object in objects {
            // SAFETY: it was allocated with this size, and is freed once.
            unsafe { arena.object_free(object, SIZE) };
        }
        assert_eq!((arena.live(), arena.slabs()), (2, grown));
        for object in last {
            // SAFETY: the object is alive.
            let bytes = unsafe { core::slice::from_raw_parts(object.cast::<u8>(), SIZE) };
            assert!(bytes.iter().all(|&byte| byte == 0x5a), "{bytes:?}");
            // SAFETY: it was allocated with this size, and is freed once.
            unsafe { arena.object_free(object, SIZE) };
        }
        let (left, kept) = arena.slabs();
        assert_eq!((arena.live(), left), (0, kept));
    }
}
