//! In small spaces, every sequence of operations does the same in the C and in
//! the reference model, and keeps the contract.
//!
//! A breadth-first search over states. A state is the tree, with what is
//! allocated together; each operation there is leads from one to another. A
//! state is reached again by doing the shortest sequence that led there on a
//! fresh allocator. Each step is made in lockstep, with all checks.

use std::collections::HashSet;
use std::io::Write;
use std::time::Instant;

use crate::common::{CHUNK, not_tested};
use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::{Block, Id, KernelC, Lockstep, Operation, Outcome, Settings, Space, Trace};
use gpu_buddy::module::Module;
use gpu_buddy::{AllocRequest, BlockState, GpuBuddyAllocFlag, GpuBuddyAllocFlags};
use rstest::rstest;

/// The number of transitions after which the search of a space ends. The environment can give
/// another.
const BUDGET: u64 = 800_000;
const VARIABLE: &str = "GPU_BUDDY_TRANSITIONS";

/// An allocator's state, and how to come to it.
#[derive(Clone)]
struct State {
    path: Vec<Operation>,
    /// What is allocated, each as the blocks that it has.
    live: Vec<(Id, Vec<Block>)>,
}

/// The tree in short, each allocated block with the number of its allocation.
type Key = Box<[u8]>;

fn key(pair: &mut Lockstep, live: &[(Id, Vec<Block>)]) -> Key {
    let snapshot = pair.snapshot().expect("it is usable");
    let mut key = Vec::with_capacity(2 * snapshot.blocks.len());
    // Numbered as they appear, so that names do not matter.
    let mut seen: Vec<usize> = Vec::new();
    for block in &snapshot.blocks {
        let owner = match block.state {
            BlockState::Allocated => {
                let owns = |(_, blocks): &(Id, Vec<Block>)| {
                    blocks.iter().any(|own| own.offset == block.offset)
                };
                let owner = live.iter().position(owns).expect("somebody has it");
                let number = seen.iter().position(|&seen| seen == owner).unwrap_or_else(|| {
                    seen.push(owner);
                    seen.len() - 1
                });
                number as u8
            }
            BlockState::Free => 0x80,
            BlockState::Split => 0x81,
        };
        key.extend([owner, block.order as u8 | u8::from(block.clear) << 7]);
    }
    key.into()
}

/// What is allocated after an operation.
fn after(
    live: &[(Id, Vec<Block>)],
    operation: &Operation,
    blocks: &[Block],
) -> Vec<(Id, Vec<Block>)> {
    let mut live = live.to_vec();
    match *operation {
        Operation::Alloc { id, .. } => live.push((id, blocks.to_vec())),
        Operation::Free { id, .. } => live.retain(|&(other, _)| other != id),
        Operation::FreeBlock { id, index, .. } => {
            for (other, blocks) in &mut live {
                if *other == id {
                    blocks.remove(index);
                }
            }
            live.retain(|(_, blocks)| !blocks.is_empty());
        }
        Operation::Trim { id, .. } => {
            for (other, old) in &mut live {
                if *other == id {
                    *old = blocks.to_vec();
                }
            }
        }
        _ => {}
    }
    live
}

/// Every request in a space of this many chunks, without those that are the same to the
/// allocator.
fn requests(chunks: u64) -> Vec<AllocRequest> {
    let mut places = vec![];
    for end in [0, chunks] {
        for top_down in [false, true] {
            places.push(AllocRequest { end, top_down, ..AllocRequest::default() });
        }
    }
    for end in 0..=chunks {
        for start in 0..end.max(1) {
            places.push(AllocRequest { start, end, range: true, ..AllocRequest::default() });
        }
    }
    let mut requests = Vec::new();
    for place in places {
        for size in 1..=chunks {
            for align in (0..=chunks.next_power_of_two().ilog2()).map(|log| 1 << log) {
                for flags in (0..8).map(flags) {
                    let whole = if flags.contains(GpuBuddyAllocFlag::Contiguous) {
                        size.is_power_of_two()
                    } else {
                        size % align == 0 || size.is_power_of_two()
                    };
                    if whole && flags.contains(GpuBuddyAllocFlag::TrimDisable) {
                        continue;
                    }
                    requests.push(AllocRequest {
                        start: place.start * CHUNK,
                        end: place.end * CHUNK,
                        size: size * CHUNK,
                        min_block_size: align * CHUNK,
                        flags,
                        ..place
                    });
                }
            }
        }
    }
    requests
}

fn flags(bits: u32) -> GpuBuddyAllocFlags {
    [GpuBuddyAllocFlag::Contiguous, GpuBuddyAllocFlag::Clear, GpuBuddyAllocFlag::TrimDisable]
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 == 1)
        .fold(GpuBuddyAllocFlags::empty(), |flags, (_, flag)| flags | flag)
}

/// Every operation in a state, except allocations.
fn others(state: &State) -> Vec<Operation> {
    let mut operations = Vec::new();
    for clear in [false, true] {
        operations.push(Operation::ResetClear { clear });
        for (id, blocks) in &state.live {
            let id = *id;
            operations.push(Operation::Free { id, cleared: clear });
            if blocks.len() > 1 {
                let free = |index| Operation::FreeBlock { id, index, cleared: clear };
                operations.extend((0..blocks.len()).map(free));
            }
        }
    }
    for (id, blocks) in &state.live {
        let [block] = blocks[..] else { continue };
        let chunks = 1 << block.order;
        for size in 1..chunks {
            let (id, new_size) = (*id, size * CHUNK);
            operations.push(Operation::Trim { id, start: None, new_size });
            for skipped in 1..=chunks - size {
                let start = Some(block.offset + skipped * CHUNK);
                operations.push(Operation::Trim { id, start, new_size });
            }
        }
    }
    operations
}

fn reach(space: Space, path: &[Operation]) -> Lockstep {
    let settings = Settings { full_check_interval: 0, ..Settings::default() };
    let mut pair = Lockstep::new::<KernelC, Reference>(space, settings).expect("a space");
    for operation in path {
        pair.step(operation);
    }
    pair.set_full_check_interval(1);
    pair
}

#[rstest]
fn every_sequence(#[values(1, 2, 3, 4, 5, 6, 7, 8)] chunks: u64) {
    if !Reference::models(Module::compiled_in().features()) {
        not_tested("every sequence", "the reference model makes other choices than this kernel");
        return;
    }
    let budget = std::env::var(VARIABLE).map_or(BUDGET, |number| number.parse().expect(VARIABLE));
    let started = Instant::now();
    let space = Space::new(chunks * CHUNK, CHUNK);
    let requests = requests(chunks);
    let first = State { path: Vec::new(), live: Vec::new() };
    let mut states = HashSet::from([key(&mut reach(space, &[]), &[])]);
    let (mut layer, mut depth) = (vec![first], 0);
    let mut transitions = 0;

    // Breadth first, so that the search is complete up to some depth.
    let mut complete = true;
    while !layer.is_empty() && complete {
        let mut next = Vec::new();
        for state in &layer {
            if transitions >= budget {
                complete = false;
                break;
            }
            let before = key(&mut reach(space, &state.path), &state.live);
            let id = state.path.len() as Id;
            let allocs = requests.iter().cloned().map(|request| Operation::Alloc { id, request });
            let mut pair = None;
            for operation in others(state).into_iter().chain(allocs) {
                let mut here = pair.take().unwrap_or_else(|| reach(space, &state.path));
                let step = here.step(&operation);
                transitions += 1;
                let path = || [&state.path[..], std::slice::from_ref(&operation)].concat();
                if let Some(finding) = step.findings.first() {
                    let trace = Trace { space, operations: path() };
                    panic!("{finding}\n{trace}");
                }
                let done = step.outcome == Outcome::Done;
                let live = match done {
                    true => &after(&state.live, &operation, here.blocks()),
                    false => &state.live,
                };
                let state = key(&mut here, live);
                if state == before && !done {
                    // Nothing has happened: the next operation can follow.
                    pair = Some(here);
                } else if states.insert(state) {
                    next.push(State { path: path(), live: live.clone() });
                }
            }
        }
        depth += u32::from(complete);
        layer = next;
    }
    let end = if complete { "which is all there is" } else { "and some beyond" };
    // Not through `println!`, which the test harness keeps to itself.
    writeln!(
        std::io::stdout(),
        "{chunks} chunks: {} states, {transitions} transitions: all to depth {depth}, {end}; \
         {:.1} s",
        states.len(),
        started.elapsed().as_secs_f64()
    )
    .expect("a line");
}
