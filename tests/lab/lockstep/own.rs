//! A user's own allocator in lockstep.

#[path = "../../../examples/my_allocator.rs"]
mod my_allocator;

use gpu_buddy::diff::reference::{Allocation, Reference};
use gpu_buddy::diff::torture::{self, Options};
use gpu_buddy::diff::{
    Block, Capabilities, Comparison, Implementation, KernelC, Lockstep, Promise, Settings, Space,
    Trace,
};
use gpu_buddy::{AllocRequest, Errno};
use my_allocator::Bitmap;
use rstest::rstest;

use super::{In, options, what};

#[test]
fn the_examples_pass() {
    my_allocator::main();
}

/// An implementation that takes no space at all.
struct Nowhere;

impl Implementation for Nowhere {
    type Allocation = ();

    fn create(_: Space) -> Result<Self, Errno> {
        Err(Errno::EINVAL)
    }

    fn alloc(&mut self, _: &AllocRequest) -> Result<(), Errno> {
        unreachable!("there is none")
    }

    fn blocks(&self, _: &(), _: &mut Vec<Block>) {}

    fn free(&mut self, _: (), _: bool) {}

    fn avail(&self) -> u64 {
        0
    }
}

#[rstest]
#[case::chunk_size(Space::new(1 << 20, 1000))]
#[case::size(Space::new(0, 4096))]
#[case::nothing(Space::new(0, 0))]
#[should_panic(expected = "no allocator could be made: 3000 spaces were refused")]
fn a_space_that_cannot_be_is_an_error(#[case] space: Space) {
    torture::check::<Nowhere>(&Options { space: Some(space), ..Options::default() });
}

/// Refusing a space that the C takes is a finding.
#[test]
#[should_panic(expected = "divergence in creation: EINVAL, the reference: an allocator")]
fn refusing_every_space_is_a_finding() {
    torture::check::<Nowhere>(&Options::default());
}

/// An implementation that takes every space.
struct Anywhere(Reference);

impl Implementation for Anywhere {
    type Allocation = Allocation;

    fn create(space: Space) -> Result<Self, Errno> {
        let valid = Space::new(1 << 20, 4096);
        Reference::create(if space.is_valid() { space } else { valid }).map(Self)
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<Allocation, Errno> {
        self.0.alloc(request)
    }

    fn blocks(&self, allocation: &Allocation, blocks: &mut Vec<Block>) {
        self.0.blocks(allocation, blocks);
    }

    fn free(&mut self, allocation: Allocation, cleared: bool) {
        self.0.free(allocation, cleared);
    }

    fn avail(&self) -> u64 {
        self.0.avail()
    }
}

/// Accepting a space that the C refuses is a finding, with and without the C beside it.
#[rstest]
#[case::exact(Comparison::Exact, "divergence in creation: an allocator, the reference: EINVAL")]
#[case::contract(Comparison::Contract, "refuses-invalid: the call succeeded, though the ")]
fn accepting_every_space_is_a_finding(#[case] comparison: Comparison, #[case] says: &str) {
    let settings = Settings { comparison, ..Settings::default() };
    let options = Options { settings, operations: 1_000_000, ..Options::default() };
    let start = match comparison {
        Comparison::Contract => Lockstep::alone::<Anywhere>,
        _ => Lockstep::new::<Anywhere, KernelC>,
    };
    let (report, failure) = torture::run_with(&options, start, |_| true);
    let failure = failure.expect("a finding");
    assert!(failure.finding.to_string().starts_with(says), "{}", failure.finding);
    // The simplest spaces of their kind.
    let text = failure.trace.to_string();
    let simplest = ["size=0 chunk=4K", "size=2K chunk=2K", "size=12K chunk=12K"];
    assert!(simplest.iter().any(|space| text == format!("space {space}\n")), "{text}");
    // The trace can be read and replayed.
    let trace: Trace = text.parse().expect("a trace");
    assert_eq!(trace, failure.trace);
    let again = trace.replay::<Anywhere>(comparison).expect_err("the same finding");
    assert_eq!(again.finding, failure.finding);
    // It made no allocator of that space.
    assert_eq!(report.refused, 0);
}

/// What the C refuses is counted, and is no allocator.
#[test]
fn invalid_spaces_are_counted_apart() {
    let options = Options { operations: 100_000, ..Options::default() };
    let mut episodes = 0;
    let mut last = None;
    let (report, failure) = torture::run::<KernelC, Reference>(&options, |report| {
        if report.episode != last {
            (last, episodes) = (report.episode, episodes + 1);
        }
        true
    });
    assert!(failure.is_none(), "{failure:?}");
    assert!(report.refused > 4, "{report}");
    assert_eq!(report.allocators + report.refused, episodes, "{report}");
}

/// The example's allocator, with a mistake: it frees all chunks but one.
struct Mistaken(Bitmap);

impl Implementation for Mistaken {
    type Allocation = Vec<Block>;

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn create(space: Space) -> Result<Self, Errno> {
        Bitmap::create(space).map(Self)
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<Vec<Block>, Errno> {
        self.0.alloc(request)
    }

    fn blocks(&self, allocation: &Vec<Block>, blocks: &mut Vec<Block>) {
        self.0.blocks(allocation, blocks);
    }

    fn free(&mut self, mut allocation: Vec<Block>, cleared: bool) {
        if allocation.len() == 3 {
            allocation.pop();
        }
        self.0.free(allocation, cleared);
    }

    fn avail(&self) -> u64 {
        self.0.avail()
    }
}

/// Unsupported operations are not drawn in place of supported ones: if memory were freed only
/// in ways that the allocator lacks, its space would fill up.
#[test]
fn unsupported_operations_are_not_drawn() {
    let (report, failure) =
        torture::run::<Bitmap, KernelC>(&options(Comparison::Observable), |_| true);
    assert!(failure.is_none());
    let met = report.tally.kinds();
    let count = |kind: &str| {
        let alike = met.iter().filter(|met| met.kind.starts_with(kind));
        alike.map(|met| met.count).sum::<u64>()
    };
    assert_eq!(count("alloc") + count("free"), report.operations);
    assert!(count("free, dirty") > report.operations / 3, "{met:?}");
}

#[test]
fn a_mistake_is_found_and_made_short() {
    let (_, failure) =
        torture::run::<Mistaken, KernelC>(&options(Comparison::Observable), |_| true);
    let failure = failure.expect("it is found");
    // The allocation of the whole space at the end is enough.
    assert_eq!(failure.trace.to_string(), "space size=12K chunk=4K\n", "{failure}");
    assert!(failure.at_end);
    let text = failure.to_string();
    assert!(text.contains("at the end, after everything was freed, by: free a"), "{text}");
    assert_eq!(what(&failure.finding), In::Promise(Promise::Avail));
}
