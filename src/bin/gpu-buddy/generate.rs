//! `gpu-buddy generate`

use std::io::{Write, stdout};

use gpu_buddy::diff::{Space, torture};

use crate::kernel::{Kernel, Pair};
use crate::torture::size;
use crate::{Failure, Verdict};

/// Write a random trace, to replay on two kernels
#[derive(clap::Args)]
#[command(after_help = "Example: gpu-buddy generate --seed 7 --ops 1000 > seven.trace")]
pub struct Arguments {
    /// The same seed gives the same trace
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// How many operations
    #[arg(long, value_name = "N", default_value_t = 1000)]
    ops: u64,

    /// Size of the space
    #[arg(long, default_value = "64M", value_parser = size)]
    size: u64,

    /// Size of its chunks
    #[arg(long, default_value = "4K", value_parser = size)]
    chunk: u64,

    #[command(flatten)]
    kernel: Kernel,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let space = Space::new(arguments.size, arguments.chunk);
    let pair = Pair::open(&arguments.kernel, Some("contract".as_ref()), false)?;
    let start = |space, settings| pair.start(space, settings);
    let trace = torture::random_trace(start, arguments.seed, space, arguments.ops)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    write!(stdout().lock(), "{trace}")?;
    Ok(Verdict::Passed)
}
