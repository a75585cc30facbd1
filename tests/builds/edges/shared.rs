//! A shared library with the crate in it.

mod raw;
mod safe;

use gpu_buddy::ffi::{capture, live_objects};

/// Objects of the raw layer, as this copy of the crate counts them.
#[unsafe(no_mangle)]
pub extern "C" fn edges_live() -> usize {
    live_objects()
}

/// Makes an allocator of the raw layer.
#[unsafe(no_mangle)]
pub extern "C" fn edges_hold() {
    raw::allocator();
}

#[unsafe(no_mangle)]
pub extern "C" fn edges_safe() {
    safe::check();
}

/// The line of a BUG.
#[unsafe(no_mangle)]
pub extern "C" fn edges_bug() -> u32 {
    let mm = raw::allocator();
    capture(|| raw::bug(mm)).result.expect_err("a BUG").line
}
