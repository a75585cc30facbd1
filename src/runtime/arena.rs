//! Memory for the C.
//!
//! An allocator of the safe API owns an [`Arena`]. The C takes from it while it
//! runs inside that allocator's scope, under that allocator's lock: so an arena
//! needs no lock, knows exactly what is alive, and gives back everything at once
//! when it goes. Outside of every scope, memory is `malloc`'s.

use core::ffi::c_void;
use core::ops::Range;
use core::ptr::{self, NonNull};
use std::collections::HashSet;

use super::KernelBug;
use crate::fault::Fault;

unsafe extern "C" {
    pub(super) fn calloc(count: usize, size: usize) -> *mut c_void;
    pub(super) fn free(memory: *mut c_void);
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
    /// How many of them are in slabs.
    in_slabs: usize,
    /// An object of a slab was freed.
    freed: bool,
    /// More objects than these are not given out.
    most: usize,
    /// What `gpu_buddy_init` has left alive: these stay until the end.
    floor: Option<Floor>,
    /// Decides which allocations fail.
    fault: Option<Fault>,
    /// How many allocations have failed.
    failed: u64,
    /// The init function has returned.
    initialised: bool,
    /// Whether the C may be told that there is no memory. If not, it is stopped
    /// instead.
    recovers: bool,
}

struct FreeObject {
    next: *mut FreeObject,
}

/// The objects of the slabs that are alive as long as the allocator is: the first
/// ones of the first slabs.
#[derive(Clone, Copy)]
struct Floor {
    objects: usize,
    slabs: usize,
}

/// Slabs that an empty allocator keeps beyond those of the floor: about 8000
/// objects, so that one that fills and empties in turn need not ask for them again.
const SPARE_SLABS: usize = 8;

// SAFETY: the pointers are to memory that the arena owns.
unsafe impl Send for Arena {}

impl Arena {
    /// For an allocator that survives a failed split, or not.
    pub fn new(recovers: bool) -> Self {
        Self {
            free: ptr::null_mut(),
            object_size: 0,
            slabs: Vec::new(),
            next_slab: FIRST_SLAB,
            kmallocs: HashSet::new(),
            live: 0,
            most: usize::MAX,
            floor: None,
            in_slabs: 0,
            freed: false,
            fault: None,
            failed: 0,
            initialised: false,
            recovers,
        }
    }

    /// For the init function, which every generation recovers from: it is told of
    /// failures, until [`initialised`](Self::initialised).
    pub fn for_init(fault: Option<Fault>) -> Self {
        let mut arena = Self::new(true);
        arena.fault = fault;
        arena
    }

    /// The init function has returned. From here on, failures are for the C only if
    /// it recovers from them.
    pub fn initialised(&mut self, recovers: bool) {
        self.recovers = recovers;
        self.initialised = true;
        // They were given out ascending, unless some came back.
        self.floor =
            (!self.freed).then_some(Floor { objects: self.in_slabs, slabs: self.slabs.len() });
    }

    /// Gives out so many objects and no more: a call that asks for billions of them
    /// then ends.
    pub fn set_limit(&mut self, objects: usize) {
        self.most = objects;
    }

    /// How many objects are alive, of the slabs and of kmalloc.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Whether there is an allocator to tear down.
    pub fn is_initialised(&self) -> bool {
        self.initialised
    }

    /// How many allocations have failed, whatever for.
    pub fn failed(&self) -> u64 {
        self.failed
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
            std::panic::resume_unwind(Box::new(KernelBug::OUT_OF_MEMORY));
        }
        ptr::null_mut()
    }

    /// A zeroed object of `size` bytes, or null.
    pub(super) fn object_alloc(&mut self, size: usize) -> *mut c_void {
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
        self.in_slabs += 1;
        object.cast()
    }

    /// # Safety
    ///
    /// `object` came from `object_alloc` of this arena with the same `size`, and
    /// nothing uses it any more.
    pub(super) unsafe fn object_free(&mut self, object: *mut c_void, size: usize) {
        if !SLABS || size > self.object_size {
            // SAFETY: such objects came from `kmalloc`.
            return unsafe { self.kfree(object) };
        }
        let object = object.cast::<FreeObject>();
        // SAFETY: the object is in a slab and nothing else uses it.
        unsafe { (*object).next = self.free };
        self.free = object;
        self.live -= 1;
        self.in_slabs -= 1;
        self.freed = true;
        if let Some(floor) = self.floor
            && self.in_slabs == floor.objects
            && self.slabs.len() > floor.slabs + SPARE_SLABS
        {
            self.give_back(floor);
        }
    }

    /// Frees all slabs but those of the floor. No other object is alive.
    fn give_back(&mut self, floor: Floor) {
        for slab in self.slabs.drain(floor.slabs..) {
            // SAFETY: it came from calloc, and nothing in it is alive.
            unsafe { free(slab.as_ptr()) };
        }
        self.free = ptr::null_mut();
        self.next_slab = FIRST_SLAB;
        let mut alive = floor.objects;
        let mut fresh = Vec::new();
        for &slab in &self.slabs {
            let taken = alive.min(self.next_slab);
            fresh.push((slab, taken..self.next_slab));
            alive -= taken;
            self.next_slab = (self.next_slab * 2).min(LAST_SLAB);
        }
        for (slab, objects) in fresh.into_iter().rev() {
            self.link(slab, objects);
        }
    }

    /// Puts objects of a slab before the others that are free, so that they are
    /// given out ascending.
    fn link(&mut self, slab: NonNull<c_void>, objects: Range<usize>) {
        for index in objects.rev() {
            // SAFETY: `index` is below the number of objects in the slab.
            let object = unsafe { slab.byte_add(index * self.object_size) }.cast::<FreeObject>();
            // SAFETY: the object is in the slab, with room and alignment for a link,
            // and nothing uses it.
            unsafe { object.write(FreeObject { next: self.free }) };
            self.free = object.as_ptr();
        }
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
        self.link(slab, 0..self.next_slab);
        self.next_slab = (self.next_slab * 2).min(LAST_SLAB);
        true
    }

    pub(super) fn kmalloc(&mut self, count: usize, size: usize) -> *mut c_void {
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
    pub(super) unsafe fn kfree(&mut self, memory: *mut c_void) {
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
