//! Translates the arguments of `gpu-buddy torture`.

use std::ffi::OsString;

use gpu_buddy::diff::torture::Options;
use gpu_buddy::diff::{Settings, Space};

use super::Arguments;
use crate::kernel::Pair;
use crate::{Failure, supervise};

pub fn pair(arguments: &Arguments) -> Result<Pair, Failure> {
    Pair::open(&arguments.kernel, arguments.against.as_deref(), arguments.faults > 0.0)
}

pub fn limit(arguments: &Arguments) -> Limit {
    match (arguments.seconds, arguments.ops) {
        (_, Some(operations)) => Limit::Operations(operations),
        (seconds, None) => Limit::Seconds(seconds.unwrap_or(10.0)),
    }
}

/// The options of one thread.
pub fn options(arguments: &Arguments, thread: u64) -> Result<Options, Failure> {
    Ok(Options {
        // Threads differ in the high bits, which a user's seed rarely uses.
        seed: arguments.seed.unwrap_or_default() ^ thread.rotate_right(16),
        operations: match limit(arguments) {
            Limit::Operations(operations) if arguments.shared => operations,
            Limit::Operations(operations) => operations.div_ceil(arguments.threads),
            Limit::Seconds(_) => u64::MAX,
        },
        space: space(arguments)?,
        load: arguments.load,
        faults: arguments.faults,
        settings: Settings { strict: arguments.strict, ..Settings::default() },
        shrink: match (arguments.keep_going, limit(arguments)) {
            (true, Limit::Seconds(seconds)) => supervise::shrink_one(seconds),
            _ => supervise::SHRINK,
        },
        costs: arguments.cost,
        ..Options::default()
    })
}

/// The arguments with which `gpu-buddy replay` reproduces a failure.
pub fn replay(arguments: &Arguments) -> Vec<OsString> {
    let mut replay = Vec::new();
    if let Some(kernel) = &arguments.kernel.kernel {
        replay.extend(["--kernel".into(), kernel.clone()]);
    }
    // With failing memory, the kernel was compared with the contract.
    let against = arguments.against.clone();
    let against = against.or_else(|| (arguments.faults > 0.0).then(|| "contract".into()));
    if let Some(against) = against {
        replay.extend(["--against".into(), against]);
    }
    replay.extend(arguments.strict.then(|| "--strict".into()));
    replay
}

/// The arguments of `gpu-buddy candidate`.
pub fn candidate(arguments: &Arguments) -> Vec<OsString> {
    let mut candidate = replay(arguments);
    candidate.extend((arguments.faults > 0.0).then(|| "--faults".into()));
    candidate
}

fn space(arguments: &Arguments) -> Result<Option<Space>, Failure> {
    let Some(size) = arguments.size else {
        return Ok(None);
    };
    let chunk_size = arguments.chunk.unwrap_or(4096);
    if chunk_size < 4096 || !chunk_size.is_power_of_two() {
        return Err(Failure::Usage("--chunk must be a power of two, 4K or more".into()));
    }
    if size < chunk_size {
        return Err(Failure::Usage("--size is smaller than --chunk".into()));
    }
    Ok(Some(Space::new(size, chunk_size)))
}

#[derive(Clone, Copy)]
pub enum Limit {
    Operations(u64),
    Seconds(f64),
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Operations(operations) => write!(f, "{operations} operations"),
            Self::Seconds(seconds) => write!(f, "{seconds} seconds"),
        }
    }
}
