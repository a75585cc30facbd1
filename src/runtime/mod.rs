//! What the kernel provides at run time: memory, `BUG()` and `WARN()`, the log,
//! and the answer to who holds the lock.
//!
//! Nothing here calls up. While the C runs inside a scope, what it reports
//! waits there until the C has returned and the lock is released; outside of
//! one it goes to the [`log`] crate at once.

pub(crate) mod arena;
mod bug;
mod clock;
mod held;
pub(crate) mod kunit;
mod lockdep;
mod printk;
pub(crate) mod sanitizer;
mod scope;
pub(crate) mod slab;
pub(crate) mod table;

pub use bug::{KernelBug, Warning};
pub(crate) use held::with_held;
pub use held::{Held, hold};
pub use printk::{LogLevel, LogLine};
pub use scope::{Captured, capture};
pub(crate) use scope::{Event, Outcome, Scope, Stop, in_arena, log_event};

/// Objects of the C that are alive outside of every allocator of the safe API:
/// those of callers of the raw layer. 0 after each of them has called
/// `gpu_buddy_fini`; otherwise something leaked.
#[must_use]
pub fn live_objects() -> usize {
    slab::live_outside()
}

/// A string literal of the C.
///
/// # Safety
///
/// `text` is null or points to a string literal.
unsafe fn literal(text: *const core::ffi::c_char) -> &'static str {
    if text.is_null() {
        return "";
    }
    // SAFETY: not null, and a literal lives as long as the program.
    let text = unsafe { core::ffi::CStr::from_ptr(text) };
    text.to_str().unwrap_or("(not UTF-8)")
}
