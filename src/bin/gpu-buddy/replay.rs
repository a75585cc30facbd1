//! `gpu-buddy replay`

pub mod allocations;
pub mod checks;
mod cost;

use std::io::{IsTerminal, Read, StdoutLock, Write, stdin, stdout};
use std::path::{Path, PathBuf};

use gpu_buddy::diff::{
    Block, Finding, Lockstep, NotCreated, Operation, Outcome, Settings, Step, TraceFile, TraceLine,
};

use crate::kernel::{Judged, Pair};
use crate::map;
use crate::progress::Progress;
use crate::{Failure, Verdict};
use allocations::Allocations;
use checks::{Checks, first_shown};

/// Run a trace, print each call with its outcome, and mark what is wrong
///
/// Names and comments are printed as in the file. The offsets of blocks include the base of the
/// trace.
#[derive(clap::Args)]
#[command(
    about = "Run a trace, print each call with its outcome, and mark what is wrong",
    after_help = "Examples:\n  gpu-buddy replay failure.trace\n  \
                        gpu-buddy replay --kernel ~/linux --against 7.3 failure.trace\n  \
                        printf 'space size=16M chunk=4K\\na = alloc 8M\\n' | gpu-buddy replay -\n\n\
                  docs/traces.md describes the notation."
)]
pub struct Arguments {
    /// The trace; - for standard input
    file: PathBuf,

    #[command(flatten)]
    judged: Judged,

    /// Print only the outcomes and check nothing, to compare two kernels with diff
    #[arg(long, conflicts_with_all = ["against", "strict"])]
    plain: bool,

    /// Print the cost of each call: tree and list steps and slab calls; with --against
    /// KERNEL also its cost there. Nothing else is checked
    #[arg(long, conflicts_with_all = ["plain", "strict"])]
    cost: bool,

    /// Show only differences, and no breach of the contract
    #[arg(long, hide = true)]
    differences_only: bool,

    /// Check the whole tree after every N operations [default: after each operation, less
    /// often in a long trace]
    #[arg(long, value_name = "N")]
    full_check_interval: Option<u64>,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let file = read_trace(&arguments.file)?;
    let settings = Settings {
        full_check_interval: arguments.full_check_interval.unwrap_or(0),
        strict: arguments.judged.strict,
        differences_only: arguments.differences_only,
        ..Settings::default()
    };
    let Judged { kernel, against, .. } = &arguments.judged;
    let against = if arguments.plain { Some("contract".as_ref()) } else { against.as_deref() };
    let pair = Pair::open(kernel, against, has_faults(&file))?;
    let refused =
        |error: NotCreated| Failure::Usage(format!("{}: {error}", arguments.file.display()));
    if arguments.cost {
        return cost::play(file.trace(), pair).map_err(refused)?;
    }
    let replay = Replay {
        file: &file,
        plain: arguments.plain,
        by_cost: !arguments.plain && arguments.full_check_interval.is_none(),
        allocations: Allocations::new(&file),
        out: stdout().lock(),
    };
    // Otherwise the calls themselves show how far it is.
    let _progress = (!stdout().is_terminal()).then(|| {
        let count = file.trace().operations.len();
        Progress::new(format!("replaying {}", map::operations(count)))
    });
    let space = file.trace().space;
    let done = replay.run(|| pair.start(space, settings));
    done.map_err(|failure| match failure {
        NotReplayed::Refused(error) => {
            Failure::Usage(format!("{}: {error}", arguments.file.display()))
        }
        NotReplayed::Output(error) => error.into(),
    })
}

/// Reads a trace with its names and comments; `-` is the standard input.
pub fn read_trace(file: &Path) -> Result<TraceFile, Failure> {
    let name = file.display();
    let text = read(file).map_err(|error| Failure::Usage(format!("{name}: {error}")))?;
    text.parse().map_err(|error| Failure::Usage(format!("{name}: {error}")))
}

fn read(file: &Path) -> std::io::Result<String> {
    if file.as_os_str() != "-" {
        return std::fs::read_to_string(file);
    }
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// The outcome of an operation, with at most `most` of its blocks.
pub fn outcome(
    file: &TraceFile,
    allocations: &Allocations<'_>,
    index: usize,
    step: &Step,
    pair: &Lockstep,
    most: usize,
) -> String {
    let base = file.trace().space.base;
    match step.outcome {
        Outcome::Done => blocks(pair.blocks(), base, most),
        Outcome::Found(Some(block)) => blocks(&[block], base, most),
        Outcome::Skipped => allocations.why_skipped(index).unwrap_or_else(|| {
            let operation = &file.trace().operations[index];
            let why = pair.declines(operation).unwrap_or("not supported");
            format!("skipped: {why}")
        }),
        outcome => match pair.bug() {
            Some(bug) => bug.to_string(),
            None => outcome.to_string(),
        },
    }
}

/// Blocks as text, with the base of the space added.
pub fn blocks(blocks: &[Block], base: u64, most: usize) -> String {
    let at_base =
        |block: &Block| Block { offset: base.wrapping_add(block.offset), ..*block }.to_string();
    let mut text = blocks.iter().take(most).map(at_base).collect::<Vec<_>>().join(", ");
    if blocks.len() > most {
        text.push_str(&format!(" and {} more", blocks.len() - most));
    }
    text
}

/// Whether memory allocations fail in a trace. The reference model cannot run such a trace.
pub fn has_faults(file: &TraceFile) -> bool {
    let fails = |operation: &_| matches!(operation, Operation::FailNth { times, .. } if *times > 0);
    file.trace().operations.iter().any(fails)
}

/// Why a trace was not replayed to its end.
enum NotReplayed {
    /// No allocator could be created.
    Refused(NotCreated),
    Output(std::io::Error),
}

impl From<std::io::Error> for NotReplayed {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

struct Replay<'a> {
    file: &'a TraceFile,
    plain: bool,
    /// The whole tree is checked as often as time allows.
    by_cost: bool,
    allocations: Allocations<'a>,
    out: StdoutLock<'a>,
}

impl Replay<'_> {
    fn run(
        mut self,
        start: impl Fn() -> Result<Lockstep, NotCreated>,
    ) -> Result<Verdict, NotReplayed> {
        let mut pair = match start() {
            Ok(pair) => pair,
            Err(NotCreated::Finding(finding)) => {
                self.begin(self.file.space())?;
                self.end(self.file.space(), "")?;
                self.tell_finding(&finding)?;
                return Ok(Verdict::Failed);
            }
            // Without operations, the trace is about the creation.
            Err(NotCreated::Refused(errno)) if self.file.trace().operations.is_empty() => {
                self.begin(self.file.space())?;
                self.end(self.file.space(), &errno.to_string())?;
                return Ok(Verdict::Passed);
            }
            Err(refused) => return Err(NotReplayed::Refused(refused)),
        };
        self.begin(self.file.space())?;
        self.end(self.file.space(), "")?;
        let mut verdict = Verdict::Passed;
        let operations = &self.file.trace().operations;
        let mut checks = Checks::new(operations.len());
        // The findings so far, so that each kind is located once.
        let mut located: Vec<Finding> = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            let line = self.file.operation(index);
            // Print it first, in case it kills the process.
            self.begin(line)?;
            let check = self.by_cost && checks.next(pair.tree_blocks());
            if self.by_cost {
                pair.set_full_check_interval(u64::from(check));
            }
            let step = pair.step(operation);
            let outcome = outcome(self.file, &self.allocations, index, &step, &pair, usize::MAX);
            self.end(line, &outcome)?;
            self.allocations.observe(index, step.outcome, pair.blocks().len());
            if pair.bug().is_some() {
                verdict = Verdict::Failed;
            }
            if self.plain {
                continue;
            }
            let before = if check { checks.checked(index, pair.tree_blocks()) } else { None };
            for finding in &step.findings {
                verdict = Verdict::Failed;
                self.tell_finding(finding)?;
                let skipped = index > before.map_or(0, |before| before + 1);
                if check && skipped && !located.iter().any(|other| other.is_like(finding)) {
                    located.push(finding.clone());
                    let trace = self.file.trace();
                    let first = first_shown(trace, &start, before, index, finding);
                    self.tell_first(index, first)?;
                }
            }
            self.tell_known(&step)?;
            if step.findings.iter().any(|finding| matches!(finding, Finding::Divergence(_))) {
                // The two states differ from here on.
                return Ok(verdict);
            }
        }
        for line in self.file.rest() {
            writeln!(self.out, "{line}")?;
        }
        if self.plain {
            return Ok(verdict);
        }
        let step = pair.finish();
        if !step.findings.is_empty() || !step.known.is_empty() {
            writeln!(self.out, "(everything freed)")?;
            for finding in &step.findings {
                verdict = Verdict::Failed;
                self.tell_finding(finding)?;
            }
            self.tell_known(&step)?;
        }
        if let Some(checked) = checks.left_out().filter(|_| self.by_cost) {
            writeln!(
                self.out,
                "(whole tree checked after {checked} of {} operations; --full-check-interval 1 \
                 checks after each)",
                operations.len()
            )?;
        }
        Ok(verdict)
    }

    /// Prints a line of the file before it runs.
    fn begin(&mut self, line: &TraceLine) -> std::io::Result<()> {
        for before in line.before() {
            writeln!(self.out, "{before}")?;
        }
        self.out.write_all(line.words().as_bytes())?;
        self.out.flush()
    }

    /// Prints its outcome and comment.
    fn end(&mut self, line: &TraceLine, outcome: &str) -> std::io::Result<()> {
        if !outcome.is_empty() {
            write!(self.out, "  -> {outcome}")?;
        }
        if let Some(comment) = line.comment() {
            write!(self.out, "  {comment}")?;
        }
        writeln!(self.out)
    }

    fn tell_finding(&mut self, finding: &Finding) -> std::io::Result<()> {
        writeln!(self.out, "  ** {finding}")?;
        if let Finding::Breach(broken) = finding {
            writeln!(self.out, "     {}", broken.promise.explanation())?;
        }
        Ok(())
    }

    /// Prints after which operation a check finds it first.
    fn tell_first(&mut self, found: usize, first: usize) -> std::io::Result<()> {
        if first == found {
            return Ok(());
        }
        let line = self.file.operation(first);
        writeln!(self.out, "     first seen after line {}: {}", line.number(), line.words())
    }

    fn tell_known(&mut self, step: &Step) -> std::io::Result<()> {
        for known in &step.known {
            writeln!(self.out, "  known: {}: {}", known.name, known.sentence)?;
        }
        Ok(())
    }
}
