//! Measures the time of the calls of two kernels, by turns in one process.

use std::ffi::OsString;
use std::io::{Write, stdout};
use std::time::{Duration, Instant};

use gpu_buddy::diff::{Implementation, KernelC, Space};
use gpu_buddy::module::Module;
use gpu_buddy::{AllocRequest, GpuBuddyAllocFlag};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::kernel::open;
use crate::{Failure, Verdict};

/// Measure two kernels for the supervisor
#[derive(clap::Args)]
pub struct Arguments {
    patched: OsString,
    base: OsString,
    #[arg(long)]
    seconds: f64,
    #[arg(long)]
    seed: u64,
}

/// The time that one load takes on the patched kernel, relative to the base.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ratio {
    pub load: String,
    /// The median over the rounds, and the quartiles.
    pub median: f64,
    pub lower: f64,
    pub upper: f64,
    /// The same ratio between two allocators of the base.
    pub noise: f64,
    pub rounds: usize,
}

impl Ratio {
    /// Whether the difference is larger than the noise.
    pub fn is_slower(&self) -> bool {
        self.lower > 1.0 + self.margin()
    }

    pub fn is_faster(&self) -> bool {
        self.upper < 1.0 - self.margin()
    }

    fn margin(&self) -> f64 {
        self.noise.max(0.03)
    }
}

const CHUNK: u64 = 4 << 10;

/// Approximate time for one measurement of one load on one kernel.
const ROUND: Duration = Duration::from_millis(2);

/// A workload.
struct Load {
    name: &'static str,
    space: u64,
    /// How much of the space is allocated, in percent.
    filled: u64,
    /// The largest size in chunks, and whether it is a power of two.
    largest: u64,
    powers: bool,
    flags: Option<GpuBuddyAllocFlag>,
    /// The alignment in chunks beyond the size.
    alignment: u64,
    /// The feature that it needs.
    feature: Option<&'static str>,
}

const LOADS: [Load; 5] = [
    Load { name: "fresh", space: 1 << 30, filled: 0, largest: 16, ..Load::PLAIN },
    Load { name: "fragmented", space: 256 << 20, filled: 60, largest: 64, ..Load::PLAIN },
    Load { name: "nearly full", space: 64 << 20, filled: 95, largest: 8, ..Load::PLAIN },
    Load {
        name: "large contiguous",
        space: 256 << 20,
        filled: 40,
        largest: 512,
        powers: false,
        flags: Some(GpuBuddyAllocFlag::Contiguous),
        feature: Some("contiguous"),
        ..Load::PLAIN
    },
    Load {
        name: "offset-aligned",
        space: 256 << 20,
        filled: 50,
        largest: 8,
        alignment: 64,
        feature: Some("offset_align"),
        ..Load::PLAIN
    },
];

impl Load {
    const PLAIN: Self = Self {
        name: "",
        space: 0,
        filled: 0,
        largest: 1,
        powers: true,
        flags: None,
        alignment: 1,
        feature: None,
    };

    fn request(&self, random: &mut Xoshiro256PlusPlus) -> AllocRequest {
        let chunks = if self.powers {
            1 << random.random_range(0..=self.largest.ilog2())
        } else {
            random.random_range(1..=self.largest)
        };
        AllocRequest {
            size: chunks * CHUNK,
            end: self.space,
            min_block_size: self.alignment * CHUNK,
            flags: self.flags.map(Into::into).unwrap_or_default(),
            ..AllocRequest::default()
        }
    }
}

/// An allocator under a load.
struct Runner<'a> {
    load: &'a Load,
    kernel: KernelC,
    random: Xoshiro256PlusPlus,
    allocations: Vec<<KernelC as Implementation>::Allocation>,
}

impl<'a> Runner<'a> {
    fn new(load: &'a Load, module: Module, seed: u64) -> Option<Self> {
        if load.feature.is_some_and(|feature| !module.has(feature)) {
            return None;
        }
        let kernel = KernelC::new(module, Space::new(load.space, CHUNK)).ok()?;
        let random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut this = Self { load, kernel, random, allocations: Vec::new() };
        while this.load.space - this.kernel.avail() < load.space / 100 * load.filled {
            let request = load.request(&mut this.random);
            match this.kernel.alloc(&request) {
                Ok(allocation) => this.allocations.push(allocation),
                Err(_) => break,
            }
        }
        // Make holes.
        if load.filled > 0 {
            for _ in 0..this.allocations.len() / 8 {
                this.free_one();
            }
        }
        Some(this)
    }

    fn free_one(&mut self) {
        if self.allocations.is_empty() {
            return;
        }
        let index = self.random.random_range(0..self.allocations.len());
        self.kernel.free(self.allocations.swap_remove(index), false);
    }

    /// Makes `calls` allocations, and frees another one after each.
    fn run(&mut self, calls: u32) -> Duration {
        let started = Instant::now();
        for _ in 0..calls {
            let request = self.load.request(&mut self.random);
            if let Ok(allocation) = self.kernel.alloc(&request) {
                self.allocations.push(allocation);
            }
            self.free_one();
        }
        started.elapsed()
    }
}

/// Measures a load; `None` if a kernel does not support it.
fn measure(
    load: &Load,
    patched: Module,
    base: Module,
    within: Duration,
    seed: u64,
) -> Option<Ratio> {
    let deadline = Instant::now() + within;
    // The base twice: the two differ by nothing but noise.
    let mut runners = [base, patched, base].map(|module| Runner::new(load, module, seed));
    let [Some(_), Some(_), Some(_)] = &runners else { return None };
    let mut run = |index: usize, calls| {
        runners[index].as_mut().map_or(Duration::ZERO, |runner| runner.run(calls))
    };
    let mut calls = 16;
    while run(0, calls) < ROUND && calls < 1 << 20 {
        (1..3).for_each(|index| _ = run(index, calls));
        calls *= 2;
    }
    let (mut ratios, mut noise) = (Vec::new(), Vec::new());
    // Each goes first equally often.
    for round in 0.. {
        if round >= 6 && Instant::now() >= deadline {
            break;
        }
        let mut seconds = [0.0; 3];
        for turn in 0..3 {
            let index = (round + turn) % 3;
            seconds[index] = run(index, calls).as_secs_f64().max(1e-9);
        }
        let [first, patched, second] = seconds;
        ratios.push(patched / (first * second).sqrt());
        noise.push((first / second).max(second / first));
    }
    let at = |values: &mut Vec<f64>, part: f64| {
        values.sort_by(f64::total_cmp);
        values[((values.len() - 1) as f64 * part) as usize]
    };
    Some(Ratio {
        load: load.name.to_owned(),
        median: at(&mut ratios, 0.5),
        lower: at(&mut ratios, 0.25),
        upper: at(&mut ratios, 0.75),
        noise: at(&mut noise, 0.5) - 1.0,
        rounds: ratios.len(),
    })
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let (patched, base) = (open(&arguments.patched)?, open(&arguments.base)?);
    let within = Duration::from_secs_f64(arguments.seconds / LOADS.len() as f64);
    let ratios: Vec<_> = LOADS
        .iter()
        .filter_map(|load| measure(load, patched, base, within, arguments.seed))
        .collect();
    let mut out = stdout().lock();
    serde_json::to_writer(&mut out, &ratios).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(Verdict::Passed)
}
