//! `gpu-buddy finding`: prints findings about the kernel's allocator.

mod calls;
pub mod entry;
mod list;
mod page;

use std::io::{Write, stdout};

use clap::builder::PossibleValuesParser;

use crate::{Failure, Verdict};
use entry::Finding;
pub use list::all;

/// Print known bugs and quirks of the kernel's allocator, ready to mail
///
/// Without a name, all findings are listed. Each finding is plain text of at most 72 columns: what
/// is promised and where, the shortest trace, what happens, which releases show it, and a possible
/// fix.
///
/// An object of --json has: name, title, kind (bug, quirk, documentation), sure (certain,
/// by-design, judgement), breaks (a promise of the contract), rests_on (where it is promised),
/// shown_by and not_by (with version and why), history, run, shows, trace, sections.
#[derive(clap::Args)]
#[command(
    about = "Print known bugs and quirks of the kernel's allocator, ready to mail",
    after_help = "Examples:\n  gpu-buddy finding\n  \
                  gpu-buddy finding contiguous-frees-list\n  \
                  gpu-buddy finding contiguous-frees-list --trace | gpu-buddy replay -"
)]
pub struct Arguments {
    /// Name of the finding [default: list all]
    #[arg(hide_possible_values = true, value_parser = PossibleValuesParser::new(list::names()))]
    name: Option<String>,

    /// Print only its trace, for gpu-buddy replay
    #[arg(long, requires = "name", conflicts_with = "json")]
    trace: bool,

    /// Print JSON: an object, or an array of all findings
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let all = all();
    let mut out = stdout().lock();
    let Some(name) = arguments.name.as_deref() else {
        if arguments.json {
            writeln!(out, "{}", json(&all)?)?;
        } else {
            let width = all.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
            for Finding { name, title, .. } in &all {
                writeln!(out, "{name:width$}  {title}")?;
            }
        }
        return Ok(Verdict::Passed);
    };
    // The parser rejects other names with a hint.
    let finding = all.iter().find(|finding| finding.name == name);
    let finding = finding.ok_or_else(|| Failure::Usage(format!("there is no finding {name}")))?;
    if arguments.trace {
        let none = || Failure::Usage(format!("{name} has no trace; see gpu-buddy finding {name}"));
        write!(out, "{}", finding.trace.ok_or_else(none)?)?;
    } else if arguments.json {
        writeln!(out, "{}", json(finding)?)?;
    } else {
        write!(out, "{}", page::text(finding))?;
    }
    Ok(Verdict::Passed)
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(|error| Failure::Output(error.into()))
}
