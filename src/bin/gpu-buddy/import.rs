//! `gpu-buddy import`

use std::fs::File;
use std::io::{BufWriter, Read, Write, stdin, stdout};
use std::path::{Path, PathBuf};

use gpu_buddy::diff::recording::{RecordedAllocator, Recording};
use gpu_buddy::diff::{Space, format_size};
use gpu_buddy::sizes::SZ_4K;

use crate::torture::size;
use crate::{Failure, Verdict};

/// The bpftrace script that records calls.
const SCRIPT: &str = include_str!("../../../contrib/record.bt");

/// Convert a recording from a running kernel into a trace
///
/// The recording is the output of a bpftrace script, which --script prints. The trace has the
/// calls of one allocator. Comments give the time of each call and the kernel's answer.
#[derive(clap::Args)]
#[command(
    about = "Convert a recording from a running kernel into a trace",
    after_help = "Examples:\n  gpu-buddy import --script > record.bt\n  \
                  sudo bpftrace record.bt > recording\n  \
                  gpu-buddy import recording -o card.trace\n  \
                  gpu-buddy replay card.trace\n\n\
                  docs/import.md describes what is recorded and what is not."
)]
pub struct Arguments {
    /// The recording; - for standard input
    #[arg(required_unless_present = "script")]
    file: Option<PathBuf>,

    /// Print the bpftrace script
    #[arg(long, exclusive = true)]
    script: bool,

    /// Write the trace to this file [default: standard output]
    #[arg(short, long, value_name = "TRACE")]
    output: Option<PathBuf>,

    /// Number of the allocator, from 1, if several were recorded
    #[arg(long, value_name = "N")]
    allocator: Option<usize>,

    /// Size of the space, if the allocator was created before the recording [default: the
    /// largest end of a request]
    #[arg(long, value_parser = size)]
    size: Option<u64>,

    /// Chunk size, if the allocator was created before the recording [default: 4K]
    #[arg(long, value_parser = size)]
    chunk: Option<u64>,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let Some(file) = arguments.file.as_deref().filter(|_| !arguments.script) else {
        stdout().lock().write_all(SCRIPT.as_bytes())?;
        return Ok(Verdict::Passed);
    };
    let name = file.display();
    let usage = |message: String| Failure::Usage(format!("{name}: {message}"));
    let text = read(file).map_err(|error| usage(error.to_string()))?;
    let recording: Recording = text.parse().map_err(|error| usage(format!("{error}")))?;
    let index = choose(&recording, arguments.allocator).map_err(usage)?;
    let about = &recording.allocators()[index];
    let space = space(arguments, about).map_err(usage)?;
    let imported = recording.import(index, space);
    match &arguments.output {
        None => write!(stdout().lock(), "{imported}")?,
        Some(output) => {
            let write = || {
                let mut out = BufWriter::new(File::create(output)?);
                write!(out, "{imported}")?;
                out.flush()
            };
            let failed = |error| Failure::Usage(format!("{}: {error}", output.display()));
            write().map_err(failed)?;
        }
    }
    let operations = imported.trace.operations.len();
    eprintln!("{}, {}", about_in_words(about), count(operations, "operation"));
    if !about.is_whole && arguments.size.is_none() {
        let size = format_size(space.size);
        eprintln!("the size {size} is a guess: the largest end of a request; --size overrides it");
    }
    if !about.is_whole {
        eprintln!("allocations from before the recording are missing");
    }
    if imported.skipped != Default::default() {
        eprintln!("{}", imported.skipped);
    }
    if recording.lost() > 0 {
        eprintln!("{} lost", count(recording.lost() as usize, "line"));
    }
    Ok(Verdict::Passed)
}

fn read(file: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        stdin().read_to_end(&mut bytes)?;
    } else {
        bytes = std::fs::read(file)?;
    }
    // The parser reports invalid UTF-8 with its line, like any other wrong word.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The index of the allocator.
fn choose(recording: &Recording, number: Option<usize>) -> Result<usize, String> {
    let allocators = recording.allocators();
    let index = match (number, allocators.len()) {
        (_, 0) => return Err("no call of an allocator was recorded".into()),
        (None, 1) => return Ok(0),
        (Some(number), _) => number.checked_sub(1).filter(|index| *index < allocators.len()),
        (None, _) => None,
    };
    index.ok_or_else(|| {
        let said = match number {
            Some(number) => format!("there is no allocator {number}"),
            None => "several allocators were recorded; choose one:".to_owned(),
        };
        let list = (1..)
            .zip(allocators)
            .map(|(number, about)| format!("\n  --allocator {number}: {}", about_in_words(about)));
        format!("{said}{}", list.collect::<String>())
    })
}

fn about_in_words(about: &RecordedAllocator) -> String {
    let space = about.space.map_or("of unknown size".into(), |space| format_size(space.size));
    let seconds = (about.times.1 - about.times.0) as f64 / 1e9;
    let address = about.address;
    let calls = count(about.calls, "call");
    let whole = if about.is_whole { "" } else { ", created before the recording" };
    format!("{space} at {address:#x}, {calls} in {seconds:.3} s{whole}")
}

fn count(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn space(arguments: &Arguments, about: &RecordedAllocator) -> Result<Space, String> {
    let given = arguments.size.or(arguments.chunk).is_some();
    match about.space {
        Some(_) if about.is_whole && given => {
            Err("the space was recorded; leave out --size and --chunk".into())
        }
        Some(space) if about.is_whole => Ok(space),
        space => {
            let unknown = "the size of the space was not recorded; set it, for example --size 16G";
            let size = arguments.size.or(space.map(|space| space.size)).ok_or(unknown)?;
            Ok(Space::new(size, arguments.chunk.unwrap_or(SZ_4K as u64)))
        }
    }
}
