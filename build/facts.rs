//! Writes down what was compiled, for the crate to report.

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::capabilities::Capability;
use crate::kernel::{Kernel, RUST_BINDING};
use crate::{Result, read, write_if_changed};

pub fn write(kernel: &Kernel, capabilities: &[Capability], out: &Path) -> Result<()> {
    let mut text = String::new();
    let mut line = |arguments: std::fmt::Arguments<'_>| {
        let _ = writeln!(text, "{arguments}");
    };
    line(format_args!("Kernel {{"));
    line(format_args!("    series: {:?},", kernel.series));
    line(format_args!("    revision: {:?},", kernel.revision));
    line(format_args!("    files: &["));
    for file in kernel.files() {
        let content =
            std::fs::read(kernel.path(file)).map_err(|error| format!("{file}: {error}"))?;
        let digest = hex(&Sha256::digest(content));
        line(format_args!("        KernelFile {{ path: {file:?}, sha256: {digest:?} }},"));
    }
    line(format_args!("    ],"));
    line(format_args!("    capabilities: &["));
    for Capability { name, meaning } in capabilities {
        line(format_args!("        Capability {{ name: {name:?}, meaning: {meaning:?} }},"));
    }
    line(format_args!("    ],"));
    line(format_args!("}}"));
    write_if_changed(&out.join("facts.rs"), &text)?;
    write_if_changed(&out.join("examples.md"), &examples(kernel)?)
}

/// The examples in the kernel's own binding, with this crate's name for the
/// kernel crate's; nothing where the series has no binding.
fn examples(kernel: &Kernel) -> Result<String> {
    let path = kernel.path(RUST_BINDING);
    if !path.is_file() {
        return Ok(String::new());
    }
    let lines = read(&path)?
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect::<String>();
    Ok(lines.replace("use kernel::", "use gpu_buddy::kernel::"))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
