//! The raw layer: the kernel's own functions and types, as bindgen reads them
//! from `include/linux/gpu_buddy.h`, with the names that C gives them.
//!
//! The inline accessors of the header (`gpu_buddy_block_offset` and its
//! siblings) are here too; each goes through a C function that calls the real
//! one. Which items there are depends on the kernel series that was compiled in.
//!
//! # Rules for callers
//!
//! - The C does no locking. Calls on one `gpu_buddy` must not overlap. [`hold`] tells
//!   lockdep of a lock.
//! - Memory comes from `malloc` here, not from an arena, and
//!   [`live_objects`] counts it.
//! - A kernel BUG unwinds out of these functions as a Rust panic whose payload
//!   is a [`KernelBug`](crate::KernelBug); the `gpu_buddy` must not be used
//!   after one. [`capture`] catches it.
//! - What the C prints and warns of goes to the [`log`] crate while the C runs, unless
//!   it runs in a [`capture`]. A logger that panics unwinds
//!   out of these functions like a BUG, with the same result.
//! - The C trusts its arguments. What it makes of wrong ones is undefined
//!   where the safe API refuses them: see
//!   [`InvalidArgument`](crate::InvalidArgument).
//!
//! A [`Monitor`](crate::wrapper::Monitor) watches whether a caller keeps these rules.
//!
//! ```
//! use core::mem::MaybeUninit;
//! use gpu_buddy::ffi;
//!
//! // SAFETY: `gpu_buddy_init` initialises the allocator that it is given, which
//! // stays in place, is used by this thread alone and is torn down at the end.
//! unsafe {
//!     let mut mm = MaybeUninit::<ffi::gpu_buddy>::zeroed();
//!     assert_eq!(ffi::gpu_buddy_init(mm.as_mut_ptr(), 16 << 20, 4 << 10), 0);
//!
//!     let mut blocks = ffi::list_head { next: core::ptr::null_mut(), prev: core::ptr::null_mut() };
//!     (blocks.next, blocks.prev) = (&raw mut blocks, &raw mut blocks);
//!     let (size, flags) = (8 << 20, ffi::GPU_BUDDY_TOPDOWN_ALLOCATION);
//!     let result = ffi::gpu_buddy_alloc_blocks(
//!         mm.as_mut_ptr(), 0, 16 << 20, size, 4 << 10, &raw mut blocks, flags,
//!     );
//!     assert_eq!(result, 0);
//!     assert_eq!((*mm.as_ptr()).avail, 8 << 20);
//!
//!     ffi::gpu_buddy_free_list(mm.as_mut_ptr(), &raw mut blocks, 0);
//!     ffi::gpu_buddy_fini(mm.as_mut_ptr());
//! }
//! ```

#![allow(
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]

#[allow(clippy::missing_safety_doc)]
pub(crate) mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use crate::runtime::{Captured, Held, capture, hold, live_objects};
#[cfg(addr_to_block)]
pub use crate::wrapper::calls::gpu_buddy_allocated_addr_to_block;
// In place of those of the C, which they call.
pub use crate::wrapper::calls::{
    gpu_buddy_alloc_blocks, gpu_buddy_block_trim, gpu_buddy_fini, gpu_buddy_free_block,
    gpu_buddy_free_list, gpu_buddy_init, gpu_buddy_print, gpu_buddy_reset_clear,
};
pub use bindings::*;

impl Default for gpu_buddy {
    /// All zero: for [`gpu_buddy_init`] to initialise.
    fn default() -> Self {
        // SAFETY: it consists of numbers and raw pointers.
        unsafe { core::mem::zeroed() }
    }
}

impl list_head {
    /// An empty list, which must not be moved out of its box: it points to itself.
    #[must_use]
    pub fn boxed() -> Box<Self> {
        let null = core::ptr::null_mut();
        let mut list = Box::new(Self { next: null, prev: null });
        (list.next, list.prev) = (&raw mut *list, &raw mut *list);
        list
    }
}

/// Where a block has the link that is its user's.
pub(crate) const LINK: usize = core::mem::offset_of!(gpu_buddy_block, __bindgen_anon_1);

/// The links of a list, without its head.
///
/// # Safety
///
/// `list` points to a list head that is initialised, stays in place and is not changed
/// meanwhile.
pub(crate) unsafe fn links(list: *const list_head) -> impl Iterator<Item = *mut list_head> {
    let link_of = move |link: *mut list_head| (!core::ptr::eq(link, list)).then_some(link);
    // SAFETY: as the caller says.
    let first = link_of(unsafe { (*list).next });
    // SAFETY: as above.
    core::iter::successors(first, move |&link| link_of(unsafe { (*link).next }))
}

/// The blocks on a list that `gpu_buddy_alloc_blocks` has filled, in its order.
///
/// # Safety
///
/// `list` points to a list head that is initialised, stays in place and is not changed
/// meanwhile. All on it are blocks that are allocated.
pub unsafe fn blocks(list: *const list_head) -> impl Iterator<Item = *mut gpu_buddy_block> {
    // SAFETY: as the caller says; a link is inside of its block.
    unsafe { links(list).map(|link| link.byte_sub(LINK).cast()) }
}

/// An allocated block as plain data.
///
/// # Safety
///
/// The block is allocated, and stays so.
#[must_use]
pub unsafe fn block_info(block: *const gpu_buddy_block) -> crate::BlockInfo {
    // SAFETY: as the caller says.
    unsafe { crate::tree::info(block) }
}

/// The init function of the kernel's module, which makes the cache. For tests: it is
/// called once by itself.
///
/// # Safety
///
/// After [`fail_caches`] or [`module_exit`] no other thread is inside of the C. If it
/// fails, there is no cache, and no allocator is made or used until it succeeds.
#[doc(hidden)]
pub unsafe fn module_init() -> core::ffi::c_int {
    let table = crate::module::Module::compiled_in().table();
    // SAFETY: the table of the runtime lives as long as the program; the rest is as the
    // caller says.
    unsafe { (table.load)(&raw const crate::runtime::table::RUNTIME) }
}

/// The exit function of the kernel's module. For tests.
///
/// # Safety
///
/// No allocator exists, and none is made until `module_init` was called.
#[doc(hidden)]
pub unsafe fn module_exit() {
    // SAFETY: as the caller says.
    unsafe { (crate::module::Module::compiled_in().table().unload)() };
}

/// Lets the making of caches fail. For tests.
#[doc(hidden)]
pub fn fail_caches(fail: bool) {
    crate::runtime::slab::fail_caches(fail);
}
