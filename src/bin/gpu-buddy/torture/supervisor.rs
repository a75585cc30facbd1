//! Has the work of `gpu-buddy torture` done in a child process, and tells what killed it.

use std::io::{Write, stdout};

use serde_json::json;

use super::{Arguments, Found, replay, write_trace};
use crate::supervise::{self, Death, Status, Supervisor};
use crate::{Failure, Verdict};

/// Has the work done in a child process: the C may crash, or run for ever.
pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => getrandom::u64().map_err(|error| Failure::Usage(error.to_string()))?,
    };
    let folder = tempfile::Builder::new().prefix("gpu-buddy-").tempdir()?;
    let mut again: Vec<_> = std::env::args_os().skip(1).collect();
    if arguments.seed.is_none() {
        again.extend(["--seed".into(), seed.to_string().into()]);
    }
    let supervisor = Supervisor {
        arguments: again,
        replay: replay(arguments),
        threads: arguments.threads,
        folder: folder.path(),
    };
    match supervisor.work()? {
        Status::Dead(death) => after_death(arguments, seed, &supervisor, death),
        Status::Exited(Some(0)) => Ok(Verdict::Passed),
        Status::Exited(Some(1)) => Ok(Verdict::Failed),
        Status::Exited(code) => Err(Failure::Told(code.unwrap_or(2) as u8)),
    }
}

/// Tells what killed the child.
fn after_death(
    arguments: &Arguments,
    seed: u64,
    supervisor: &Supervisor<'_>,
    death: Death,
) -> Result<Verdict, Failure> {
    let found: Vec<_> = supervisor
        .after_death(death)?
        .into_iter()
        .map(|found| {
            let supervise::Found { thread, finding, operations, cut_short, trace } = found;
            let file = write_trace(arguments, seed, thread, &finding, &trace);
            let text = format!(
                "{finding}\nafter {operations} operations, shrunk to {}{}:\n\n{trace}",
                trace.operations.len(),
                if cut_short { ", shrinking ran out of time" } else { "" }
            );
            Found { thread, finding, text, operations, cut_short, trace, file }
        })
        .collect();
    if found.is_empty() {
        eprintln!("No trace shows it. The seed is {seed}.");
    }
    if arguments.json {
        let failures: Vec<_> = found.iter().map(Found::json).collect();
        println!("{}", json!({ "seed": seed, "passed": false, "failures": failures }));
    } else {
        let mut out = stdout().lock();
        found.iter().try_for_each(|found| found.print(&mut out, &supervisor.replay))?;
        writeln!(out, "\nseed {seed}: failed")?;
    }
    Ok(Verdict::Failed)
}
