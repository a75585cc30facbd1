//! `gpu-buddy finding`: what was found in the kernel's allocator, ready to be sent.

mod calls;
pub mod entry;
mod list;
mod page;

use std::io::{Write, stdout};

use clap::builder::PossibleValuesParser;

use crate::{Failure, Verdict};
use entry::Finding;
pub use list::all;

/// Print what was found in the kernel's allocator, ready to be mailed
///
/// Without a name, all findings are listed. Each page is plain text of at most 72 columns: what
/// is promised and where, the shortest trace, what happens, which releases show it, and what
/// a fix could be.
///
/// An object of --json has: name, title, kind (bug, quirk, documentation), sure (certain,
/// by-design, judgement), breaks (a promise of the contract), rests_on, shown_by and not_by
/// (with version and why), history, run, shows, trace, sections.
#[derive(clap::Args)]
#[command(
    about = "Print what was found in the kernel's allocator, ready to be mailed",
    after_help = "Examples:\n  gpu-buddy finding\n  \
                  gpu-buddy finding contiguous-frees-list\n  \
                  gpu-buddy finding contiguous-frees-list --trace | gpu-buddy replay -"
)]
pub struct Arguments {
    /// The finding [default: a list of all]
    #[arg(hide_possible_values = true, value_parser = PossibleValuesParser::new(list::names()))]
    name: Option<String>,

    /// Print its trace alone, as gpu-buddy replay takes it
    #[arg(long, requires = "name", conflicts_with = "json")]
    trace: bool,

    /// Print JSON: an object, or an array of all
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
    // Others the parser refuses, with a hint.
    let finding = all.iter().find(|finding| finding.name == name);
    let finding = finding.ok_or_else(|| Failure::Usage(format!("there is no finding {name}")))?;
    if arguments.trace {
        let none = || Failure::Usage(format!("{name} has no trace: it is shown in another way"));
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
