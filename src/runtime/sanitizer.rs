//! Turns reports of the address sanitizer into warnings of the C.

use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::Warning;
use super::scope::{self, Event};

/// Whether a module with the sanitizer was loaded.
static ON: AtomicBool = AtomicBool::new(false);

/// Whether each object must come from `malloc`, so that a sanitizer sees its use.
pub(super) fn is_on() -> bool {
    cfg!(sanitized) || ON.load(Ordering::Relaxed)
}

/// Makes new allocators take each object from `malloc`.
#[cfg_attr(not(feature = "module"), allow(dead_code, reason = "such modules are loaded"))]
pub(crate) fn turn_on() {
    ON.store(true, Ordering::Relaxed);
}

/// Takes a report of the sanitizer.
///
/// # Safety
///
/// `text` is a string that ends with a zero.
#[cfg_attr(not(feature = "module"), allow(dead_code, reason = "such modules are loaded"))]
pub(crate) unsafe extern "C" fn report(text: *const c_char) {
    // SAFETY: as the caller says.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    scope::report(Event::Warning(warning(&text)));
}

/// Extracts the error, the access, and the first place in a C file.
fn warning(text: &str) -> Warning {
    let error = text.split_once("AddressSanitizer: ").map_or("an error", |(_, rest)| {
        let line = rest.lines().next().unwrap_or_default();
        let end = [" on ", " (", ": "].iter().filter_map(|end| line.find(end)).min();
        &line[..end.unwrap_or(line.len())]
    });
    let access = text.lines().find_map(|line| {
        let is_access = line.starts_with("READ of size") || line.starts_with("WRITE of size");
        is_access.then(|| line.split(" at ").next().unwrap_or(line))
    });
    let condition = access.map_or_else(|| error.to_owned(), |access| format!("{error}, {access}"));
    let (file, line) = text.lines().find_map(place).unwrap_or(("", 0));
    Warning { condition: literal(&condition), file: literal(file), line }
}

/// The place in a line of a stack trace, such as `#0 0x55 in name /path/tree/lib/file.c:10:3`.
fn place(line: &str) -> Option<(&str, u32)> {
    let (_, place) = line.trim_start().strip_prefix('#')?.split_once(" in ")?;
    let (_, place) = place.split_once(' ')?;
    let mut parts = place.split(':');
    let (file, number) = (parts.next()?, parts.next()?.parse().ok()?);
    let in_tree = file.rsplit_once("/tree/").map_or(file, |(_, file)| file);
    [".c", ".h"].iter().any(|end| file.ends_with(end)).then_some((in_tree, number))
}

/// Leaks a text. Equal texts are leaked once.
fn literal(text: &str) -> &'static str {
    static KEPT: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.get(text).copied().unwrap_or_else(|| {
        let text: &'static str = Box::leak(text.into());
        kept.insert(text);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_its_place() {
        let text = "==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1 at pc 0x2\n\
                    READ of size 8 at 0x1 thread T0\n    \
                    #0 0x3 in free (/usr/lib/libasan.so+0x1)\n    \
                    #1 0x3 in f /tmp/x/tree/lib/rbtree.c:10\n    \
                    #2 0x4 in g /tmp/x/tree/drivers/gpu/buddy.c:20:3\n";
        let expected = Warning {
            condition: "heap-use-after-free, READ of size 8",
            file: "lib/rbtree.c",
            line: 10,
        };
        assert_eq!(warning(text), expected);
        let expected = Warning { condition: "an error", file: "", line: 0 };
        assert_eq!(warning("something else"), expected);
    }
}
