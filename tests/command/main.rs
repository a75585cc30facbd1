//! The command, as a user runs it. Each test starts it in a process of its own.

mod browser;
#[path = "../common/command.rs"]
mod command_line;
#[path = "../common/mod.rs"]
mod common;

mod check;
mod completions;
mod cost;
mod findings;
mod help;
mod import;
mod info_and_kunit;
mod kernels;
mod map;
mod module;
mod plot;
mod replay;
mod report;
mod torture;
