//! A BUG inside of a panic hook, as the page docs/assurance/unusable.md has it.

mod raw;
mod safe;

use std::panic::{catch_unwind, set_hook, take_hook};
use std::sync::Mutex;
use std::thread::panicking;

use gpu_buddy::ffi::capture;

static POISONED: Mutex<()> = Mutex::new(());

fn main() {
    set_hook(Box::new(|_| {
        let mm = raw::allocator();
        assert!(capture(|| raw::bug(mm)).result.is_err());
        safe::check();
    }));
    let result = catch_unwind(|| {
        let _guard = POISONED.lock();
        panic!("on purpose");
    });
    let _ = take_hook();
    assert!(result.is_err() && !panicking());
    // If this fails, std counts better than it did: the pages can say so.
    assert!(!POISONED.is_poisoned());
    safe::check();
    println!("done");
}
