//! An allocator of the raw layer, and a call that is a BUG.

use std::mem::MaybeUninit;

use gpu_buddy::ffi;

const SIZE: u64 = 1 << 20;
const CHUNK: u64 = 4 << 10;

/// A new allocator, which is never torn down.
pub fn allocator() -> *mut ffi::gpu_buddy {
    let mm = Box::leak(Box::new(MaybeUninit::<ffi::gpu_buddy>::zeroed())).as_mut_ptr();
    // SAFETY: `mm` is there to be initialised, and stays where it is.
    assert_eq!(unsafe { ffi::gpu_buddy_init(mm, SIZE, CHUNK) }, 0);
    mm
}

/// Frees what is not allocated.
pub fn bug(mm: *mut ffi::gpu_buddy) {
    // SAFETY: a fresh allocator has a root, which is free. The C looks at that first.
    unsafe { ffi::gpu_buddy_free_block(mm, *(*mm).roots) }
}
