//! Memory failures.

use crate::diff::Operation;

use super::Choices;

/// Makes the allocator's memory fail from time to time.
#[derive(Clone, Copy, Debug)]
pub(in crate::diff) struct Faults {
    /// The rate of failures, from 0 to 1 per operation.
    rate: f64,
    /// All memory allocations fail until they are set to succeed.
    failing: bool,
}

impl Faults {
    pub fn new(rate: f64) -> Self {
        Self { rate, failing: false }
    }

    /// The next change of whether memory fails, if one is due.
    pub fn next(&mut self, choices: &mut impl Choices) -> Option<Operation> {
        if self.failing && choices.one_in(4) {
            self.failing = false;
            return Some(Operation::FailNth { nth: 1, times: 0 });
        }
        if !choices.at_rate(self.rate) {
            return None;
        }
        let nth = choices.between(1, 8);
        let times = match choices.below(4) {
            3 => u64::MAX,
            2 => choices.between(2, 4),
            _ => 1,
        };
        self.failing = times == u64::MAX;
        Some(Operation::FailNth { nth, times })
    }
}
