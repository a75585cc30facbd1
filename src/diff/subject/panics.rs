//! Catches panics of an implementation, and keeps them off standard error.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread is inside [`catch`].
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// The message of the last panic inside it.
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Silences the panics that [`catch`] catches. Other panics go to the previous hook.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if CATCHING.get() {
                MESSAGE.set(Some(message(info)));
            } else {
                before(info);
            }
        }));
    });
}

/// Runs `f`. Returns a panic as its message and place.
#[inline]
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    let outer = CATCHING.replace(true);
    // `Driver` does not use an implementation after a panic.
    let result = catch_unwind(AssertUnwindSafe(f));
    CATCHING.set(outer);
    result.map_err(|_| MESSAGE.take().unwrap_or_else(|| "the call panicked".to_owned()))
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let text = info.payload_as_str().unwrap_or("no text");
    match info.location() {
        Some(place) => format!("panicked at {place}: {text}"),
        None => format!("panicked: {text}"),
    }
}
