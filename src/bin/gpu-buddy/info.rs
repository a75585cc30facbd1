//! `gpu-buddy info`

use std::io::{Write, stdout};

use crate::kernel::Kernel;
use crate::{Failure, Verdict};

/// Print the revision, capabilities and file hashes of the compiled-in or another kernel
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  gpu-buddy info\n  gpu-buddy info --kernel v7.2@~/linux")]
pub struct Arguments {
    #[command(flatten)]
    kernel: Kernel,
}

pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let module = arguments.kernel.open()?;
    let mut out = stdout().lock();
    writeln!(out, "gpu-buddy {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "\nkernel")?;
    for line in module.revision().lines() {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "\ncapabilities")?;
    for feature in module.features().iter() {
        writeln!(out, "  {:14} {}", feature.name, feature.meaning)?;
    }
    writeln!(out, "\nfiles (sha256)")?;
    for (path, sha256) in module.files() {
        writeln!(out, "  {sha256}  {path}")?;
    }
    if !module.borrowed_files().is_empty() {
        writeln!(out, "\nfiles missing from the tree, taken from the compiled-in kernel")?;
        for path in module.borrowed_files() {
            writeln!(out, "  {path}")?;
        }
    }
    Ok(Verdict::Passed)
}
