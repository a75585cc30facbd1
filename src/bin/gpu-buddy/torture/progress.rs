//! Shows the progress of a run.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use gpu_buddy::diff::torture::Report;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::Limit;

/// A progress bar on a terminal, otherwise a line every few seconds.
pub struct Progress {
    bar: ProgressBar,
    seconds: Option<f64>,
    operations: AtomicU64,
    next_line: AtomicU64,
    lines: bool,
}

/// Seconds between lines.
const LINE_EVERY: u64 = 10;

impl Progress {
    pub fn new(limit: &Limit, json: bool) -> Self {
        let (length, seconds) = match *limit {
            Limit::Operations(operations) => (operations, None),
            Limit::Seconds(seconds) => ((seconds * 1000.0) as u64, Some(seconds)),
        };
        let terminal = stderr().is_terminal();
        let bar = if terminal { ProgressBar::new(length) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{wide_bar} {msg} {elapsed}");
        bar.set_style(style.expect("the template is valid"));
        Self {
            bar,
            seconds,
            operations: AtomicU64::new(0),
            next_line: AtomicU64::new(LINE_EVERY),
            lines: !terminal && !json,
        }
    }

    pub fn add(&self, operations: u64, report: &Report, started: &Instant) {
        let operations = self.operations.fetch_add(operations, Ordering::Relaxed) + operations;
        let elapsed = started.elapsed();
        let known: u64 = report.known.values().sum();
        let rate = operations as f64 / elapsed.as_secs_f64().max(0.001);
        let message = || {
            format!(
                "{} operations, {}/s, 0 divergences, {} known",
                HumanCount(operations),
                HumanCount(rate as u64),
                HumanCount(known)
            )
        };
        if !self.bar.is_hidden() {
            self.bar.set_position(match self.seconds {
                Some(_) => elapsed.as_millis() as u64,
                None => operations,
            });
            self.bar.set_message(message());
        }
        let line = self.next_line.load(Ordering::Relaxed);
        if self.lines
            && elapsed.as_secs() >= line
            && self
                .next_line
                .compare_exchange(line, line + LINE_EVERY, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            eprintln!("{} s: {}", elapsed.as_secs(), message());
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
