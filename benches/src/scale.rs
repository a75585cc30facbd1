//! How time, steps and memory grow with the number of live blocks and the size of the space. Each
//! point is measured in a process of its own, because freed memory would hide what the next one
//! takes.

use std::io;
use std::process::Command;

use gpu_buddy::diff::Space;

use crate::pairs::Quartiles;
use crate::random::Random;
use crate::subject::{Kind, Want};
use crate::timer::Timer;

const SEED: u64 = 1;
const ROUNDS: usize = 15;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The subject.
    pub kind: Kind,
    /// The space.
    pub space: Space,
    /// The number of live allocations of one chunk each.
    pub live: u32,
}

/// A measurement.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The median time of a free and an allocation, in nanoseconds.
    pub nanoseconds: f64,
    /// The memory for a live block, in bytes, with the handle.
    pub bytes: f64,
    /// The steps of a free and an allocation, if they are counted.
    pub steps: Option<f64>,
}

impl Point {
    /// The arguments for a process that measures this point.
    #[must_use]
    pub fn arguments(&self, pairs: usize) -> [String; 6] {
        let Space { size, chunk_size, .. } = self.space;
        let numbers = [size, chunk_size, self.live.into(), pairs as u64];
        let [size, chunk_size, live, pairs] = numbers.map(|number| number.to_string());
        ["point".to_owned(), self.kind.name().to_owned(), size, chunk_size, live, pairs]
    }

    /// Measures it in a process of its own; `None` if the subject cannot manage the space.
    ///
    /// # Errors
    ///
    /// If the process cannot be started, or prints something else.
    pub fn measure(&self, pairs: usize) -> io::Result<Option<Measured>> {
        let output = Command::new(std::env::current_exe()?).args(self.arguments(pairs)).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<f64> = text.split_whitespace().map_while(|it| it.parse().ok()).collect();
        match (output.status.success(), &numbers[..]) {
            (true, []) => Ok(None),
            (true, &[nanoseconds, bytes, ref steps @ ..]) => {
                Ok(Some(Measured { nanoseconds, bytes, steps: steps.first().copied() }))
            }
            _ => Err(io::Error::other(format!(
                "{self:?}: {}: {text}{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            ))),
        }
    }

    /// Measures it in this process, which must be fresh.
    ///
    /// # Errors
    ///
    /// If this process's memory cannot be read.
    pub fn measure_here(&self, pairs: usize) -> io::Result<Option<Measured>> {
        let (live, more) = (self.live, self.live / 8);
        let align = self.space.chunk_size;
        let want = |slot| Want { slot, size: align, align, contiguous: false };
        let before = resident()?;
        let Some(mut runner) = self.kind.start(self.space, (live + more) as usize) else {
            return Ok(None);
        };
        let mut failed = 0;
        let mut filled = 0;
        // In parts, so that the list of requests takes no memory.
        let mut fill = |slots: std::ops::Range<u32>| {
            for first in slots.clone().step_by(1024) {
                let part: Vec<_> = (first..slots.end.min(first + 1024)).map(want).collect();
                failed += runner.run(&part);
            }
        };
        fill(0..live);
        if let Some(bytes) = resident()?.checked_sub(before) {
            filled = bytes;
        }
        // More are allocated, and as many freed at random, so that there are holes.
        fill(live..live + more);
        let mut random = Random::new(SEED);
        let mut slots: Vec<u32> = (0..live + more).collect();
        for _ in 0..more {
            let slot = slots.swap_remove(random.below(slots.len() as u64) as usize);
            runner.run(&[Want { size: 0, ..want(slot) }]);
        }
        let before = runner.steps();
        let times = (0..ROUNDS).map(|_| {
            let wants: Vec<_> = (0..pairs)
                .map(|_| want(slots[random.below(slots.len() as u64) as usize]))
                .collect();
            let started = Timer::start();
            failed += runner.run(&wants);
            started.nanoseconds() / pairs as f64
        });
        let nanoseconds = Quartiles::new(times.collect()).median;
        let steps = before.zip(runner.steps()).map(|(before, after)| (after - before) as f64);
        let steps = steps.map(|steps| steps / (ROUNDS * pairs) as f64);
        // It would take longer than the measurement.
        std::mem::forget(runner);
        if failed > 0 {
            return Ok(None);
        }
        Ok(Some(Measured { nanoseconds, bytes: filled as f64 / f64::from(live), steps }))
    }
}

/// The resident memory of this process in bytes.
fn resident() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.map(|it| it << 10).ok_or_else(|| io::Error::other("no VmRSS in /proc/self/status"))
}
