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
    pub(super) fn free(memory: *mut c_void);
}

/// The number of objects in the first slab. Each further slab has twice as many, up to the last
/// size.
const FIRST_SLAB: usize = 32;
const LAST_SLAB: usize = 4096;

/// An arena keeps this many slabs until it is dropped: one of each size. They have 8160 objects.
/// Further slabs are surplus.
const KEPT_SLABS: usize = (LAST_SLAB / FIRST_SLAB).ilog2() as usize + 1;

/// The surplus is freed only when at most this many objects are alive: half of those in the kept
/// slabs. Otherwise an allocator that varies around their limit would allocate and free a slab
/// again and again.
const FEW_OBJECTS: usize = FIRST_SLAB * ((1 << KEPT_SLABS) - 1) / 2;

/// The memory of one allocator.
pub(crate) struct Arena {
    /// Under a sanitizer, each object comes from `malloc`, so that a use after free or beyond the
    /// end is seen.
    has_slabs: bool,
    /// Free objects of the kept slabs, linked through their first word.
    free: *mut FreeObject,
    /// Free objects of the surplus, used only if there are no others.
    free_surplus: *mut FreeObject,
    /// The size in bytes of the objects in the slabs; 0 before the first.
    object_size: usize,
    slabs: Vec<NonNull<c_void>>,
    next_slab: usize,
    /// Memory from kmalloc: a few arrays, and under a sanitizer every object.
    kmallocs: HashSet<NonNull<c_void>>,
    live: usize,
    /// How many live objects are in slabs.
    in_slabs: usize,
    /// How many of these are in the surplus.
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
            next_slab: FIRST_SLAB,
            kmallocs: HashSet::new(),
            live: 0,
            in_slabs: 0,
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
        (self.slabs.len(), if self.has_slabs { KEPT_SLABS } else { 0 })
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
        if self.free.is_null() && self.free_surplus.is_null() && !self.grow() {
            return ptr::null_mut();
        }
        let is_surplus = self.free.is_null();
        let list = if is_surplus { &mut self.free_surplus } else { &mut self.free };
        let object = *list;
        // SAFETY: the list is not empty. It links free objects of the slabs, each of `object_size`
        // bytes, and `size` is at most that.
        unsafe {
            *list = (*object).next;
            object.cast::<u8>().write_bytes(0, size);
        }
        self.live += 1;
        self.in_slabs += 1;
        self.in_surplus += usize::from(is_surplus);
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
        self.in_slabs -= 1;
        self.in_surplus -= usize::from(is_surplus);
        if self.slabs.len() > KEPT_SLABS && self.in_surplus == 0 && self.in_slabs <= FEW_OBJECTS {
            self.give_back();
        }
    }

    /// Whether an object of a slab is in the surplus.
    fn is_surplus(&self, object: *mut FreeObject) -> bool {
        if self.slabs.len() <= KEPT_SLABS {
            return false;
        }
        let is_in = |(index, slab): (usize, &NonNull<c_void>)| {
            // For an object before the slab, this wraps around to a large number.
            let offset = object.addr().wrapping_sub(slab.addr().get());
            offset < (FIRST_SLAB << index) * self.object_size
        };
        !self.slabs[..KEPT_SLABS].iter().enumerate().any(is_in)
    }

    /// Frees the surplus slabs. None of their objects is alive.
    fn give_back(&mut self) {
        self.free_surplus = ptr::null_mut();
        for slab in self.slabs.drain(KEPT_SLABS..) {
            // SAFETY: it came from calloc, none of its objects is alive, and no list has one any
            // more.
            unsafe { free(slab.as_ptr()) };
        }
    }

    /// Adds a slab. Returns false if there is no memory.
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
        let list =
            if self.slabs.len() > KEPT_SLABS { &mut self.free_surplus } else { &mut self.free };
        // Backwards, so that objects are handed out by ascending address.
        for index in (0..self.next_slab).rev() {
            // SAFETY: `index` is below the number of objects, so the result is inside the slab.
            let object = unsafe { slab.byte_add(index * self.object_size) }.cast::<FreeObject>();
            // SAFETY: the object is in the slab, has room and alignment for a link, and nothing
            // uses it.
            unsafe { object.write(FreeObject { next: *list }) };
            *list = object.as_ptr();
        }
        self.next_slab = (self.next_slab * 2).min(LAST_SLAB);
        true
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
            // SAFETY: it came from calloc, and only the arena owns it.
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
