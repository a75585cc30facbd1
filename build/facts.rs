//! Writes the facts about the compiled kernel, for the crate to report.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::capabilities::Capability;
use crate::kernel::{Kernel, RUST_BINDING};
use crate::tree::SUPPORT;
use crate::{Result, read, write_if_changed};

pub fn write(
    package: &Path,
    kernel: &Kernel,
    capabilities: &[Capability],
    out: &Path,
) -> Result<()> {
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
            std::fs::read(kernel.path(&file)).map_err(|error| format!("{file}: {error}"))?;
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
    write_if_changed(&out.join("shims.rs"), &texts(&shims(&package.join("vendor/shim"))?))?;
    let support: Vec<_> =
        SUPPORT.iter().map(|&file| (file.to_owned(), kernel.path(file))).collect();
    write_if_changed(&out.join("support.rs"), &texts(&support))?;
    write_if_changed(&out.join("examples.md"), &examples(kernel)?)
}

/// A Rust array of names and texts, which the library includes.
fn texts(files: &[(String, PathBuf)]) -> String {
    let text = |(name, path): &(String, PathBuf)| {
        format!("    ({name:?}, include_str!({:?})),\n", path.display().to_string())
    };
    format!("&[\n{}]\n", files.iter().map(text).collect::<String>())
}

/// All files in a folder, by relative path.
fn shims(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let entries = next.read_dir().map_err(|error| format!("{}: {error}", next.display()))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(name) = path.strip_prefix(folder) {
                files.push((name.display().to_string(), path.clone()));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The examples of the kernel's own binding, with this crate's name instead of the kernel crate's;
/// empty if the series has no binding.
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
