//! The C's functions on an allocator, with checks by a monitor. They have the C's ABI, so that a
//! wrapper in C can call them by pointer.

#![allow(clippy::missing_safety_doc, reason = "see the rules for callers of `ffi`")]

use core::ffi::{c_int, c_uint, c_ulong};

use crate::Errno;
use crate::ffi::{self, LINK, bindings, gpu_buddy, gpu_buddy_block, list_head};

use super::Misuse;
use super::watched::{State, enter, init};

const REFUSED: c_int = -Errno::ENOTRECOVERABLE.code();

/// Checks that a block is allocated from `mm`.
fn check_block(state: &mut State, function: &'static str, mm: usize, link: usize) -> bool {
    let misuse = match state.owner(link) {
        Some(owner) if owner == mm => return true,
        Some(_) => Misuse::OtherAllocator { function },
        None => Misuse::NotAllocated { function },
    };
    state.misuse(misuse);
    false
}

/// The links of a list. Reports a block that is not allocated from `mm`.
///
/// # Safety
///
/// `list` points to a list head.
unsafe fn links(
    state: &mut State,
    function: &'static str,
    mm: usize,
    list: *mut list_head,
) -> Option<Vec<usize>> {
    let mut links = Vec::new();
    // SAFETY: as the caller says.
    let mut link = unsafe { (*list).next };
    while link != list {
        // A block that is not allocated is not read, because its memory may be freed.
        if !check_block(state, function, mm, link.addr()) || links.len() > state.blocks() {
            return None;
        }
        links.push(link.addr());
        // SAFETY: the link is one of an allocated block.
        link = unsafe { (*link).next };
    }
    Some(links)
}

/// Records the blocks that the C left on a list.
///
/// # Safety
///
/// `list` points to a list head, and the C has returned.
unsafe fn note(state: &mut State, mm: usize, list: *mut list_head, before: Vec<usize>) {
    for link in before {
        state.given_back(link);
    }
    // SAFETY: as the caller says.
    unsafe { ffi::links(list) }.for_each(|link| state.handed_out(link.addr(), mm));
}

/// Loads the kernel's module, at the first call.
fn load() -> Result<(), c_int> {
    use crate::module::Stopped;
    crate::module::Module::compiled_in().load().map_err(|stopped| match stopped {
        Stopped::Errno(errno) => -errno.code(),
        Stopped::Bug(bug) => std::panic::resume_unwind(Box::new(bug)),
    })
}

/// `gpu_buddy_init()`. Sizes are in bytes. Returns 0 or a negative error number. The first call
/// loads the kernel's module, which creates the cache of blocks.
///
/// # Safety
///
/// `mm` points to memory for an allocator, which stays valid and in place until `gpu_buddy_fini()`
/// was called.
pub unsafe extern "C-unwind" fn gpu_buddy_init(
    mm: *mut gpu_buddy,
    size: u64,
    chunk_size: u64,
) -> c_int {
    if let Err(error) = load() {
        return error;
    }
    init(mm.expose_provenance(), REFUSED, || {
        // SAFETY: as the caller says.
        unsafe { bindings::gpu_buddy_init(mm, size, chunk_size) }
    })
}

/// `gpu_buddy_fini()`.
pub unsafe extern "C-unwind" fn gpu_buddy_fini(mm: *mut gpu_buddy) {
    let address = mm.addr();
    enter(
        "gpu_buddy_fini",
        address,
        (),
        |state| {
            state.check_unused(address);
            Some(())
        },
        // SAFETY: as the caller says.
        || unsafe { bindings::gpu_buddy_fini(mm) },
        |state, ()| state.torn_down(address),
    );
}

/// `gpu_buddy_alloc_blocks()`.
pub unsafe extern "C-unwind" fn gpu_buddy_alloc_blocks(
    mm: *mut gpu_buddy,
    start: u64,
    end: u64,
    size: u64,
    min_block_size: u64,
    blocks: *mut list_head,
    flags: c_ulong,
) -> c_int {
    const NAME: &str = "gpu_buddy_alloc_blocks";
    enter(
        NAME,
        mm.addr(),
        REFUSED,
        // SAFETY: as the caller says.
        |state| unsafe { links(state, NAME, mm.addr(), blocks) },
        // SAFETY: as the caller says.
        || unsafe {
            bindings::gpu_buddy_alloc_blocks(mm, start, end, size, min_block_size, blocks, flags)
        },
        // SAFETY: `blocks` is a list head, as the caller says, and the C has returned.
        |state, before| unsafe { note(state, mm.addr(), blocks, before) },
    )
}

/// `gpu_buddy_block_trim()`.
pub unsafe extern "C-unwind" fn gpu_buddy_block_trim(
    mm: *mut gpu_buddy,
    start: *mut u64,
    new_size: u64,
    blocks: *mut list_head,
) -> c_int {
    const NAME: &str = "gpu_buddy_block_trim";
    enter(
        NAME,
        mm.addr(),
        REFUSED,
        // SAFETY: as the caller says.
        |state| unsafe { links(state, NAME, mm.addr(), blocks) },
        // SAFETY: as the caller says.
        || unsafe { bindings::gpu_buddy_block_trim(mm, start, new_size, blocks) },
        // SAFETY: `blocks` is a list head, as the caller says, and the C has returned.
        |state, before| unsafe { note(state, mm.addr(), blocks, before) },
    )
}

/// `gpu_buddy_free_list()`.
pub unsafe extern "C-unwind" fn gpu_buddy_free_list(
    mm: *mut gpu_buddy,
    objects: *mut list_head,
    flags: c_uint,
) {
    const NAME: &str = "gpu_buddy_free_list";
    enter(
        NAME,
        mm.addr(),
        (),
        // SAFETY: as the caller says.
        |state| unsafe { links(state, NAME, mm.addr(), objects) },
        // SAFETY: as the caller says.
        || unsafe { bindings::gpu_buddy_free_list(mm, objects, flags) },
        |state, links| links.into_iter().for_each(|link| state.given_back(link)),
    );
}

/// `gpu_buddy_free_block()`.
pub unsafe extern "C-unwind" fn gpu_buddy_free_block(
    mm: *mut gpu_buddy,
    block: *mut gpu_buddy_block,
) {
    const NAME: &str = "gpu_buddy_free_block";
    let link = block.addr() + LINK;
    enter(
        NAME,
        mm.addr(),
        (),
        |state| check_block(state, NAME, mm.addr(), link).then_some(()),
        // SAFETY: as the caller says.
        || unsafe { bindings::gpu_buddy_free_block(mm, block) },
        |state, ()| state.given_back(link),
    );
}

/// `gpu_buddy_reset_clear()`.
pub unsafe extern "C-unwind" fn gpu_buddy_reset_clear(mm: *mut gpu_buddy, is_clear: bool) {
    let call = || {
        // SAFETY: as the caller says.
        unsafe { bindings::gpu_buddy_reset_clear(mm, is_clear) }
    };
    enter("gpu_buddy_reset_clear", mm.addr(), (), |_| Some(()), call, |_, ()| {});
}

/// `gpu_buddy_print()`.
pub unsafe extern "C-unwind" fn gpu_buddy_print(mm: *mut gpu_buddy) {
    let call = || {
        // SAFETY: as the caller says.
        unsafe { bindings::gpu_buddy_print(mm) }
    };
    enter("gpu_buddy_print", mm.addr(), (), |_| Some(()), call, |_, ()| {});
}

/// `gpu_buddy_allocated_addr_to_block()`.
#[cfg(addr_to_block)]
pub unsafe extern "C-unwind" fn gpu_buddy_allocated_addr_to_block(
    mm: *mut gpu_buddy,
    addr: u64,
) -> *mut gpu_buddy_block {
    let call = || {
        // SAFETY: as the caller says.
        unsafe { bindings::gpu_buddy_allocated_addr_to_block(mm, addr) }
    };
    let name = "gpu_buddy_allocated_addr_to_block";
    enter(name, mm.addr(), core::ptr::null_mut(), |_| Some(()), call, |_, ()| {})
}
