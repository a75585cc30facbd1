//! `gpu-buddy info`

use std::io::{Write, stdout};

use gpu_buddy::KERNEL;

use crate::{Failure, Verdict};

/// Say which kernel is compiled in
#[derive(clap::Args)]
#[command(after_help = "Example: GPU_BUDDY_KERNEL=~/linux cargo run -- info")]
pub struct Arguments {}

pub fn run(_: &Arguments) -> Result<Verdict, Failure> {
    let mut out = stdout().lock();
    writeln!(out, "gpu-buddy {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "\nkernel")?;
    for line in KERNEL.revision.lines() {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "\ncapabilities")?;
    for capability in KERNEL.capabilities {
        writeln!(out, "  {:14} {}", capability.name, capability.meaning)?;
    }
    writeln!(out, "\nfiles (sha256)")?;
    for file in KERNEL.files {
        writeln!(out, "  {}  {}", file.sha256, file.path)?;
    }
    Ok(Verdict::Passed)
}
