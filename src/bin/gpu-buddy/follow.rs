//! `gpu-buddy follow`: runs a trace for the process that draws it, since the C may crash or hang.

use std::ffi::OsString;
use std::io::stdout;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use gpu_buddy::diff::{KernelC, Lockstep, Operation, Outcome, Settings, TraceFile};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::kernel::Kernel;
use crate::map;
use crate::map::state::Looker;
use crate::plot::series::Plotter;
use crate::progress::Progress;
use crate::replay::read_trace;
use crate::supervise::{Status, end_with_parent, handle_interrupt, run_trace, say};
use crate::{Failure, Verdict};

/// Looks at the states that a trace leads to.
pub trait Observer: Sized {
    /// The result.
    type Seen: Serialize + DeserializeOwned;
    /// The value of [`Arguments::what`] that selects it.
    const WHAT: What;

    /// Called before the first of this many operations.
    fn begin(operations: usize, pair: &mut Lockstep) -> Self;

    /// Called after each operation.
    fn observe(
        &mut self,
        index: usize,
        operation: &Operation,
        outcome: Outcome,
        pair: &mut Lockstep,
    );

    /// Called after the last operation.
    fn end(self, pair: &mut Lockstep) -> Self::Seen;
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum What {
    /// The state at the end.
    State,
    /// The numbers over all calls.
    Series,
}

/// Run a trace for the process that draws it
#[derive(clap::Args)]
pub struct Arguments {
    file: PathBuf,
    #[command(flatten)]
    kernel: Kernel,
    #[arg(long, value_enum)]
    what: What,
    /// Number of operations to run
    #[arg(long)]
    operations: usize,
}

/// A line of the process's output.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event<T> {
    /// No allocator can manage the space.
    Refused(String),
    /// The number of operations begun. 0 is the creation of the allocator.
    Begun(usize),
    /// The operation begun last ran into a BUG.
    Bug(String),
    Seen(T),
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    end_with_parent();
    match arguments.what {
        What::State => run_with::<Looker>(arguments),
        What::Series => run_with::<Plotter>(arguments),
    }
}

fn run_with<O: Observer>(arguments: &Arguments) -> Result<Verdict, Failure> {
    let file = read_trace(&arguments.file)?;
    let module = arguments.kernel.open()?;
    let mut out = stdout().lock();
    let mut tell = |event: Event<O::Seen>| say(&mut out, &event);
    tell(Event::Begun(0))?;
    let settings =
        Settings { full_check_interval: 0, differences_only: true, ..Settings::default() };
    let space = file.trace().space;
    let mut pair = match Lockstep::only(KernelC::new(module, space), space, settings) {
        Ok(pair) => pair,
        Err(refused) => {
            tell(Event::Refused(refused.to_string()))?;
            return Ok(Verdict::Passed);
        }
    };
    let mut observer = O::begin(arguments.operations, &mut pair);
    let operations = file.trace().operations.iter().take(arguments.operations);
    for (index, operation) in operations.enumerate() {
        tell(Event::Begun(index + 1))?;
        let outcome = pair.step(operation).outcome;
        if let Some(bug) = pair.bug() {
            tell(Event::Bug(bug.to_string()))?;
            return Ok(Verdict::Passed);
        }
        observer.observe(index, operation, outcome, &mut pair);
    }
    tell(Event::Seen(observer.end(&mut pair)))?;
    // The teardown is not part of the picture, and may crash.
    std::mem::forget(pair);
    Ok(Verdict::Passed)
}

/// The result of a run.
pub struct Followed<T> {
    pub seen: T,
    /// The number of operations before this state.
    pub operations: usize,
    /// Why these are fewer than requested.
    pub stopped: Option<Stopped>,
}

/// Why there is no state after an operation.
pub enum Stopped {
    /// A BUG, a crash or a hang.
    Failed(String),
    Fini,
}

/// A trace, and what it is run on.
pub struct Run<'a> {
    pub file: &'a TraceFile,
    /// The path of the trace.
    pub path: &'a Path,
    pub kernel: &'a Kernel,
    /// How long a call may make no progress.
    pub patience: Duration,
}

/// One try.
enum Try<T> {
    Seen(T),
    /// There is no state after the operation with this index.
    Failed(usize, String),
}

impl Run<'_> {
    /// Runs this many operations of the trace on the kernel, without checks. Stops before the first
    /// one that leaves no state.
    pub fn follow<O: Observer>(&self, operations: usize) -> Result<Followed<O::Seen>, Failure> {
        handle_interrupt()?;
        let folder = tempfile::Builder::new().prefix("gpu-buddy-").tempdir()?;
        let _progress = Progress::new(format!("running {}", map::operations(operations)));
        let all = &self.file.trace().operations[..operations];
        let fini = all.iter().position(|operation| *operation == Operation::Fini);
        let (mut operations, mut stopped) =
            fini.map_or((operations, None), |index| (index, Some(Stopped::Fini)));
        loop {
            match self.attempt::<O>(operations, folder.path())? {
                Try::Seen(seen) => return Ok(Followed { seen, operations, stopped }),
                // The state before it takes another run.
                Try::Failed(index, why) => {
                    (operations, stopped) = (index, Some(Stopped::Failed(why)));
                }
            }
        }
    }

    fn attempt<O: Observer>(
        &self,
        operations: usize,
        folder: &Path,
    ) -> Result<Try<O::Seen>, Failure> {
        let mut arguments: Vec<OsString> = Vec::new();
        if let Some(kernel) = &self.kernel.kernel {
            arguments.extend(["--kernel".into(), kernel.clone()]);
        }
        arguments.push(format!("--what={:?}", O::WHAT).to_lowercase().into());
        arguments.push(format!("--operations={operations}").into());
        let (text, stderr) = (self.file.to_string(), Stdio::inherit());
        let (status, _, text) =
            run_trace("follow", &text, &arguments, &[], folder, self.patience, stderr)?;
        let usage = |why: &str| Failure::Usage(format!("{}: {why}", self.path.display()));
        let mut begun = 0;
        for event in text.lines().map_while(|line| serde_json::from_str(line).ok()) {
            match event {
                Event::Refused(why) => return Err(usage(&why)),
                Event::Begun(operations) => begun = operations,
                Event::Bug(bug) => return Ok(Try::Failed(begun - 1, bug)),
                Event::Seen(seen) => return Ok(Try::Seen(seen)),
            }
        }
        match status {
            Status::Exited(code) => {
                Err(Failure::Told(code.filter(|&code| code > 0).unwrap_or(2) as u8))
            }
            Status::Dead(death) => match begun.checked_sub(1) {
                Some(index) => Ok(Try::Failed(index, death.to_string())),
                None => Err(usage(&format!("the creation of the allocator: {death}"))),
            },
            Status::Interrupted => Err(Failure::Interrupted(self.interrupted(begun, operations))),
        }
    }

    /// Where the interrupt came.
    fn interrupted(&self, begun: usize, operations: usize) -> String {
        let place = match begun.checked_sub(1) {
            None => String::new(),
            Some(index) => {
                let line = self.file.operation(index);
                format!(
                    ", in operation {begun} of {operations} (line {}: {})",
                    line.number(),
                    line.words()
                )
            }
        };
        format!("{}: interrupted{place}; nothing is drawn", self.path.display())
    }
}
