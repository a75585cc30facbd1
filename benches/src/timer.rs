//! The time of this thread.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Measures the processor time of this thread, which does not run on while another program has the
/// processor.
pub struct Timer(Duration);

impl Timer {
    /// From now on.
    #[must_use]
    pub fn start() -> Self {
        Self(now())
    }

    /// The nanoseconds since the start.
    #[must_use]
    pub fn nanoseconds(&self) -> f64 {
        now().saturating_sub(self.0).as_nanos() as f64
    }
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
