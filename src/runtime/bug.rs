//! `BUG()` and `WARN()`.

use core::ffi::{c_char, c_uint};
use core::fmt;

use super::scope::{Event, report, unwind};

/// A kernel BUG: a condition that the C considers impossible came true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct KernelBug {
    /// The condition, as written in the C.
    pub condition: &'static str,
    /// The file, as a path inside the kernel tree.
    pub file: &'static str,
    /// The line in that file.
    pub line: u32,
}

impl KernelBug {
    /// Not a BUG of the C, but treated as one: the C ran out of memory, and was stopped before its
    /// error path corrupted its trees. See [`fault`](crate::fault) for the series in which this
    /// happens.
    pub const OUT_OF_MEMORY: Self = Self {
        condition: "out of memory, which this kernel's allocator does not survive",
        file: "",
        line: 0,
    };
}

impl fmt::Display for KernelBug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A stop that is not in the C has no place.
        if self.file.is_empty() {
            return f.write_str(self.condition);
        }
        write!(f, "kernel BUG at {}:{}: {}", self.file, self.line, self.condition)
    }
}

/// A kernel warning: the C found something wrong and continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Warning {
    /// The condition that raised it, as written in the C.
    pub condition: &'static str,
    /// The file, as a path inside the kernel tree.
    pub file: &'static str,
    /// The line in that file.
    pub line: u32,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WARNING at {}:{}: {}", self.file, self.line, self.condition)
    }
}

/// Unwinds to the safe API, or to the caller of the raw layer.
///
/// # Safety
///
/// `condition` and `file` are string literals.
pub(super) unsafe extern "C-unwind" fn bug(
    condition: *const c_char,
    file: *const c_char,
    line: c_uint,
) {
    // SAFETY: the macros of vendor/shim/linux/bug.h and list.h pass literals.
    let (condition, file) = unsafe { (super::literal(condition), super::literal(file)) };
    let bug = KernelBug { condition, file, line };
    unwind(bug, &bug)
}

/// # Safety
///
/// `condition` and `file` are string literals.
pub(super) unsafe extern "C-unwind" fn warn(
    condition: *const c_char,
    file: *const c_char,
    line: c_uint,
) {
    // SAFETY: the macros of vendor/shim/linux/bug.h pass literals.
    let (condition, file) = unsafe { (super::literal(condition), super::literal(file)) };
    report(Event::Warning(Warning { condition, file, line }));
}
