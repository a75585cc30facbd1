//! Runs a trace and returns the state after it.

use std::collections::{BTreeMap, HashMap};

use gpu_buddy::diff::{Block, Id, Lockstep, Operation, Outcome};
use gpu_buddy::{BlockInfo, BlockState, Snapshot};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::follow::{Observer, What};

/// The state after some operations of a trace.
#[derive(Serialize, Deserialize)]
pub struct State {
    #[serde(serialize_with = "write", deserialize_with = "read")]
    pub snapshot: Snapshot,
    /// The allocation of each block, by the block's offset.
    pub owners: BTreeMap<u64, Id>,
}

/// Records which block belongs to which allocation.
#[derive(Default)]
pub struct Looker {
    /// The blocks of each allocation.
    allocations: HashMap<Id, Vec<Block>>,
}

impl Observer for Looker {
    type Seen = State;
    const WHAT: What = What::State;

    fn begin(_: usize, _: &mut Lockstep) -> Self {
        Self::default()
    }

    fn observe(&mut self, _: usize, operation: &Operation, outcome: Outcome, pair: &mut Lockstep) {
        if outcome == Outcome::Skipped {
            return;
        }
        match *operation {
            Operation::Alloc { id, .. }
            | Operation::AllocOnto { id, .. }
            | Operation::Trim { id, .. } => {
                self.allocations.insert(id, pair.blocks().to_vec());
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

    fn end(self, pair: &mut Lockstep) -> State {
        let Some(snapshot) = pair.snapshot() else {
            unreachable!("a kernel has a state until a BUG")
        };
        let owners = self
            .allocations
            .into_iter()
            .flat_map(|(id, blocks)| blocks.into_iter().map(move |block| (block.offset, id)));
        State { snapshot, owners: owners.collect() }
    }
}

/// Offset, order, state and whether it is clear.
type Plain = (u64, u32, u8, bool);

const STATES: [BlockState; 3] = [BlockState::Free, BlockState::Allocated, BlockState::Split];

fn write<S: Serializer>(snapshot: &Snapshot, serializer: S) -> Result<S::Ok, S::Error> {
    let Snapshot { chunk_size, size, avail, clear_avail, blocks } = snapshot;
    let plain = |block: &BlockInfo| -> Plain {
        (block.offset, block.order, block.state as u8, block.clear)
    };
    let blocks: Vec<_> = blocks.iter().map(plain).collect();
    (chunk_size, size, avail, clear_avail, blocks).serialize(serializer)
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Snapshot, D::Error> {
    let (chunk_size, size, avail, clear_avail, blocks) =
        <(u64, u64, u64, u64, Vec<Plain>)>::deserialize(deserializer)?;
    let block = |(offset, order, state, clear): Plain| {
        let state = STATES.into_iter().find(|&it| it as u8 == state);
        let state = state.ok_or_else(|| serde::de::Error::custom("an unknown state"))?;
        Ok(BlockInfo { offset, order, state, clear })
    };
    let blocks = blocks.into_iter().map(block).collect::<Result<_, _>>()?;
    Ok(Snapshot { chunk_size, size, avail, clear_avail, blocks })
}
