//! What the kernel provides at run time: memory, `BUG()` and `WARN()`, the log, and lockdep.
//!
//! Nothing here calls upper layers. While the C runs in a scope, its reports wait there until the C
//! has returned and the lock is released. Outside a scope, they go to the [`log`] crate at once.

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
pub(crate) use scope::{Event, Outcome, Scope, Stop, Unlogged, in_arena};

/// The number of live objects of the C outside all allocators of the safe API: those of callers of
/// the raw layer. It is 0 after each of them has called `gpu_buddy_fini`; otherwise something
/// leaked.
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
