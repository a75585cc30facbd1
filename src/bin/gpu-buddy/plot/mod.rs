//! `gpu-buddy plot`

pub mod series;
mod svg;
mod text;

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Duration;

use gpu_buddy::diff::TraceFile;

use crate::follow::{Followed, Run, Stopped};
use crate::kernel::Kernel;
use crate::map::{self, words};
use crate::replay::read_trace;
use crate::watchdog::PATIENCE;
use crate::{Failure, Verdict};
use series::{Plotter, Series};

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

    /// How long a call may make no progress
    #[arg(long, hide = true, value_name = "S", default_value = PATIENCE, value_parser = crate::torture::seconds)]
    patience: f64,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let output = arguments.output.as_deref();
    output.map_or(Ok(()), map::check_ending)?;
    let file = read_trace(&arguments.file)?;
    arguments.kernel.open()?;
    let patience = Duration::from_secs_f64(arguments.patience);
    let run = Run { file: &file, path: &arguments.file, kernel: &arguments.kernel, patience };
    let followed = run.follow::<Plotter>(file.trace().operations.len())?;
    let base = file.trace().space.base;
    let series = &followed.seen;
    let space = words::space(series.size, series.chunk_size, base);
    let count = map::operations(file.trace().operations.len());
    let title = format!("{}, {count}", map::file_name(&arguments.file));
    let notes = notes(&file, &followed);
    match output {
        Some(output) => {
            let drawn = svg::svg(series, &title, &[&[space][..], &notes].concat())
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
            text::print(&mut out, series, map::width())?;
        }
    }
    Ok(Verdict::Passed)
}

/// What the plot does not show, and why.
fn notes(file: &TraceFile, followed: &Followed<Series>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(stopped @ Stopped::Failed(_)) = &followed.stopped {
        notes.push(map::stopped(file, followed.operations, stopped));
    }
    let interval = followed.seen.sample_interval();
    if interval > 1 {
        notes.push(format!("the tree is read every {interval} operations"));
    }
    notes
}
