//! Measures the crate and its peers, and writes `docs/performance.md`:
//!
//! ```sh
//! cargo run --release --features vma --manifest-path benches/Cargo.toml
//! ```
//!
//! `--quick` takes seconds, and writes to `target/performance/`. `cargo bench --manifest-path
//! benches/Cargo.toml` times single subjects.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gpu_buddy::diff::{Churn, Space};
use gpu_buddy_benches::instructions;
use gpu_buddy_benches::page;
use gpu_buddy_benches::run::{Effort, run};
use gpu_buddy_benches::scale::Point;
use gpu_buddy_benches::subject::Kind;

/// Measure the crate and its peers
#[derive(Parser)]
struct Arguments {
    /// Take a few seconds
    #[arg(long)]
    quick: bool,

    /// The folder for performance.md and its pictures [default: docs, or target/performance]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,

    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// Print where the instructions of a free and an allocation go
    Costs {
        /// The number of steps that are counted
        #[arg(default_value = "4000")]
        pairs: usize,
    },
    /// Measure a point, for the run that started this process
    #[command(hide = true)]
    Point { kind: String, size: u64, chunk_size: u64, live: u32, pairs: usize },
    /// Run a load, for callgrind
    #[command(hide = true)]
    Instructions { kind: String, load: usize, pairs: usize },
}

fn kind(name: &str) -> io::Result<Kind> {
    Kind::named(name).ok_or_else(|| io::Error::other(format!("there is no subject '{name}'")))
}

fn part(part: &Part) -> io::Result<()> {
    match part {
        &Part::Costs { pairs } => {
            for (index, churn) in Churn::ALL.iter().enumerate() {
                let count = |kind| instructions::count(kind, index, pairs);
                let (raw, safe) = (count(Kind::RawC)?, count(Kind::Safe)?);
                let counted = raw.zip(safe).ok_or_else(|| {
                    io::Error::other("valgrind is not installed: apt-get install valgrind")
                })?;
                println!("{}", page::costs(&[(*churn, counted.into())]));
            }
        }
        Part::Point { kind: name, size, chunk_size, live, pairs } => {
            let space = Space::new(*size, *chunk_size);
            let point = Point { kind: kind(name)?, space, live: *live };
            if let Some(it) = point.measure_here(*pairs)? {
                let steps = it.steps.map(|steps| steps.to_string()).unwrap_or_default();
                println!("{} {} {steps}", it.nanoseconds, it.bytes);
            }
        }
        Part::Instructions { kind: name, load, pairs } => {
            let churn = Churn::ALL.get(*load).ok_or_else(|| io::Error::other("no such load"))?;
            instructions::run(kind(name)?, *churn, *pairs);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.part {
        Some(it) => part(it),
        None => {
            let project = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
            let (effort, folder) = match arguments.quick {
                true => (Effort::QUICK, "target/performance"),
                false => (Effort::FULL, "docs"),
            };
            let folder = arguments.output.unwrap_or_else(|| project.join(folder));
            let written = run(&effort).and_then(|results| page::write(&results, &folder));
            written.map(|file| println!("{}", file.display()))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
