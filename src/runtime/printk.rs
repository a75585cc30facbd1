//! The kernel log.

use core::ffi::{CStr, c_char, c_int};
use core::fmt;

use super::scope::{Event, report};

/// The level of a line of the kernel log, from the most urgent down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// `KERN_EMERG`
    Emergency,
    /// `KERN_ALERT`
    Alert,
    /// `KERN_CRIT`
    Critical,
    /// `KERN_ERR`
    Error,
    /// `KERN_WARNING`
    Warning,
    /// `KERN_NOTICE`
    Notice,
    /// `KERN_INFO`
    Info,
    /// `KERN_DEBUG`
    Debug,
}

impl LogLevel {
    fn from_number(number: c_int) -> Self {
        match number {
            ..=0 => Self::Emergency,
            1 => Self::Alert,
            2 => Self::Critical,
            3 => Self::Error,
            4 => Self::Warning,
            5 => Self::Notice,
            6 => Self::Info,
            7.. => Self::Debug,
        }
    }
}

impl From<LogLevel> for log::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Emergency | LogLevel::Alert | LogLevel::Critical | LogLevel::Error => {
                Self::Error
            }
            LogLevel::Warning => Self::Warn,
            LogLevel::Notice | LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
        }
    }
}

/// A line of the kernel log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LogLine {
    /// The level.
    pub level: LogLevel,
    /// The text, without the newline.
    pub text: String,
}

impl LogLine {
    pub(super) fn log(&self) {
        log::log!(target: "gpu_buddy", self.level.into(), "{}", self.text);
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// # Safety
///
/// `text` is a string that ends with a zero.
pub(super) unsafe extern "C-unwind" fn printk(level: c_int, text: *const c_char) {
    // SAFETY: vendor/shim/module/printk.c passes its own buffer, which ends with a zero.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let text = text.trim_end_matches('\n').to_owned();
    report(Event::Log(LogLine { level: LogLevel::from_number(level), text }));
}
