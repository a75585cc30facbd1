//! When memory fails.

use crate::diff::Operation;

use super::Choices;

/// Makes the allocator's memory fail now and then.
#[derive(Clone, Copy, Debug)]
pub(in crate::diff) struct Faults {
    /// How often, from 0 to 1.
    rate: f64,
    /// Memory was told to fail until told otherwise.
    failing: bool,
}

impl Faults {
    pub fn new(rate: f64) -> Self {
        Self { rate, failing: false }
    }

    /// The operation that changes whether memory fails, if it is time for one.
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
