//! `gpu-buddy import`

use std::fs::File;
use std::io::{BufWriter, Read, Write, stdin, stdout};
use std::path::{Path, PathBuf};

use gpu_buddy::diff::recording::{RecordedAllocator, Recording};
use gpu_buddy::diff::{Space, format_size};
use gpu_buddy::sizes::SZ_4K;

use crate::torture::size;
use crate::{Failure, Verdict};

/// The script that makes recordings.
const SCRIPT: &str = include_str!("../../../contrib/record.bt");

/// Make a trace of the calls that a running kernel has made
///
/// The recording is what a bpftrace script has written, which --script prints. The trace is
/// of one allocator. Comments say when each call was, and what the kernel has answered.
#[derive(clap::Args)]
#[command(
    about = "Make a trace of the calls that a running kernel has made",
    after_help = "Examples:\n  gpu-buddy import --script > record.bt\n  \
                  sudo bpftrace record.bt > recording\n  \
                  gpu-buddy import recording -o card.trace\n  \
                  gpu-buddy replay card.trace\n\n\
                  docs/import.md describes what is recorded, and what cannot be."
)]
pub struct Arguments {
    /// The recording; - for standard input
    #[arg(required_unless_present = "script")]
    file: Option<PathBuf>,

    /// Print the script that makes recordings
    #[arg(long, exclusive = true)]
    script: bool,

    /// Where the trace is written [default: the standard output]
    #[arg(short, long, value_name = "TRACE")]
    output: Option<PathBuf>,

    /// Which allocator, counted from 1, if several were recorded
    #[arg(long, value_name = "N")]
    allocator: Option<usize>,

    /// Size of the space, if the allocator was made before the recording [default: the
    /// largest end that is asked for]
    #[arg(long, value_parser = size)]
    size: Option<u64>,

    /// Size of its chunks, likewise [default: 4K]
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
        eprintln!("the size {size} is the largest end that is asked for; --size says another one");
    }
    if !about.is_whole {
        eprintln!("what was allocated before the recording is missing");
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
    // What is no text is named with its line, as any other wrong word.
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
            None => "several allocators were recorded; say which one".to_owned(),
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
    let whole = if about.is_whole { "" } else { ", not from its beginning" };
    format!("{space} at {address:#x}, {calls} in {seconds:.3} s{whole}")
}

fn count(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn space(arguments: &Arguments, about: &RecordedAllocator) -> Result<Space, String> {
    let given = arguments.size.or(arguments.chunk).is_some();
    match about.space {
        Some(_) if about.is_whole && given => {
            Err("its space was recorded; leave out --size and --chunk".into())
        }
        Some(space) if about.is_whole => Ok(space),
        space => {
            let unknown = "how large the space is was not recorded; say it with --size, such as \
                           --size 16G";
            let size = arguments.size.or(space.map(|space| space.size)).ok_or(unknown)?;
            Ok(Space::new(size, arguments.chunk.unwrap_or(SZ_4K as u64)))
        }
    }
}
