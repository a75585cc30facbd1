//! One allocator's whole run.

use crate::diff::generate::{self, Choices, Seeded, Source};
use crate::diff::trace::FirstFinding;
use crate::diff::{Capabilities, NotCreated, Operation, Settings, Space, Trace};

use super::Start;
use super::{Options, Pulse, Report};

/// One allocator's whole run. A torture run is a sequence of episodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Episode {
    /// The seed of all random choices in it.
    pub seed: u64,
    /// The managed space.
    pub space: Space,
    /// The number of operations.
    pub operations: u64,
    /// As in [`Settings::full_check_interval`].
    pub full_check_interval: u64,
}

/// The number of operations between two calls of `watch`.
const WATCH_INTERVAL: u64 = 128;

/// Runs episodes.
pub(in crate::diff) struct Runner<'a, 'p> {
    pub options: &'a Options,
    pub start: &'a Start<'p>,
    pub report: Report,
    pub pulse: &'a Pulse,
}

impl<'a, 'p> Runner<'a, 'p> {
    pub fn new(options: &'a Options, start: &'a Start<'p>, pulse: &'a Pulse) -> Self {
        Self { options, start, report: Report::default(), pulse }
    }

    /// The next episode.
    pub fn draw(&self, choices: &mut Seeded) -> Episode {
        let Options { space, load, .. } = *self.options;
        let space = space.unwrap_or_else(|| generate::space_for(load, choices));
        let left = self.options.operations - self.report.operations;
        // Many short ones, so that there are many spaces and many ends, and a few long ones. None
        // takes more than a fiftieth of the run.
        let operations = match choices.below(32) {
            0 => 10 * choices.log_uniform(100_000),
            _ => choices.log_uniform(50_000),
        };
        let operations = operations.min((self.options.operations / 50).max(1000)).min(left);
        // Short ones are checked more often.
        let full_check_interval = match (operations, choices.below(4)) {
            (..1000, 0..3) => 1,
            (..10_000, 0) => 16,
            _ => self.options.settings.full_check_interval,
        };
        Episode { seed: choices.number(), space, operations, full_check_interval }
    }

    pub fn settings(&self, episode: Episode) -> Settings {
        let full_check_interval = episode.full_check_interval;
        Settings { full_check_interval, ..self.options.settings }
    }

    fn generator(&self, episode: Episode, capabilities: Capabilities) -> Source {
        let Options { load, faults, .. } = *self.options;
        let Episode { seed, space, .. } = episode;
        // Other episodes end as `Lockstep::finish` does.
        let ends_after = Some(episode.operations).filter(|_| seed.is_multiple_of(2));
        Source::new(load, seed, space, capabilities, faults, ends_after)
    }

    /// Runs an episode to its first finding or its end.
    pub fn run_episode(
        &mut self,
        episode: Episode,
        watch: &mut dyn FnMut(&Report) -> bool,
    ) -> Option<FirstFinding> {
        let mut pair = match (self.start)(episode.space, self.settings(episode)) {
            Ok(pair) => pair,
            Err(NotCreated::Finding(finding)) => return FirstFinding::of(vec![*finding], 0, false),
            Err(NotCreated::Refused(_)) => {
                self.report.refused += 1;
                return None;
            }
            Err(NotCreated::Declined) => {
                self.report.declined += 1;
                return None;
            }
        };
        let mut generator = self.generator(episode, pair.capabilities());
        self.report.allocators += 1;
        self.report.not_compared |= !pair.capabilities();
        let mut clear_avail = pair.accounts().clear_avail;
        for done in 1..=episode.operations {
            let operation = generator.next(Some(pair.contract()));
            self.pulse.beat();
            let step = pair.step(&operation);
            let blocks = pair.blocks();
            let accounts = pair.accounts();
            generator.observe(&operation, step.outcome, blocks, accounts.avail);

            let clear_before = core::mem::replace(&mut clear_avail, accounts.clear_avail);
            let clear = blocks.iter().filter(|block| block.clear);
            let given = clear.map(|block| block.size(episode.space.chunk_size)).sum::<u64>();
            let merged = clear_before > clear_avail.saturating_add(given);
            self.report.operations += 1;
            self.report.tally.count(&operation, step.outcome, blocks.len(), merged);
            if self.options.costs
                && let Some(steps) = pair.costs().0
            {
                self.report.costs.record(&operation, steps, &episode, done);
            }
            let findings = self.report.record(step);
            if !findings.is_empty() {
                return FirstFinding::of(findings, done as usize, false);
            }
            // End the episode properly, so that its end is checked.
            let watched = self.report.operations.is_multiple_of(WATCH_INTERVAL);
            if pair.is_unusable() || (watched && !watch(&self.report)) {
                break;
            }
        }
        let findings = self.report.record(pair.finish());
        FirstFinding::of(findings, episode.operations as usize, true)
    }

    /// The first `count` operations of an episode. The last one is not run.
    pub fn operations(&self, episode: Episode, count: u64) -> Trace {
        let mut operations = Vec::new();
        if let Ok(mut pair) = (self.start)(episode.space, self.settings(episode)) {
            let mut generator = self.generator(episode, pair.capabilities());
            for left in (0..count).rev() {
                let operation = generator.next(Some(pair.contract()));
                if left > 0 {
                    let outcome = pair.step(&operation).outcome;
                    let (blocks, avail) = (pair.blocks(), pair.accounts().avail);
                    generator.observe(&operation, outcome, blocks, avail);
                }
                operations.push(operation);
            }
        }
        Trace { space: episode.space, operations }
    }

    /// Runs an episode again, to its end. Calls `each` with each operation before it runs.
    pub fn replay(&self, episode: Episode, mut each: impl FnMut(&Operation)) {
        let Ok(mut pair) = (self.start)(episode.space, self.settings(episode)) else { return };
        let mut generator = self.generator(episode, pair.capabilities());
        for _ in 0..episode.operations {
            let operation = generator.next(Some(pair.contract()));
            each(&operation);
            let outcome = pair.step(&operation).outcome;
            generator.observe(&operation, outcome, pair.blocks(), pair.accounts().avail);
        }
        pair.finish();
    }
}
