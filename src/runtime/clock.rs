//! The monotonic clock.

use std::sync::OnceLock;
use std::time::Instant;

/// Nanoseconds since the first call.
#[unsafe(no_mangle)]
extern "C-unwind" fn gpu_buddy_rt_ktime_get() -> i64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
}
