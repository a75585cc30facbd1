//! Follows the allocations of a trace, to explain why an operation has nothing to do.

use std::collections::HashMap;

use gpu_buddy::diff::{Id, Operation, Outcome, TraceFile};

/// The state of an allocation, and the line that led to it.
enum Fate {
    /// The call failed or was skipped.
    NotMade { line: usize, outcome: Outcome },
    /// It has this many blocks. `line` was the last to change the number.
    Held { blocks: usize, line: usize },
    /// It is freed.
    Freed { line: usize },
}

/// The allocations of a trace that is replayed.
pub struct Allocations<'a> {
    file: &'a TraceFile,
    fates: HashMap<Id, Fate>,
    torn_down: Option<usize>,
}

impl<'a> Allocations<'a> {
    pub fn new(file: &'a TraceFile) -> Self {
        Self { file, fates: HashMap::new(), torn_down: None }
    }

    /// Records the outcome of an operation. `blocks` is the number of blocks of the allocation
    /// after an operation that changes it.
    pub fn observe(&mut self, index: usize, outcome: Outcome, blocks: usize) {
        let line = self.file.operation(index).number();
        match &self.file.trace().operations[index] {
            Operation::Alloc { id, .. } => {
                let fate = match outcome {
                    Outcome::Done => Fate::Held { blocks, line },
                    outcome => Fate::NotMade { line, outcome },
                };
                self.fates.insert(*id, fate);
            }
            _ if outcome == Outcome::Skipped => {}
            Operation::AllocOnto { id, .. } | Operation::Trim { id, .. } => {
                self.fates.insert(*id, Fate::Held { blocks, line });
            }
            Operation::FreeBlock { id, .. } => {
                if let Some(Fate::Held { blocks, line: last }) = self.fates.get_mut(id) {
                    (*blocks, *last) = (blocks.saturating_sub(1), line);
                }
            }
            Operation::Free { id, .. } => {
                self.fates.insert(*id, Fate::Freed { line });
            }
            Operation::Fini => self.torn_down = Some(line),
            Operation::ResetClear { .. }
            | Operation::BlockAt { .. }
            | Operation::FailNth { .. } => {}
        }
    }

    /// Why an operation had nothing to do; `None` if the trace does not explain it.
    pub fn why_skipped(&self, index: usize) -> Option<String> {
        if let Some(line) = self.torn_down {
            return Some(format!("nothing to do: line {line} tears the allocator down"));
        }
        let operation = &self.file.trace().operations[index];
        let id = operation.allocation()?;
        let name = self.file.name(id).unwrap_or_default();
        let here = self.file.operation(index).number();
        match (self.fates.get(&id)?, operation) {
            (_, Operation::Alloc { .. }) => None,
            (Fate::NotMade { line, outcome: Outcome::Failed(errno) }, _) => {
                Some(format!("nothing to do: {name} failed with {errno} in line {line}"))
            }
            (Fate::NotMade { line, .. }, _) => {
                Some(format!("nothing to do: line {line}, which allocates {name}, was skipped"))
            }
            (Fate::Freed { line }, _) => {
                Some(format!("refused: line {line} has freed {name} already"))
            }
            (Fate::Held { blocks: 0, line }, Operation::FreeBlock { index, .. }) => Some(format!(
                "refused: line {here} frees {name}[{index}], but line {line} has freed the last \
                 block of {name}"
            )),
            (Fate::Held { blocks, .. }, Operation::FreeBlock { index, .. }) if index >= blocks => {
                let blocks =
                    if *blocks == 1 { "1 block".into() } else { format!("{blocks} blocks") };
                Some(format!("refused: line {here} frees {name}[{index}], but {name} has {blocks}"))
            }
            (Fate::Held { .. }, _) => None,
        }
    }
}
