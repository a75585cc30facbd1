//! What drivers request, as operations: it is what their sources say, it uses as much memory as
//! on a real card, and the C and the reference model do the same with it.

use std::collections::{BTreeMap, BTreeSet};

use gpu_buddy::diff::reference::{Allocation, Reference};
use gpu_buddy::diff::torture::{self, Options};
use gpu_buddy::diff::{
    Block, Capabilities, Id, Implementation, KernelC, Load, Lockstep, Operation, Outcome, Settings,
    Space, Trace, format_size,
};
use gpu_buddy::module::Module;
use gpu_buddy::{AllocRequest, Errno, GpuBuddyAllocFlag};
use rstest::rstest;

const SMALL: Space = Space::new(64 << 20, 4 << 10);

/// 70,000 operations of each of the three drivers.
#[rstest]
fn the_c_and_the_model_do_the_same(#[values(Load::Xe, Load::Amdgpu, Load::Nova)] load: Load) {
    let options = Options { operations: 70_000, load: Some(load), ..Options::default() };
    let start = if Reference::models(Module::compiled_in().features()) {
        Lockstep::new::<KernelC, Reference>
    } else {
        Lockstep::alone::<KernelC>
    };
    let (report, failure) = torture::run_with(&options, start, |_| true);
    assert!(failure.is_none(), "{}", failure.unwrap());
    assert_eq!(report.operations, 70_000);
    assert!(report.allocators > 20, "{report}");
}

#[rstest]
fn the_same_seed_gives_the_same_trace(#[values(Load::Xe, Load::Amdgpu, Load::Nova)] load: Load) {
    let trace = |seed| load.trace(seed, load.space(), 3000);
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
    let read: Trace = trace(1).to_string().parse().expect("a trace");
    assert_eq!(read, trace(1));
}

/// The allocations after each operation.
struct Use {
    /// The part of the space that is in use, in percent.
    used: u64,
    alive: usize,
    failed: bool,
}

fn watch(trace: &Trace) -> Vec<Use> {
    let mut pair = Lockstep::alone::<Reference>(trace.space, Settings::default()).expect("one");
    let mut alive = BTreeSet::new();
    let step = |operation: &Operation| {
        let outcome = pair.step(operation).outcome;
        match *operation {
            Operation::Alloc { id, .. } if outcome == Outcome::Done => drop(alive.insert(id)),
            Operation::Free { id, .. } => drop(alive.remove(&id)),
            _ => {}
        }
        let used = (trace.space.size - pair.accounts().avail) / (trace.space.size / 100);
        Use { used, alive: alive.len(), failed: outcome.errno().is_some() }
    };
    trace.operations.iter().map(step).collect()
}

/// A card is filled, but not at once, and is used by many allocations. `--nocapture` prints
/// how much.
#[rstest]
fn a_card_is_filled(#[values(Load::Xe, Load::Amdgpu, Load::Nova)] load: Load) {
    let mut peak = 0;
    for seed in 1..=4 {
        let states = watch(&load.trace(seed, load.space(), 20_000));
        let most = |of: fn(&Use) -> usize| states.iter().map(of).max().expect("one");
        let mean = states.iter().map(|state| state.used).sum::<u64>() / states.len() as u64;
        let (used, alive) = (most(|state| state.used as usize), most(|state| state.alive));
        let failed = states.iter().filter(|state| state.failed).count();
        println!(
            "{load}, seed {seed}, {}: {mean} % in use, at most {used} %, at most {alive} \
             allocations, {failed} of 20000 calls failed",
            format_size(load.space().size),
        );
        assert!((25..=98).contains(&mean), "{mean} %");
        assert!(alive > 300, "{alive} allocations");
        assert!(failed < 4000, "{failed} calls failed");
        peak = peak.max(used);
    }
    assert!(peak >= 90, "{peak} %");
}

/// Page tables and frames are freed soon, other buffers later, and what a process has left
/// when it ends is freed in the order in which it was made.
#[rstest]
fn frees_come_in_a_driver_s_order(#[values(Load::Xe, Load::Amdgpu, Load::Nova)] load: Load) {
    let trace = load.trace(1, load.space(), 20_000);
    let mut made: BTreeMap<Id, usize> = BTreeMap::new();
    let mut ages = Vec::new();
    let (mut last, mut run, mut longest) = (None, [0; 2], [0; 2]);
    for (now, operation) in trace.operations.iter().enumerate() {
        match *operation {
            Operation::Alloc { id, .. } => drop(made.insert(id, now)),
            Operation::Free { id, .. } => {
                ages.push(now - made.remove(&id).expect("it was made"));
                // As they were made, and the other way round.
                let is_later = last < Some(id);
                run = if is_later { [run[0] + 1, 1] } else { [1, run[1] + 1] };
                last = Some(id);
                longest = [0, 1].map(|way| longest[way].max(run[way]));
                continue;
            }
            _ => {}
        }
        (last, run) = (None, [0; 2]);
    }
    ages.sort_unstable();
    let (young, old) = (ages[ages.len() / 10], ages[ages.len() * 9 / 10]);
    assert!(young < 400 && old > 4 * young, "freed after {young} to {old} operations");
    assert!(longest[0] >= 20 && longest[1] < 12, "{longest:?} in a row");
    assert!(made.len() > 200, "{} are left", made.len());
}

/// The flags of a request, as words.
fn words(trace: &Trace, request: &AllocRequest) -> String {
    let flags = request.flags;
    let exact = request.start + request.size == request.end;
    let words = [
        (request.range && !exact, "range"),
        (request.range && exact, "exact"),
        (request.top_down, "topdown"),
        (flags.contains(GpuBuddyAllocFlag::Contiguous), "contiguous"),
        (flags.contains(GpuBuddyAllocFlag::Clear), "clear"),
        (flags.contains(GpuBuddyAllocFlag::TrimDisable), "trim-disable"),
        (request.end == trace.space.size && !request.range, "end"),
    ];
    let words: Vec<_> = words.iter().filter(|(is_set, _)| *is_set).map(|word| word.1).collect();
    words.join(" ")
}

/// Each combination of flags that the sources allow occurs, and no other; so do all classes
/// of sizes and alignments.
#[rstest]
#[case(Load::Xe, &[
    "contiguous end", "end", "range", "range contiguous", "topdown contiguous end", "topdown end",
])]
#[case(Load::Amdgpu, &[
    "clear end", "contiguous clear end", "contiguous end", "exact", "exact contiguous",
    "exact topdown contiguous", "range clear", "range contiguous", "range contiguous clear",
    "topdown clear end", "topdown contiguous clear end",
    "topdown contiguous clear trim-disable end", "topdown contiguous end", "topdown end",
])]
#[case(Load::Nova, &["", "contiguous", "exact contiguous"])]
fn the_mixture_is_that_of_the_sources(#[case] load: Load, #[case] expected: &[&str]) {
    let mut combinations = BTreeMap::new();
    let (mut sizes, mut alignments) = ([0; 5], BTreeSet::new());
    let mut requests = 0;
    let window = Space::new(256 << 20, 4 << 10);
    for (seed, space) in (1..=30).flat_map(|seed| [(seed, load.space()), (seed, window)]) {
        let trace = load.trace(seed, space, 1500);
        for operation in &trace.operations {
            let Operation::Alloc { request, .. } = operation else { continue };
            *combinations.entry(words(&trace, request)).or_insert(0) += 1;
            alignments.insert(request.min_block_size);
            let class = [4 << 10, 64 << 10, 2 << 20, 32 << 20];
            sizes[class.iter().filter(|&&most| request.size > most).count()] += 1;
            requests += 1;
        }
    }
    let met: Vec<_> = combinations.keys().map(String::as_str).collect();
    assert_eq!(met, expected, "{combinations:?}");
    for (class, &count) in sizes.iter().enumerate() {
        assert!(count * 200 > requests, "class {class}: {sizes:?}");
    }
    for alignment in [4 << 10, 64 << 10] {
        assert!(alignments.contains(&alignment) || load == Load::Nova, "{alignments:?}");
    }
}

/// amdgpu zeroes memory that users free, trims compressed pictures, and resets the clear state;
/// the others do none of that.
#[rstest]
fn only_amdgpu_tells_clear_memory_apart(#[values(Load::Xe, Load::Amdgpu, Load::Nova)] load: Load) {
    let [mut cleared, mut dirty, mut trims, mut resets] = [0; 4];
    for seed in 1..=24 {
        for operation in load.trace(seed, load.space(), 4000).operations {
            match operation {
                Operation::Free { cleared: true, .. } => cleared += 1,
                Operation::Free { .. } => dirty += 1,
                Operation::Trim { .. } => trims += 1,
                Operation::ResetClear { clear } => {
                    assert!(!clear);
                    resets += 1;
                }
                _ => {}
            }
        }
    }
    let met = [cleared, trims, resets].map(|count| count > 0);
    assert_eq!(met, [load == Load::Amdgpu; 3], "{cleared} {trims} {resets}");
    assert!(dirty > 0);
}

/// The reference model, offering no more than plain requests.
struct Plain(Reference);

impl Implementation for Plain {
    type Allocation = Allocation;

    fn create(space: Space) -> Result<Self, Errno> {
        Reference::create(space).map(Self)
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

/// Unsupported operations are never generated.
#[rstest]
fn nothing_is_asked_for_that_is_not_offered(
    #[values(Load::Xe, Load::Amdgpu, Load::Nova)] load: Load,
) {
    let start = Lockstep::alone::<Plain>;
    for space in [SMALL, load.space(), Space::new(4 << 10, 4 << 10)] {
        let options = Options { load: Some(load), ..Options::default() };
        let trace = torture::trace(&options, start, 3, space, 2000).expect("a trace");
        assert_eq!(trace.operations.len(), 2000);
        assert_eq!(trace.needs(), Capabilities::empty());
    }
}

#[test]
fn an_unknown_load_is_refused_with_the_names_of_all() {
    for load in Load::ALL {
        assert_eq!(load.to_string().parse(), Ok(load));
    }
    let error = "nouveau".parse::<Load>().expect_err("there is none");
    assert_eq!(error.to_string(), "there is no load 'nouveau'; choose one of xe, amdgpu, nova");
}
