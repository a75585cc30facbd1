//! A program with the crate and with a C library that has functions of the same names.

mod raw;
mod safe;

use gpu_buddy::kunit;
use gpu_buddy::ffi::capture;

unsafe extern "C" {
    fn rivals() -> i32;
}

fn main() {
    // SAFETY: it returns a number.
    println!("{} rivals", unsafe { rivals() });
    safe::check();
    for case in kunit::cases().into_iter().filter(|case| !case.is_slow()) {
        let result = case.run(Some(1));
        assert!(result.passed(), "{}: {:?}", case.name(), result.failures);
    }
    let mm = raw::allocator();
    assert!(capture(|| raw::bug(mm)).result.is_err());
    println!("done");
}
