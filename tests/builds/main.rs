//! What builds this crate again: as a package, as a dependency, in programs of other kinds, with
//! a changed kernel; and `./setup`, which makes a build possible.
//!
//! Nested builds of the project share one target folder, and one test at a time has it.

#[path = "../common/command.rs"]
mod command_line;
#[path = "../common/mod.rs"]
mod common;

mod binding;
mod dependency;
mod edges;
mod kunit_sees_faults;
mod package;
mod setup;
