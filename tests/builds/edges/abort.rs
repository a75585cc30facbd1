//! A BUG in a program in which panics abort.

mod raw;

use gpu_buddy::ffi;
use gpu_buddy::ffi::capture;

fn main() {
    let mm = raw::allocator();
    println!("before");
    let _ = capture(|| {
        // SAFETY: the allocator is initialised.
        unsafe { ffi::gpu_buddy_print(mm) };
        raw::bug(mm);
    });
    println!("after");
}
