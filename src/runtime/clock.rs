//! The monotonic clock.

use std::sync::OnceLock;
use std::time::Instant;

/// Nanoseconds since the first call.
pub(super) extern "C-unwind" fn ktime_get() -> i64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
}
