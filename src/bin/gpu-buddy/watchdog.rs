//! Ends the process if a call of the C hangs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::patience::Patience;
use crate::supervise::HANGS;

/// Seconds without progress after which a call hangs.
pub const PATIENCE: &str = "20";

/// Ends the process if a thread makes no progress.
pub struct Watchdog {
    started: Instant,
    patience: Duration,
    /// When each thread last made progress, in milliseconds since the start;
    /// `u64::MAX` when it is done.
    beats: Vec<AtomicU64>,
}

impl Watchdog {
    pub fn new(threads: u64, patience: f64) -> Self {
        let patience = Duration::from_secs_f64(patience);
        Self {
            started: Instant::now(),
            patience,
            beats: (0..threads).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub fn beat(&self, thread: u64) {
        let now = self.started.elapsed().as_millis() as u64;
        self.beats[thread as usize].store(now, Ordering::Relaxed);
    }

    pub fn finish(&self, thread: u64) {
        self.beats[thread as usize].store(u64::MAX, Ordering::Relaxed);
    }

    /// Watches until every thread is done.
    pub fn watch(&self) {
        let begin = || Patience::new(std::process::id(), self.patience);
        let (mut seen, mut patience) = (0, begin());
        loop {
            let last = self.beats.iter().map(|beat| beat.load(Ordering::Relaxed)).min();
            let Some(last) = last.filter(|&last| last != u64::MAX) else { return };
            if last != seen {
                (seen, patience) = (last, begin());
            } else if patience.is_over() {
                std::process::exit(HANGS);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
