//! A whole run.

use std::io;
use std::time::{Duration, Instant};

use gpu_buddy::diff::{Churn, Load, Space};

use crate::fragmentation::{Entry, Left, Sequence};
use crate::instructions::{self, Counted};
use crate::machine::Machine;
use crate::pairs;
use crate::scale::{Measured, Point};
use crate::subject::Kind;
use crate::walks::Walk;

/// How much is measured.
pub struct Effort {
    /// The loads whose time is measured.
    pub loads: &'static [Churn],
    /// The rounds of each.
    pub rounds: usize,
    /// The steps in a round.
    pub pairs: usize,
    /// The loads whose instructions are counted, by their place in [`Churn::ALL`].
    pub counted: &'static [usize],
    /// The shares of the space that are filled, in percent.
    pub fills: &'static [u64],
    /// The allocations on each of them.
    pub requests: u64,
    /// The operations of each driver's load.
    pub operations: u64,
    /// The numbers of live blocks.
    pub live: &'static [u32],
    /// The sizes of the space in bytes.
    pub spaces: &'static [u64],
    /// The numbers of holes or blocks that a call meets.
    pub holes: &'static [u64],
}

/// The chunk sizes whose growth is measured.
pub const CHUNKS: [u64; 2] = [4 << 10, 64 << 10];
/// The space while the number of live blocks grows.
pub const SPACE: u64 = 1 << 40;
/// The number of live blocks while the space grows.
pub const LIVE: u32 = 10_000;
/// The most live blocks for chunks other than the first, and for the laboratory, which limits the
/// number of objects.
const MOST_SMALL: u32 = 1_000_000;
/// The most live blocks for `range-alloc`, whose time grows with their number.
const MOST_RANGES: u32 = 10_000;

impl Effort {
    /// For the page: less than ten minutes on a quiet machine.
    pub const FULL: Self = Self {
        loads: &Churn::ALL,
        rounds: 25,
        pairs: 4_000,
        // One where the C is quick, and two where it splits and merges.
        counted: &[0, 2, 3],
        fills: &[50, 60, 70, 75, 80, 85, 90, 95, 98],
        requests: 150_000,
        operations: 100_000,
        live: &[1_000, 10_000, 100_000, 1_000_000, 10_000_000],
        spaces: &[1 << 30, 1 << 34, 1 << 37, 1 << 40, 1 << 44, 1 << 63],
        holes: &[64, 256, 1024, 2048, 4096, 8192],
    };

    /// A few seconds, to try it.
    pub const QUICK: Self = Self {
        loads: Churn::ALL.first_chunk::<4>().expect("there are more"),
        rounds: 3,
        pairs: 500,
        counted: &[0],
        fills: &[80, 95],
        requests: 2_000,
        operations: 2_000,
        live: &[1_000, 10_000],
        spaces: &[1 << 30, 1 << 40],
        holes: &[64, 128, 256],
    };
}

/// What is lost to fragmentation under the load of a driver: its name, and its requests.
pub type Driver = (String, u64, Vec<(Entry, Left)>);

/// The cost of a call that walks: the number of holes, the steps, and the nanoseconds.
pub type Cost = (u64, u64, f64);

/// The results of a run.
pub struct Results {
    /// Where.
    pub machine: Machine,
    /// How long it took.
    pub elapsed: Duration,
    /// The rounds, and the steps in each.
    pub rounds: usize,
    /// The steps in a round.
    pub pairs: usize,
    /// The allocations at each fill.
    pub requests: u64,
    /// Time.
    pub loads: Vec<pairs::Load>,
    /// The instructions of the raw C and the safe API, by load.
    pub instructions: Vec<(Churn, [Counted; 2])>,
    /// What is lost to fragmentation: random sizes, by fill in percent.
    pub fills: Vec<(u64, Vec<(Entry, Left)>)>,
    /// The same for the loads of drivers.
    pub drivers: Vec<Driver>,
    /// Growth with the number of live blocks, by chunk size.
    pub live: Vec<(Point, Measured)>,
    /// Growth with the space.
    pub spaces: Vec<(Point, Measured)>,
    /// The steps of a load by the number of live allocations.
    pub steps: Vec<(Churn, Vec<(u32, f64)>)>,
    /// The cost of calls that walk.
    pub walks: Vec<(&'static Walk, Vec<Cost>)>,
}

/// Measures everything. Says on standard error what it does.
///
/// # Errors
///
/// If a process that measures a part fails.
pub fn run(effort: &Effort) -> io::Result<Results> {
    let started = Instant::now();
    let say = |what: &str| eprintln!("{:3} s  {what}", started.elapsed().as_secs());
    let machine = Machine::read();
    let measure = |&churn: &Churn| {
        say(&format!("time: {}", churn.name));
        pairs::measure(churn, Kind::ALL, effort.rounds, effort.pairs)
    };
    let loads = effort.loads.iter().map(measure).collect();
    say("instructions");
    let mut counted = Vec::new();
    for &index in effort.counted {
        let count = |kind| instructions::count(kind, index, effort.pairs);
        if let (Some(raw), Some(safe)) = (count(Kind::RawC)?, count(Kind::Safe)?) {
            counted.push((Churn::ALL[index], [raw, safe]));
        }
    }
    let left = |sequence: &Sequence| -> Vec<(Entry, Left)> {
        let entries = Entry::all().into_iter();
        entries.filter_map(|entry| Some((entry, sequence.run(entry)?))).collect()
    };
    let fills = effort.fills.iter().map(|&percent| {
        say(&format!("fragmentation: {percent} % in use"));
        (percent, left(&Sequence::fill(percent, effort.requests)))
    });
    let fills = fills.collect();
    let drivers = Load::ALL.map(|load| {
        say(&format!("fragmentation: {load}"));
        let sequence = Sequence::driver(load, effort.operations);
        (sequence.name.clone(), sequence.requests, left(&sequence))
    });
    let (live, spaces) = growth(effort, say)?;
    let steps = steps(effort);
    let walks = Walk::ALL.iter().map(|walk| (walk, costs(walk, effort.holes, say))).collect();
    Ok(Results {
        machine,
        elapsed: started.elapsed(),
        rounds: effort.rounds,
        pairs: effort.pairs,
        requests: effort.requests,
        loads,
        instructions: counted,
        fills,
        drivers: drivers.into(),
        live,
        spaces,
        steps,
        walks,
    })
}

type Points = Vec<(Point, Measured)>;

/// Growth with the number of live blocks, and with the space.
fn growth(effort: &Effort, say: impl Fn(&str)) -> io::Result<(Points, Points)> {
    let top_down = [Kind::RawCTopDown, Kind::SafeTopDown];
    let kinds = || Kind::ALL.iter().copied().chain([Kind::Counted]);
    let kinds = || kinds().filter(|kind| !top_down.contains(kind));
    let measure = |size, live| {
        let mut points = Vec::new();
        for (chunk, kind) in CHUNKS.into_iter().flat_map(|it| kinds().map(move |kind| (it, kind))) {
            let most = match (kind, chunk == CHUNKS[0]) {
                (Kind::RangeAlloc, true) => MOST_RANGES,
                (Kind::RawC | Kind::Safe, false) | (Kind::Counted, true) => MOST_SMALL,
                (_, true) => u32::MAX,
                (_, false) => 0,
            };
            // With the blocks beyond those that stay.
            let fits = u64::from(live + live / 8) <= size / chunk;
            let point = Point { kind, space: Space::new(size, chunk), live };
            if live <= most
                && fits
                && let Some(measured) = point.measure(effort.pairs)?
            {
                points.push((point, measured));
            }
        }
        Ok::<_, io::Error>(points)
    };
    let (mut by_live, mut by_space) = (Vec::new(), Vec::new());
    for &live in effort.live {
        say(&format!("scale: {live} live blocks"));
        by_live.extend(measure(SPACE, live)?);
    }
    for &size in effort.spaces {
        say(&format!("scale: a space of {}", gpu_buddy::diff::format_size(size)));
        by_space.extend(measure(size, LIVE)?);
    }
    Ok((by_live, by_space))
}

/// Steps by the number of live allocations, for sizes that need several blocks.
fn steps(effort: &Effort) -> Vec<(Churn, Vec<(u32, f64)>)> {
    let loads = Churn::ALL.into_iter().filter(|churn| churn.live == LIVE);
    let by_live = loads.map(|churn| {
        let live = effort.live.iter().filter(|&&live| live <= 100_000);
        let steps = live.filter_map(|&live| {
            let churn = Churn { live, space: Space::new(SPACE, churn.space.chunk_size), ..churn };
            Some((live, pairs::steps(churn, effort.pairs)?))
        });
        (churn, steps.collect())
    });
    by_live.collect()
}

fn costs(walk: &Walk, holes: &[u64], say: impl Fn(&str)) -> Vec<Cost> {
    say(&format!("walks: {}", walk.name));
    let cost = |&holes: &u64| walk.cost(holes).map(|(steps, time)| (holes, steps, time));
    holes.iter().filter_map(cost).collect()
}
