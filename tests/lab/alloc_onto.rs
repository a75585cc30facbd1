//! Allocations onto a list that is not empty: the C in lockstep with the reference model, and under
//! the contract.

use crate::common;
use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::{
    Finding, Implementation, KernelC, Lockstep, Operation, Outcome, Promise, Settings, Space, Trace,
};
use gpu_buddy::{AllocRequest, Errno, GpuBuddyAllocFlag, GpuBuddyAllocFlags};
use proptest::prelude::*;

const CHUNK: u64 = 4 << 10;
const CHUNKS: u64 = 24;

/// Requests of a few chunks. A contiguous one without a range may be pieced together, which
/// frees the list, and the C then reads freed memory: separate traces test that.
fn request(pieces: bool) -> impl Strategy<Value = AllocRequest> {
    let flags = any::<(bool, bool, bool)>();
    (1..=8u64, 0..CHUNKS, 0..3u32, any::<bool>(), flags).prop_map(
        move |(size, start, align, range, (contiguous, clear, trim_disable))| {
            let mut flags = GpuBuddyAllocFlags::empty();
            flags.set(GpuBuddyAllocFlag::Contiguous, contiguous && (pieces || range));
            flags.set(GpuBuddyAllocFlag::Clear, clear);
            flags.set(GpuBuddyAllocFlag::TrimDisable, trim_disable);
            let start = if range { start } else { 0 };
            AllocRequest {
                start: start * CHUNK,
                end: CHUNKS * CHUNK,
                size: size * CHUNK,
                min_block_size: CHUNK << align,
                range,
                flags,
                ..AllocRequest::default()
            }
        },
    )
}

fn operation() -> impl Strategy<Value = Operation> {
    let id = || 0..4u32;
    prop_oneof![
        4 => (id(), request(false))
            .prop_map(|(id, request)| Operation::AllocOnto { id, request }),
        1 => (id(), 0..4usize, any::<bool>())
            .prop_map(|(id, index, cleared)| Operation::FreeBlock { id, index, cleared }),
        1 => (id(), 1..4u64).prop_map(|(id, size)| Operation::Trim {
            id,
            start: None,
            new_size: size * CHUNK
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    #[cfg_attr(not(offset_align), ignore = "the model makes the choices of a later series")]
    fn the_model_does_what_the_c_does(
        first in prop::collection::vec(request(true), 4),
        operations in prop::collection::vec(operation(), 1..40),
    ) {
        let first = (0..).zip(first).map(|(id, request)| Operation::Alloc { id, request });
        let trace = Trace {
            space: Space::new(CHUNKS * CHUNK, CHUNK),
            operations: first.chain(operations).collect(),
        };
        let settings = Settings { full_check_interval: 1, ..Settings::default() };
        let found = trace.run(Lockstep::new::<KernelC, Reference>, settings).unwrap();
        prop_assert!(found.is_none(), "{}\n{trace}", found.unwrap().finding);
    }
}

const FREES_LIST: &str = "contiguous-frees-list";

/// The C under the contract alone, with what is known as a finding.
fn strictly(text: &str) -> Vec<Promise> {
    let trace: Trace = text.parse().unwrap();
    let settings = Settings { full_check_interval: 1, strict: true, ..Settings::default() };
    let mut alone = Lockstep::alone::<KernelC>(trace.space, settings).unwrap();
    let steps = trace.operations.iter().map(|operation| alone.step(operation));
    let mut findings: Vec<_> = steps.flat_map(|step| step.findings).collect();
    findings.extend(alone.finish().findings);
    let promise = |finding| match finding {
        Finding::Breach(breach) => breach.promise,
        other => panic!("{other}"),
    };
    findings.into_iter().map(promise).collect()
}

#[test]
fn a_list_that_is_freed_is_a_breach_and_no_more() {
    assert_eq!(strictly(&common::finding_trace(FREES_LIST)), [Promise::KeepsList]);
    // If a single block is enough, the list is left alone.
    let text = "space size=64K chunk=4K\na = alloc 4K\na += alloc 8K end=64K contiguous\n";
    assert_eq!(strictly(text), []);
}

#[test]
#[cfg_attr(not(offset_align), ignore = "the model makes the choices of a later series")]
fn the_model_frees_the_list_as_well() {
    let trace: Trace = common::finding_trace(FREES_LIST).parse().unwrap();
    let settings = Settings { full_check_interval: 1, ..Settings::default() };
    assert_eq!(trace.run(Lockstep::new::<KernelC, Reference>, settings).unwrap(), None);
}

/// An allocator that handles the list wrongly.
struct Wrong<const HOW: u8>(Reference);

const FORGETS: u8 = 0;
const ADDS_IN_FRONT: u8 = 1;
const KEEPS_AFTER_FAILURE: u8 = 2;

impl<const HOW: u8> Implementation for Wrong<HOW> {
    type Allocation = <Reference as Implementation>::Allocation;

    fn capabilities(&self) -> gpu_buddy::diff::Capabilities {
        self.0.capabilities()
    }

    fn create(space: Space) -> Result<Self, Errno> {
        Reference::create(space).map(Self)
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<Self::Allocation, Errno> {
        self.0.alloc(request)
    }

    fn alloc_onto(
        &mut self,
        allocation: &mut Self::Allocation,
        request: &AllocRequest,
    ) -> Result<(), Errno> {
        match HOW {
            FORGETS => {
                *allocation = self.0.alloc(request)?;
                Ok(())
            }
            ADDS_IN_FRONT => {
                let mut new = self.0.alloc(request)?;
                let mut old = Vec::new();
                self.0.blocks(allocation, &mut old);
                for block in old {
                    self.0.free_block(allocation, 0, false);
                    let again = AllocRequest {
                        start: block.offset,
                        end: block.offset + block.size(CHUNK),
                        size: block.size(CHUNK),
                        min_block_size: CHUNK,
                        range: true,
                        ..AllocRequest::default()
                    };
                    self.0.alloc_onto(&mut new, &again)?;
                }
                *allocation = new;
                Ok(())
            }
            _ => {
                let result = self.0.alloc_onto(allocation, request);
                if result.is_err() {
                    let page =
                        AllocRequest { size: CHUNK, min_block_size: CHUNK, ..Default::default() };
                    let _ = self.0.alloc_onto(allocation, &page);
                }
                result
            }
        }
    }

    fn blocks(&self, allocation: &Self::Allocation, blocks: &mut Vec<gpu_buddy::diff::Block>) {
        self.0.blocks(allocation, blocks);
    }

    fn free(&mut self, allocation: Self::Allocation, cleared: bool) {
        self.0.free(allocation, cleared);
    }

    fn avail(&self) -> u64 {
        self.0.avail()
    }

    fn clear_avail(&self) -> u64 {
        self.0.clear_avail()
    }
}

fn first_promise<I: Implementation>(text: &str) -> Option<Promise> {
    let trace: Trace = text.parse().unwrap();
    let found = trace.run(Lockstep::alone::<I>, Settings::default()).unwrap()?;
    match found.finding {
        Finding::Breach(breach) => Some(breach.promise),
        other => panic!("{other}"),
    }
}

#[test]
fn the_contract_sees_what_becomes_of_a_list() {
    const ROOM: &str = "space size=64K chunk=4K\na = alloc 4K\na += alloc 8K\n";
    const NO_ROOM: &str = "space size=64K chunk=4K\na = alloc 4K\na += alloc 64K\n";
    assert_eq!(first_promise::<Wrong<FORGETS>>(ROOM), Some(Promise::KeepsList));
    assert_eq!(first_promise::<Wrong<ADDS_IN_FRONT>>(ROOM), Some(Promise::KeepsList));
    assert_eq!(first_promise::<Wrong<KEEPS_AFTER_FAILURE>>(NO_ROOM), Some(Promise::KeepsList));
    assert_eq!(first_promise::<Reference>(ROOM), None);
    assert_eq!(first_promise::<Reference>(NO_ROOM), None);
}

/// An allocation that failed, or is freed, has no list.
#[test]
fn there_is_a_list_to_add_to() {
    let space = Space::new(64 << 10, CHUNK);
    let mut alone = Lockstep::alone::<KernelC>(space, Settings::default()).unwrap();
    let page = AllocRequest { size: CHUNK, min_block_size: CHUNK, ..AllocRequest::default() };
    let onto = Operation::AllocOnto { id: 0, request: page.clone() };
    assert_eq!(alone.step(&onto).outcome, Outcome::Skipped);
    alone.step(&Operation::Alloc { id: 0, request: page });
    assert_eq!(alone.step(&onto).outcome, Outcome::Done);
    assert_eq!(alone.blocks().len(), 2);
    alone.step(&Operation::Free { id: 0, cleared: false });
    assert_eq!(alone.step(&onto).outcome, Outcome::Skipped);
    assert!(alone.finish().findings.is_empty());
}
