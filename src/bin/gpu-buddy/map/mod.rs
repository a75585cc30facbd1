//! `gpu-buddy map`

mod cells;
mod draw;
mod grid;
mod orders;
pub mod state;
mod svg;
mod text;
pub mod words;

use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gpu_buddy::diff::TraceFile;

use crate::follow::{Followed, Run, Stopped};
use crate::kernel::Kernel;
use crate::replay::read_trace;
use crate::watchdog::PATIENCE;
use crate::{Failure, Verdict};
use state::Looker;

pub use grid::Layout;
pub use svg::{Options, svg};

/// Draw a map of the address space after a trace: allocated and free blocks
///
/// Without -o, the map is printed at the terminal's width.
#[derive(clap::Args)]
#[command(
    about = "Draw a map of the address space after a trace: allocated and free blocks",
    after_help = "Examples:\n  gpu-buddy map failure.trace\n  \
                        gpu-buddy map failure.trace --at 10 --labels -o map.svg\n  \
                        gpu-buddy generate --ops 500 | gpu-buddy map - --layout hilbert\n\n\
                  docs/pictures.md says how to read it."
)]
pub struct Arguments {
    /// The trace; - for standard input
    file: PathBuf,

    /// Write an SVG file
    #[arg(short, long, value_name = "FILE.svg")]
    output: Option<PathBuf>,

    /// Layout of the map
    #[arg(long, value_enum, default_value_t)]
    layout: Layout,

    /// Stop after N operations of the trace; 0 shows the empty space [default: all]
    #[arg(long, value_name = "N")]
    at: Option<usize>,

    /// Label blocks with their size and their name in the trace, if there is room; needs -o
    #[arg(long, requires = "output")]
    labels: bool,

    #[command(flatten)]
    kernel: Kernel,

    /// How long a call may make no progress
    #[arg(long, hide = true, value_name = "S", default_value = PATIENCE, value_parser = crate::torture::seconds)]
    patience: f64,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let output = arguments.output.as_deref();
    output.map_or(Ok(()), check_ending)?;
    let file = read_trace(&arguments.file)?;
    let count = file.trace().operations.len();
    let at = arguments.at.unwrap_or(count);
    if at > count {
        let count = operations(count);
        return Err(Failure::Usage(format!("--at {at}: the trace has only {count}")));
    }
    arguments.kernel.open()?;
    let patience = Duration::from_secs_f64(arguments.patience);
    let run = Run { file: &file, path: &arguments.file, kernel: &arguments.kernel, patience };
    let Followed { seen: state, operations, stopped: why } = run.follow::<Looker>(at)?;
    let title = format!("{}, {}", file_name(&arguments.file), when(&file, operations));
    let subtitle = why.map(|why| stopped(&file, operations, &why)).unwrap_or_default();
    let base = file.trace().space.base;
    let name = |(offset, id)| (offset, file.name(id).unwrap_or_default().to_owned());
    let names = state.owners.into_iter().map(name).collect();
    match output {
        Some(output) => {
            let options = Options {
                title: &title,
                subtitle: &subtitle,
                base,
                layout: arguments.layout,
                labels: arguments.labels,
                names: Some(&names),
                id: "",
            };
            write_file(output, &svg(&state.snapshot, &options))?;
            if !subtitle.is_empty() {
                writeln!(stdout().lock(), "{subtitle}")?;
            }
        }
        None => {
            let colour = anstream::AutoStream::choice(&stdout()) != anstream::ColorChoice::Never;
            let options = text::Options {
                title: &[&title, &subtitle],
                base,
                layout: arguments.layout,
                width: width(),
                colour,
            };
            text::print(&mut anstream::stdout().lock(), &state.snapshot, &options)?;
        }
    }
    Ok(Verdict::Passed)
}

/// Rejects a file name that does not end in .svg.
pub fn check_ending(file: &Path) -> Result<(), Failure> {
    match file.extension() {
        Some(ending) if ending.eq_ignore_ascii_case("svg") => Ok(()),
        _ => Err(Failure::Usage(format!(
            "-o {}: only SVG is supported; the file name must end in .svg",
            file.display()
        ))),
    }
}

pub fn write_file(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text).map_err(|error| Failure::Usage(format!("-o {}: {error}", file.display())))
}

/// The width of text output: `COLUMNS`, or the terminal's width, or 80.
pub fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || console::Term::stdout().size_checked().map(|(_, columns)| columns.into());
    columns.filter(|&columns| columns > 0).or_else(terminal).unwrap_or(80)
}

/// The name of a trace in a picture.
pub fn file_name(file: &Path) -> String {
    match file.file_name() {
        Some(name) if name != "-" => name.to_string_lossy().into_owned(),
        _ => "standard input".to_owned(),
    }
}

pub fn operations(count: usize) -> String {
    if count == 1 { "1 operation".into() } else { format!("{count} operations") }
}

/// The operation after which the state is shown, in words.
fn when(file: &TraceFile, operations: usize) -> String {
    let count = file.trace().operations.len();
    match operations.checked_sub(1) {
        None => "before the first operation".to_owned(),
        Some(last) => {
            let line = file.operation(last);
            format!(
                "after operation {operations} of {count} (line {}: {})",
                line.number(),
                line.words()
            )
        }
    }
}

/// Why a trace stopped after this many operations.
pub fn stopped(file: &TraceFile, operations: usize, stopped: &Stopped) -> String {
    let line = file.operation(operations);
    let why = match stopped {
        Stopped::Failed(why) => why,
        Stopped::Fini => "nothing is left after it",
    };
    let (number, words) = (line.number(), line.words());
    format!("stopped before operation {} (line {number}: {words}): {why}", operations + 1)
}
