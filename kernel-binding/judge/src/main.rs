//! Judges the kernel's binding: `judge SECONDS SEED`. Exit codes: 0 passed, 1 failed.

mod documented;
mod findings;
mod initialisers;
mod subject;

use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use gpu_buddy::KERNEL;
use gpu_buddy::diff::torture::{self, Failure, Options, Report};
use gpu_buddy::diff::{
    Implementation, KernelC, Lockstep, SafeApi, Settings, Shareable, Space, shared,
};
use gpu_buddy::wrapper::{self, Judged};

use documented::Documented;
use subject::Binding;

const THREADS: NonZeroU32 = NonZeroU32::new(4).unwrap();

/// The result of a part of the run.
type Found = Result<String, Box<Failure>>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let seconds: Option<f64> = arguments.next().and_then(|text| text.parse().ok());
    let seed: Option<u64> = arguments.next().and_then(|text| text.parse().ok());
    let (Some(seconds), Some(seed)) = (seconds, seed) else {
        eprintln!("Usage: judge SECONDS SEED");
        return ExitCode::from(2);
    };
    println!("the kernel's Rust binding, over the C of {}; seed {seed}", KERNEL.series);
    let part = |part: f64| Duration::from_secs_f64(seconds * part);
    let parts: [(&str, &dyn Fn() -> Found); 5] = [
        ("ends", &ends),
        ("in lockstep with the C", &|| lockstep::<KernelC>(part(0.5), seed)),
        ("in lockstep with this crate's API", &|| lockstep::<SafeApi>(part(0.15), seed)),
        ("while memory fails", &|| faults(part(0.15), seed)),
        ("by four threads", &|| threads(part(0.2), seed)),
    ];
    for (name, run) in parts {
        match run() {
            Ok(said) => println!("{name}: {said}"),
            Err(failure) => {
                println!("{name}: FAILED\n\n{failure}");
                return ExitCode::from(1);
            }
        }
    }
    if let Err(reason) = initialisers::check() {
        println!("initialisers: FAILED\n\n{reason}");
        return ExitCode::from(1);
    }
    println!("initialisers: all ways to end early leave nothing; allocations may change threads");
    println!("rules: the lock was held at each call, each block was freed once, nothing was left");
    println!("{}", findings::say());
    ExitCode::SUCCESS
}

/// Creation and teardown.
fn ends() -> Found {
    match wrapper::find_in_creation::<Binding>().or_else(wrapper::find_in_drops::<Binding>) {
        Some(failure) => Err(failure),
        None => Ok("creation without memory leaves nothing; all orders of drops are right".into()),
    }
}

fn options(seed: u64) -> Options {
    Options { seed, operations: u64::MAX, ..Options::default() }
}

/// Describes a run, and its time.
fn verdict((report, failure): (Report, Option<Box<Failure>>), start: Instant) -> Found {
    if let Some(failure) = failure {
        return Err(failure);
    }
    let Report { operations, allocators, .. } = report;
    let seconds = start.elapsed().as_secs_f64();
    let rate = operations as f64 / seconds;
    Ok(format!(
        "nothing wrong in {operations} operations on {allocators} allocators, {seconds:.1} s, \
         {rate:.0} a second"
    ))
}

fn lockstep<R: Implementation>(time: Duration, seed: u64) -> Found {
    let start = Instant::now();
    let pair = |space: Space, settings: Settings| {
        wrapper::start::<Binding, Documented<R>>(space, settings)
    };
    verdict(torture::run_with(&options(seed), pair, |_| start.elapsed() < time), start)
}

fn faults(time: Duration, seed: u64) -> Found {
    let start = Instant::now();
    let options = Options { faults: 0.02, ..options(seed) };
    verdict(torture::run_alone::<Judged<Binding>>(&options, |_| start.elapsed() < time), start)
}

fn threads(time: Duration, seed: u64) -> Found {
    fn check<S: Shareable, R: Implementation>(
        options: &Options,
        watch: impl FnMut(&Report) -> bool,
    ) -> (Report, Option<Box<Failure>>) {
        shared::run(options, THREADS, S::create, Lockstep::new::<S, R>, watch)
    }
    let start = Instant::now();
    let watch = |_: &Report| start.elapsed() < time;
    verdict(check::<Judged<Binding>, Documented<KernelC>>(&options(seed), watch), start)
}
