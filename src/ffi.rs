//! The raw layer: the kernel's own functions and types, bound by bindgen from
//! `include/linux/gpu_buddy.h` with their C names.
//!
//! The inline accessors of the header (`gpu_buddy_block_offset` and others) are here too. Each
//! calls a C function that calls the accessor. Which items exist depends on the compiled-in kernel
//! series.
//!
//! # Rules for callers
//!
//! - The C does no locking. Calls on one `gpu_buddy` must not overlap. [`hold`] tells lockdep which
//!   lock is held.
//! - Memory comes from `malloc`. [`live_objects`] counts the objects.
//! - A kernel BUG unwinds out of these functions as a Rust panic with a
//!   [`KernelBug`](crate::KernelBug) as payload. After it, the `gpu_buddy` must not be used.
//!   [`capture`] catches it.
//! - Output and warnings of the C go to the [`log`] crate while the C runs, unless it runs in a
//!   [`capture`]. A panic of the logger unwinds out of these functions like a BUG, with the same
//!   result.
//! - The C trusts its arguments. If the safe API would refuse them, the result is undefined: see
//!   [`InvalidArgument`](crate::InvalidArgument).
//!
//! A [`Monitor`](crate::wrapper::Monitor) checks whether a caller keeps these rules.
//!
//! ```
//! use core::mem::MaybeUninit;
//! use gpu_buddy::ffi;
//!
//! // SAFETY: `gpu_buddy_init` initialises the allocator, which has a fixed address, is used by
//! // this thread alone and is torn down at the end.
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
// These call the C's functions of the same names.
pub use crate::wrapper::calls::{
    gpu_buddy_alloc_blocks, gpu_buddy_block_trim, gpu_buddy_fini, gpu_buddy_free_block,
    gpu_buddy_free_list, gpu_buddy_init, gpu_buddy_print, gpu_buddy_reset_clear,
};
pub use bindings::*;

impl Default for gpu_buddy {
    /// All zero, to be initialised by [`gpu_buddy_init`].
    fn default() -> Self {
        // SAFETY: it has only numbers and raw pointers, for which zero is valid.
        unsafe { core::mem::zeroed() }
    }
}

impl list_head {
    /// An empty list. It points to itself, so it must not be moved out of its box.
    #[must_use]
    pub fn boxed() -> Box<Self> {
        let null = core::ptr::null_mut();
        let mut list = Box::new(Self { next: null, prev: null });
        (list.next, list.prev) = (&raw mut *list, &raw mut *list);
        list
    }
}

/// The offset, in bytes, of the link in a block that belongs to the block's user.
pub(crate) const LINK: usize = core::mem::offset_of!(gpu_buddy_block, __bindgen_anon_1);

/// The links of a list, without its head.
///
/// # Safety
///
/// `list` points to an initialised list head, which stays in place and unchanged during the
/// iteration.
pub(crate) unsafe fn links(list: *const list_head) -> impl Iterator<Item = *mut list_head> {
    let link_of = move |link: *mut list_head| (!core::ptr::eq(link, list)).then_some(link);
    // SAFETY: as the caller says.
    let first = link_of(unsafe { (*list).next });
    // SAFETY: as above.
    core::iter::successors(first, move |&link| link_of(unsafe { (*link).next }))
}

/// The blocks on a list that `gpu_buddy_alloc_blocks` filled, in its order.
///
/// # Safety
///
/// `list` points to an initialised list head, which stays in place and unchanged during the
/// iteration. Everything on it is an allocated block.
pub unsafe fn blocks(list: *const list_head) -> impl Iterator<Item = *mut gpu_buddy_block> {
    // SAFETY: as the caller says; a link is at offset `LINK` of its block.
    unsafe { links(list).map(|link| link.byte_sub(LINK).cast()) }
}

/// An allocated block as plain data.
///
/// # Safety
///
/// The block is allocated, and stays so during the call.
#[must_use]
pub unsafe fn block_info(block: *const gpu_buddy_block) -> crate::BlockInfo {
    // SAFETY: as the caller says.
    unsafe { crate::tree::info(block) }
}

/// The init function of the kernel's module, which creates the cache of blocks. For tests. The
/// crate calls it once by itself. Returns 0 or a negative error number.
///
/// # Safety
///
/// After [`fail_caches`] or [`module_exit`], no other thread is inside the C. If this fails, there
/// is no cache, and no allocator may be created or used until it succeeds.
#[doc(hidden)]
pub unsafe fn module_init() -> core::ffi::c_int {
    let table = crate::module::Module::compiled_in().table();
    // SAFETY: the runtime's table is a static; the rest is as the caller says.
    unsafe { (table.load)(&raw const crate::runtime::table::RUNTIME) }
}

/// The exit function of the kernel's module. For tests.
///
/// # Safety
///
/// No allocator exists, and none is created until `module_init` was called.
#[doc(hidden)]
pub unsafe fn module_exit() {
    // SAFETY: as the caller says.
    unsafe { (crate::module::Module::compiled_in().table().unload)() };
}

/// Makes the creation of caches fail. For tests.
#[doc(hidden)]
pub fn fail_caches(fail: bool) {
    crate::runtime::slab::fail_caches(fail);
}
