//! Runs a trace and returns the state after it.

use std::collections::{BTreeMap, HashMap};

use gpu_buddy::diff::{
    Block, Id, KernelC, Lockstep, NotCreated, Operation, Outcome, Settings, TraceFile,
};
use gpu_buddy::module::Module;
use gpu_buddy::{KernelBug, Snapshot};

/// The state after some operations of a trace.
pub struct State {
    pub snapshot: Snapshot,
    /// Number of operations before it.
    pub operations: usize,
    /// The name of a block's allocation, by the block's offset.
    pub names: BTreeMap<u64, String>,
    /// Why it is not the requested state.
    pub stopped: Option<Stopped>,
}

/// Why there is no state after an operation.
pub enum Stopped {
    Bug(KernelBug),
    Fini,
}

/// Runs a number of operations of a trace on a kernel, without checks. Stops early if an operation
/// leaves no state.
pub fn state(file: &TraceFile, module: Module, operations: usize) -> Result<State, NotCreated> {
    let (run, stopped) = Run::to(file, module, operations)?;
    let run = match stopped {
        None => run,
        // The state before it needs another run.
        Some(_) => Run::to(file, module, run.done - 1)?.0,
    };
    let Run { mut pair, done, allocations, .. } = run;
    let Some(snapshot) = pair.snapshot() else { unreachable!("a kernel has a state until a BUG") };
    let mut names = BTreeMap::new();
    for (id, blocks) in allocations {
        for block in blocks {
            names.insert(block.offset, file.name(id).unwrap_or_default().to_owned());
        }
    }
    Ok(State { snapshot, operations: done, names, stopped })
}

/// An allocator of a kernel, without a second one to compare it with.
pub fn start(file: &TraceFile, module: Module) -> Result<Lockstep<KernelC, KernelC>, NotCreated> {
    let settings =
        Settings { full_check_interval: 0, differences_only: true, ..Settings::default() };
    let space = file.trace().space;
    Lockstep::only(KernelC::new(module, space), space, settings)
}

struct Run {
    pair: Lockstep<KernelC, KernelC>,
    done: usize,
    /// The blocks of each allocation.
    allocations: HashMap<Id, Vec<Block>>,
}

impl Run {
    /// Ends early after an operation that leaves no state.
    fn to(
        file: &TraceFile,
        module: Module,
        operations: usize,
    ) -> Result<(Self, Option<Stopped>), NotCreated> {
        let mut run = Self { pair: start(file, module)?, done: 0, allocations: HashMap::new() };
        for operation in &file.trace().operations[..operations] {
            let outcome = run.pair.step(operation).outcome;
            run.done += 1;
            if let Some(bug) = run.pair.bug() {
                return Ok((run, Some(Stopped::Bug(bug))));
            }
            if *operation == Operation::Fini {
                return Ok((run, Some(Stopped::Fini)));
            }
            run.observe(operation, outcome);
        }
        Ok((run, None))
    }

    fn observe(&mut self, operation: &Operation, outcome: Outcome) {
        if outcome == Outcome::Skipped {
            return;
        }
        match *operation {
            Operation::Alloc { id, .. }
            | Operation::AllocOnto { id, .. }
            | Operation::Trim { id, .. } => {
                self.allocations.insert(id, self.pair.blocks().to_vec());
            }
            Operation::Free { id, .. } => {
                self.allocations.remove(&id);
            }
            Operation::FreeBlock { id, index, .. } => {
                let blocks = self.allocations.entry(id).or_default();
                if index < blocks.len() {
                    blocks.remove(index);
                }
            }
            Operation::ResetClear { .. }
            | Operation::BlockAt { .. }
            | Operation::FailNth { .. }
            | Operation::Fini => {}
        }
    }
}
