//! `gpu-buddy completions`: shell completions and man pages.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::{Failure, Verdict};

/// Print completions for a shell, or write man pages
///
/// The completions cover the subcommands, their options, and the names of findings. There is one
/// man page for the command and one for each subcommand.
#[derive(clap::Args)]
#[command(
    about = "Print completions for a shell, or write man pages",
    after_help = "Examples:\n  \
                  gpu-buddy completions bash > ~/.local/share/bash-completion/completions/gpu-buddy\n  \
                  gpu-buddy completions fish > ~/.config/fish/completions/gpu-buddy.fish\n  \
                  gpu-buddy completions --man ~/.local/share/man/man1"
)]
#[group(required = true, multiple = false)]
pub struct Arguments {
    /// Print completions for this shell
    shell: Option<Shell>,

    /// Write man pages into this folder; it is created if it does not exist
    #[arg(long, value_name = "DIR")]
    man: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let command = crate::Arguments::command();
    if let Some(folder) = &arguments.man {
        let fail = |error| Failure::Usage(format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(folder).map_err(fail)?;
        clap_mangen::generate_to(command, folder).map_err(fail)?;
    } else if let Some(shell) = arguments.shell {
        // generate() panics if it cannot write, so it writes to memory.
        let mut script = Vec::new();
        let mut shown = without_hidden(&command);
        clap_complete::generate(shell, &mut shown, "gpu-buddy", &mut script);
        // clap_complete 4.6.11 takes the hyphen for a subcommand in one of two places.
        let script = String::from_utf8_lossy(&script).replace("gpu__subcmd__buddy", "gpu__buddy");
        stdout().lock().write_all(script.as_bytes())?;
    }
    Ok(Verdict::Passed)
}

/// The command without its hidden subcommands and options, which clap_complete would complete.
fn without_hidden(command: &Command) -> Command {
    let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let subcommands = command.get_subcommands().filter(|command| !command.is_hide_set());
    let mut shown = Command::new(command.get_name().to_owned())
        .args(arguments.cloned())
        .subcommands(subcommands.map(without_hidden));
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        shown = shown.version(version.to_owned());
    }
    shown
}
