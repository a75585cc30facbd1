//! `gpu-buddy check`

mod build;
mod contract;
mod corpus;
mod coverage;
mod jobs;
mod judge;
mod kunit;
mod output;
mod page;
mod patch;
mod report;
mod run;
mod steps;
mod target;
pub mod time;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use crate::progress::Progress;
use crate::supervise::INTERRUPTED;
use crate::{Failure, Verdict};
use build::Built;
use report::{Kernel, Report};
use target::Targets;

/// Check whether a change breaks the allocator, and show what it changes
///
/// This compiles the change and its base, and runs the KUnit suite. Both run the same random
/// operations. Each is checked against the contract (what the documentation promises), also with
/// failing memory and with threads, and once with sanitizers. Coverage counts which changed lines
/// ran, and the cost of the calls is compared. The trees are not modified.
///
/// The object of --json has: verdict (same_behaviour, no_difference, behaviour_changes,
/// broken or incomplete), sentence, patched and base (name, revision, sha256 by file), seed,
/// seconds, operations, interrupted, notes, steps (part, mark, summary), and findings (part,
/// relation: new, different, fixed or in_both, kind, lines, count, trace, cut_short).
#[derive(clap::Args)]
#[command(
    about = "Check whether a change breaks the allocator, and show what it changes",
    after_help = "Without --base, a working tree is compared with its last commit; if nothing is \
                  uncommitted, the last commit is compared with the one before.\n\n\
                  Exit codes: 0 nothing is broken, 1 something is broken, 2 wrong usage, the tree \
                  does not compile, or a part could not be run, 130 interrupted. With --bisect: \
                  0 good, 1 bad, 125 the tree does not compile, 128 wrong usage or a part could \
                  not be run.\n\n\
                  Examples:\n  gpu-buddy check ~/linux\n  \
                  gpu-buddy check ~/linux --base v7.2\n  \
                  gpu-buddy check a.patch --base 7.3\n  \
                  gpu-buddy check ~/linux --html check.html\n  \
                  git bisect run gpu-buddy check ~/linux --base v7.2 --bisect"
)]
pub struct Arguments {
    /// What to check: a kernel tree, a series, or REV@PATH; or patches, mails or mailboxes
    #[arg(value_name = "TREE|PATCH", required = true)]
    targets: Vec<PathBuf>,

    /// What to compare it with: a revision of the tree, a series such as 7.3, a tree, or
    /// REV@PATH
    #[arg(long, value_name = "KERNEL")]
    base: Option<OsString>,

    /// Time limit in seconds
    #[arg(long, value_name = "S", default_value = "15", value_parser = crate::torture::seconds)]
    seconds: f64,

    /// Take 4 seconds
    #[arg(long, conflicts_with = "seconds")]
    quick: bool,

    /// Seed of all random choices [default: random, printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Print a single JSON object
    #[arg(long, group = "format")]
    json: bool,

    /// Print Markdown, for a mail or a merge request
    #[arg(long, group = "format")]
    markdown: bool,

    /// Print KTAP, for the KUnit tools
    #[arg(long, group = "format")]
    ktap: bool,

    /// Also write an HTML page that steps through the trace of each finding
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Use the exit codes of `git bisect run`
    #[arg(long)]
    bisect: bool,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    match check(arguments) {
        Ok(report) => {
            print(arguments, &report)?;
            match (report.interrupted, report.verdict) {
                (true, _) => Err(Failure::Told(INTERRUPTED)),
                (_, report::Verdict::Incomplete) => {
                    Err(Failure::Told(if arguments.bisect { 128 } else { 2 }))
                }
                (_, report::Verdict::Broken) => Ok(Verdict::Failed),
                _ => Ok(Verdict::Passed),
            }
        }
        Err(Stopped::DoesNotCompile(message)) if arguments.bisect => {
            eprintln!("error: {message}");
            Err(Failure::Told(125))
        }
        Err(Stopped::Failure(Failure::Usage(message))) if arguments.bisect => {
            // A code below 128 would be a verdict on this revision.
            eprintln!("error: {message}");
            Err(Failure::Told(128))
        }
        Err(Stopped::DoesNotCompile(message)) => Err(Failure::Usage(message)),
        Err(Stopped::Failure(failure)) => Err(failure),
    }
}

/// Why there is no verdict.
enum Stopped {
    DoesNotCompile(String),
    Failure(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        Self::Failure(Failure::Usage(error.to_string()))
    }
}

fn check(arguments: &Arguments) -> Result<Report, Stopped> {
    let started = Instant::now();
    let seconds = if arguments.quick { 4.0 } else { arguments.seconds };
    let seed = match arguments.seed {
        Some(seed) => seed,
        // 32 bits are short enough to type again.
        None => u64::from(getrandom::u32().map_err(|error| Failure::Usage(error.to_string()))?),
    };
    jobs::handle_interrupt().map_err(|error| Failure::Usage(error.to_string()))?;
    arguments.html.as_deref().map_or(Ok(()), crate::report::assert_writable)?;
    let folder = tempfile::Builder::new().prefix("gpu-buddy-").tempdir().map_err(|error| {
        let help = "Set TMPDIR to another folder for temporary files";
        Failure::Usage(format!("{error}. {help}"))
    })?;
    let place = folder.path();
    let targets =
        Targets::find(&arguments.targets, arguments.base.as_deref(), &place.join("patched"))?;
    let mut report = Report {
        verdict: report::Verdict::NoDifference,
        sentence: String::new(),
        patched: kernel(&targets.patched),
        base: kernel(&targets.base),
        seed,
        seconds: 0.0,
        operations: 0,
        interrupted: false,
        notes: targets.notes.clone(),
        steps: Vec::new(),
        findings: Vec::new(),
    };
    let mut shown = Vec::new();
    let progress = Progress::new("reading the trees");
    let same = if targets.patched.files().eq(targets.base.files()) {
        Some("the files of the allocator are the same".to_owned())
    } else {
        progress.message("compiling");
        let built = Built::new(&targets, place)?;
        report.steps.push(built.step());
        report.notes.extend(built.notes(&targets));
        match &built.same {
            Some(same) => Some(same.clone()),
            None => {
                let left = seconds - started.elapsed().as_secs_f64();
                steps::run(&mut report, &targets, &built, (left, seed), place, &progress)?;
                if arguments.html.is_some() {
                    progress.message("replaying the findings for the page");
                    shown = page::findings(&report, &built, place);
                }
                None
            }
        }
    };
    drop(progress);
    report.interrupted = jobs::is_interrupted();
    report.seconds = started.elapsed().as_secs_f64();
    report.decide(same.as_deref());
    if let Some(file) = &arguments.html {
        page::write(&report, shown, file)?;
    }
    Ok(report)
}

fn kernel(tree: &gpu_buddy::module::Tree) -> Kernel {
    Kernel {
        name: tree.name().to_owned(),
        revision: tree.revision().to_owned(),
        sha256: tree.digests().into_iter().collect(),
    }
}

fn print(arguments: &Arguments, report: &Report) -> Result<(), Failure> {
    if arguments.json {
        output::json(report)?;
    } else if arguments.markdown {
        output::markdown(report)?;
    } else if arguments.ktap {
        output::ktap(report)?;
    } else {
        output::text(report)?;
    }
    Ok(())
}
