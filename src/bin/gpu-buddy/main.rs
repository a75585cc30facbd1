//! The command `gpu-buddy`.
//!
//! Exit codes: 0 passed, 1 the allocator failed a check, 2 wrong usage, 130 interrupted.

mod binding;
mod check;
mod compare;
mod completions;
mod finding;
mod follow;
mod generate;
mod import;
mod info;
mod kernel;
mod kunit;
mod map;
mod patience;
mod plot;
mod progress;
mod replay;
mod report;
mod supervise;
mod torture;
mod watchdog;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Test the Linux kernel's GPU buddy allocator in userspace.
#[derive(Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 passed, 1 the allocator failed a check, 2 wrong usage, 130 \
                  interrupted.\n\n\
                  Example: gpu-buddy kunit"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Binding(binding::Arguments),
    #[command(hide = true)]
    Candidate(supervise::candidate::Arguments),
    Check(check::Arguments),
    Compare(compare::Arguments),
    Completions(completions::Arguments),
    Finding(finding::Arguments),
    #[command(hide = true)]
    Follow(follow::Arguments),
    Generate(generate::Arguments),
    Import(import::Arguments),
    Info(info::Arguments),
    Kunit(kunit::Arguments),
    Map(map::Arguments),
    Plot(plot::Arguments),
    #[command(hide = true)]
    Record(report::record::Arguments),
    Replay(replay::Arguments),
    Report(report::Arguments),
    #[command(hide = true)]
    Time(check::time::Arguments),
    Torture(torture::Arguments),
}

/// What a check found.
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Passed,
    Failed,
}

/// Why a command failed.
enum Failure {
    /// Wrong usage.
    Usage(String),
    /// Its output could not be written.
    Output(io::Error),
    /// A child process has printed the reason; this is its exit code.
    Told(u8),
    /// The user did not want to wait. This is how far it came.
    Interrupted(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    // Torture reports its findings itself, and triggers them thousands of times while it
    // shrinks.
    let level = match command {
        Command::Candidate(_) | Command::Check(_) | Command::Compare(_) => "off",
        Command::Follow(_) | Command::Record(_) => "off",
        Command::Time(_) | Command::Torture(_) => "off",
        _ => "warn",
    };
    env_logger::Builder::from_env(env_logger::Env::new().filter_or("RUST_LOG", level)).init();
    let result = match command {
        Command::Binding(arguments) => binding::run(&arguments),
        Command::Candidate(arguments) => supervise::candidate::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Finding(arguments) => finding::run(&arguments),
        Command::Follow(arguments) => follow::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
        Command::Kunit(arguments) => kunit::run(&arguments),
        Command::Map(arguments) => map::run(&arguments),
        Command::Plot(arguments) => plot::run(&arguments),
        Command::Record(arguments) => report::record::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Time(arguments) => check::time::run(&arguments),
        Command::Torture(arguments) => torture::run(&arguments),
    };
    match result {
        Ok(Verdict::Passed) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::from(1),
        // The reader has closed the pipe: `gpu-buddy kunit | head`.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(Failure::Output(error)) => {
            eprintln!("error: writing the output: {error}");
            ExitCode::from(2)
        }
        Err(Failure::Told(code)) => ExitCode::from(code),
        Err(Failure::Interrupted(message)) => {
            eprintln!("{message}");
            ExitCode::from(supervise::INTERRUPTED)
        }
        Err(Failure::Usage(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}
