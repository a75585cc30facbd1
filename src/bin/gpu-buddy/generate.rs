//! `gpu-buddy generate`

use std::io::{Write, stdout};

use gpu_buddy::diff::torture::{self, Options};
use gpu_buddy::diff::{Load, Space};
use gpu_buddy::sizes::{SZ_4K, SZ_64M};

use crate::kernel::{Kernel, Pair};
use crate::map;
use crate::progress::Progress;
use crate::torture::{rate, size};
use crate::{Failure, Verdict};

/// Print a random trace, for example to replay it on two kernels
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  gpu-buddy generate --seed 7 --ops 1000 > seven.trace\n  \
                        gpu-buddy generate --load xe > xe.trace\n  \
                        gpu-buddy generate --faults 0.01 > faults.trace\n\n\
                        docs/loads.md describes the loads.")]
pub struct Arguments {
    /// Seed; the same seed gives the same trace
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Number of operations
    #[arg(long, value_name = "N", default_value_t = 1000)]
    ops: u64,

    /// Generate the requests of a driver: xe, amdgpu or nova [default: a mixture]
    #[arg(long, value_name = "DRIVER")]
    load: Option<Load>,

    /// Size of the space [default: 64M; with --load, that of a card]
    #[arg(long, value_parser = size)]
    size: Option<u64>,

    /// Chunk size [default: 4K]
    #[arg(long, value_parser = size)]
    chunk: Option<u64>,

    /// How often the C's own allocations fail, as a part of all operations,
    /// from 0 to 1
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = rate)]
    faults: f64,

    #[command(flatten)]
    kernel: Kernel,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let usual = Space::new(SZ_64M as u64, SZ_4K as u64);
    let usual = arguments.load.map_or(usual, Load::space);
    let size = arguments.size.unwrap_or(usual.size);
    let space = Space::new(size, arguments.chunk.unwrap_or(usual.chunk_size));
    let Arguments { load, faults, .. } = *arguments;
    let options = Options { load, faults, ..Options::default() };
    let pair = Pair::open(&arguments.kernel, Some("contract".as_ref()), faults > 0.0)?;
    let start = |space, settings| pair.start(space, settings);
    let progress = Progress::new(format!("making {}", map::operations(arguments.ops as usize)));
    let trace = torture::trace(&options, start, arguments.seed, space, arguments.ops)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    drop(progress);
    write!(stdout().lock(), "{trace}")?;
    Ok(Verdict::Passed)
}
