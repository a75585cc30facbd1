//! How long a process may go without progress.

use std::fs;
use std::time::{Duration, Instant};

/// On a busy machine, a process may wait this many times the limit for a processor.
const MOST_WAITING: u32 = 10;

/// A timeout for progress. It expires only if the process has used most of the time on a
/// processor: on a busy machine, a process that waits for a processor does not hang.
pub struct Patience {
    process: u32,
    limit: Duration,
    since: Instant,
    used: Duration,
}

impl Patience {
    /// The process must make progress within `limit`.
    pub fn new(process: u32, limit: Duration) -> Self {
        let used = processor_time(process).unwrap_or_default();
        Self { process, limit, since: Instant::now(), used }
    }

    /// There was progress.
    pub fn begin_again(&mut self) {
        *self = Self::new(self.process, self.limit);
    }

    /// Whether the process has made no progress for too long.
    pub fn is_over(&self) -> bool {
        let waited = self.since.elapsed();
        if waited < self.limit {
            return false;
        }
        // If the count cannot be read, take the elapsed time.
        let used = processor_time(self.process).map_or(waited, |now| now.saturating_sub(self.used));
        used >= self.limit.mul_f64(0.75) || waited >= self.limit * MOST_WAITING
    }
}

/// The processor time of all threads of a process, as the kernel counts it.
fn processor_time(process: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program may have spaces and parentheses.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    let ticks = next()? + next()?;
    Some(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_process_expires_later_than_a_running_one() {
        let limit = Duration::from_millis(100);
        let patience = Patience::new(std::process::id(), limit);
        assert!(!patience.is_over());
        let used = || processor_time(std::process::id()).expect("a count");
        let (begun, used_before) = (Instant::now(), used());
        while used() - used_before < 2 * limit || begun.elapsed() < 2 * limit {
            std::hint::black_box(0);
        }
        assert!(patience.is_over());

        let mut sleeping = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let patience = Patience::new(sleeping.id(), limit);
        std::thread::sleep(2 * limit);
        let over = patience.is_over();
        std::thread::sleep(limit * MOST_WAITING);
        let over_in_the_end = patience.is_over();
        sleeping.kill().and_then(|()| sleeping.wait()).expect("it ends");
        assert_eq!((over, over_in_the_end), (false, true));
    }
}
