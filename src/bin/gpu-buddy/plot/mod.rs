//! `gpu-buddy plot`

mod series;
mod svg;
mod text;

use std::io::{Write, stdout};
use std::path::PathBuf;

use gpu_buddy::diff::TraceFile;

use crate::kernel::Kernel;
use crate::map::state::Stopped;
use crate::map::{self, words};
use crate::replay::read_trace;
use crate::{Failure, Verdict};
use series::{Series, record};

/// Plot free memory, fragmentation and cost over the calls of a trace
///
/// Without -o, the plot is printed as bars, at the terminal's width.
#[derive(clap::Args)]
#[command(
    about = "Plot free memory, fragmentation and cost over the calls of a trace",
    after_help = "Examples:\n  gpu-buddy plot failure.trace\n  \
                        gpu-buddy plot failure.trace --kernel 7.2 -o plot.svg\n  \
                        gpu-buddy generate --seed 7 --ops 10000 | gpu-buddy plot -\n\n\
                  docs/pictures.md says how to read it."
)]
pub struct Arguments {
    /// The trace; - for standard input
    file: PathBuf,

    /// Write an SVG file
    #[arg(short, long, value_name = "FILE.svg")]
    output: Option<PathBuf>,

    #[command(flatten)]
    kernel: Kernel,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let output = arguments.output.as_deref();
    output.map_or(Ok(()), map::check_ending)?;
    let file = read_trace(&arguments.file)?;
    let module = arguments.kernel.open()?;
    let series = record(&file, module)
        .map_err(|error| Failure::Usage(format!("{}: {error}", arguments.file.display())))?;
    let base = file.trace().space.base;
    let space = words::space(series.size, series.chunk_size, base);
    let count = map::operations(file.trace().operations.len());
    let title = format!("{}, {count}", map::file_name(&arguments.file));
    let notes = notes(&file, &series);
    match output {
        Some(output) => {
            let drawn = svg::svg(&series, &title, &[&[space][..], &notes].concat())
                .map_err(|error| Failure::Usage(format!("-o {}: {error}", output.display())))?;
            map::write_file(output, &drawn)?;
            let mut out = stdout().lock();
            notes.iter().try_for_each(|note| writeln!(out, "{note}"))?;
        }
        None => {
            let mut out = stdout().lock();
            writeln!(out, "{title}; {space}")?;
            notes.iter().try_for_each(|note| writeln!(out, "{note}"))?;
            writeln!(out)?;
            text::print(&mut out, &series, map::width())?;
        }
    }
    Ok(Verdict::Passed)
}

/// What the plot does not show, and why.
fn notes(file: &TraceFile, series: &Series) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(stopped @ Stopped::Bug(_)) = &series.stopped {
        notes.push(map::stopped(file, series.operations, stopped));
    }
    let interval = series.sample_interval();
    if interval > 1 {
        notes.push(format!("the tree is read every {interval} operations"));
    }
    notes
}
