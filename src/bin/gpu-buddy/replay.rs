//! `gpu-buddy replay`

mod cost;

use std::ffi::OsString;
use std::io::{Read, Write, stdin, stdout};
use std::path::PathBuf;

use gpu_buddy::diff::{
    Finding, Implementation, Lockstep, NotCreated, Operation, Outcome, Settings, Step, Trace,
    format_size,
};

use crate::kernel::{Against, Kernel, Pair, start_both};
use crate::{Failure, Verdict};

/// Run a trace, print each call with its outcome, and mark what is wrong
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  gpu-buddy replay failure.trace\n  \
                        gpu-buddy replay --kernel ~/linux --against 7.3 failure.trace\n  \
                        printf 'space size=16M chunk=4K\\na = alloc 8M\\n' | gpu-buddy replay -")]
pub struct Arguments {
    /// The trace; - for standard input
    file: PathBuf,

    #[command(flatten)]
    kernel: Kernel,

    /// What the kernel is held against: reference, contract, or another KERNEL
    /// [default: reference, or contract if the kernel's choices are not the
    /// reference's, and for a trace with fail-nth]
    #[arg(long, value_name = "WHAT")]
    against: Option<OsString>,

    /// Treat known breaches as failures
    #[arg(long)]
    strict: bool,

    /// Print the outcomes alone and judge nothing, to compare two kernels
    #[arg(long, conflicts_with_all = ["against", "strict"])]
    plain: bool,

    /// Print what each call costs, in steps through trees and lists and calls of the
    /// slab; with --against KERNEL, beside what it costs there. Nothing else is judged
    #[arg(long, conflicts_with_all = ["plain", "strict"])]
    cost: bool,

    /// Show differences alone, and no breach of the contract
    #[arg(long, hide = true)]
    differences_only: bool,

    /// Check the whole tree after so many operations
    #[arg(long, hide = true, value_name = "N", default_value_t = 1)]
    full_check_interval: u64,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let name = arguments.file.display();
    let trace = read_trace(&arguments.file)?;
    let settings = Settings {
        full_check_interval: arguments.full_check_interval,
        strict: arguments.strict,
        differences_only: arguments.differences_only,
        ..Settings::default()
    };
    let against = arguments.against.as_deref();
    let against = if arguments.plain { Some("contract".as_ref()) } else { against };
    // The twin has no memory that fails.
    let faults = trace
        .operations
        .iter()
        .any(|operation| matches!(operation, Operation::FailNth { times, .. } if *times > 0));
    let pair = Pair::open(&arguments.kernel, against, faults)?;
    let refused = |error: NotCreated| Failure::Usage(format!("{name}: {error}"));
    if arguments.cost {
        return cost::play(&trace, pair).map_err(refused)?;
    }
    match pair.against {
        Against::Kernel(other) => {
            let start = start_both(pair.module, other);
            play(&trace, start(trace.space, settings), arguments.plain).map_err(refused)?
        }
        _ => play(&trace, pair.start(trace.space, settings), arguments.plain).map_err(refused)?,
    }
}

/// Reads a trace; `-` is the standard input.
pub fn read_trace(file: &std::path::Path) -> Result<Trace, Failure> {
    let name = file.display();
    let text = read(file).map_err(|error| Failure::Usage(format!("{name}: {error}")))?;
    text.parse().map_err(|error| Failure::Usage(format!("{name}: {error}")))
}

fn read(file: &std::path::Path) -> std::io::Result<String> {
    if file.as_os_str() != "-" {
        return std::fs::read_to_string(file);
    }
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// Fails where there is nothing to play on.
fn play<S: Implementation, R: Implementation>(
    trace: &Trace,
    pair: Result<Lockstep<S, R>, NotCreated>,
    plain: bool,
) -> Result<Result<Verdict, Failure>, NotCreated> {
    match pair {
        Ok(pair) => Ok(play_on(trace, pair, plain)),
        Err(NotCreated::Finding(finding)) if !plain => {
            let mut out = stdout().lock();
            let told = write_space(&mut out, trace).and_then(|()| tell_finding(&mut out, &finding));
            Ok(told.map(|()| Verdict::Failed).map_err(Failure::from))
        }
        Err(refused) => Err(refused),
    }
}

fn write_space(out: &mut impl Write, trace: &Trace) -> std::io::Result<()> {
    let space = &trace.space;
    let (size, chunk) = (format_size(space.size), format_size(space.chunk_size));
    writeln!(out, "space size={size} chunk={chunk}")
}

fn play_on<S: Implementation, R: Implementation>(
    trace: &Trace,
    mut pair: Lockstep<S, R>,
    plain: bool,
) -> Result<Verdict, Failure> {
    let mut out = stdout().lock();
    write_space(&mut out, trace)?;
    let mut verdict = Verdict::Passed;
    for operation in &trace.operations {
        // If this one kills the process, it should be seen.
        write!(out, "{operation}")?;
        out.flush()?;
        let step = pair.step(operation);
        match step.outcome {
            Outcome::Done if !pair.blocks().is_empty() => {
                let blocks: Vec<_> = pair.blocks().iter().map(ToString::to_string).collect();
                writeln!(out, "  -> {}", blocks.join(", "))?;
            }
            Outcome::Done => writeln!(out)?,
            outcome => match pair.bug() {
                Some(bug) => writeln!(out, "  -> {bug}")?,
                None => writeln!(out, "  -> {outcome}")?,
            },
        }
        if pair.bug().is_some() {
            verdict = Verdict::Failed;
        }
        if plain {
            continue;
        }
        tell(&mut out, &step)?;
        if !step.findings.is_empty() {
            verdict = Verdict::Failed;
        }
        if step.findings.iter().any(|finding| matches!(finding, Finding::Divergence(_))) {
            // From here on two different states would be compared.
            return Ok(verdict);
        }
    }
    if plain {
        return Ok(verdict);
    }
    let step = pair.finish();
    if !step.findings.is_empty() || !step.known.is_empty() {
        writeln!(out, "(everything freed)")?;
        tell(&mut out, &step)?;
    }
    if !step.findings.is_empty() {
        verdict = Verdict::Failed;
    }
    Ok(verdict)
}

fn tell_finding(out: &mut impl Write, finding: &Finding) -> std::io::Result<()> {
    writeln!(out, "  ** {finding}")?;
    if let Finding::Breach(broken) = finding {
        writeln!(out, "     {}", broken.promise.explanation())?;
    }
    Ok(())
}

fn tell(out: &mut impl Write, step: &Step) -> std::io::Result<()> {
    for finding in &step.findings {
        tell_finding(out, finding)?;
    }
    for known in &step.known {
        writeln!(out, "  known: {}: {}", known.name, known.sentence)?;
    }
    if step.resynced {
        writeln!(out, "  the reference took over the clear state of the C")?;
    }
    Ok(())
}
