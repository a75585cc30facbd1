//! Compiles the kernel's files, unchanged, over the shims, and binds them.
//!
//! One module per job. Data flows one way: the kernel's files, their capabilities, the compiled
//! objects, the bindings, and the facts that the crate reports.

#[path = "build/bindings.rs"]
mod bindings;
#[path = "build/cache.rs"]
mod cache;
#[path = "build/capabilities.rs"]
mod capabilities;
#[path = "build/compile.rs"]
mod compile;
#[path = "build/facts.rs"]
mod facts;
#[path = "build/kernel.rs"]
mod kernel;
#[path = "build/symbols.rs"]
mod symbols;
#[path = "src/module/tree.rs"]
#[allow(dead_code, reason = "a part of it is for modules")]
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The reason why a build fails, for the user.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            for line in message.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<()> {
    let package = PathBuf::from(env("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env("OUT_DIR")?);
    for input in ["build.rs", "build", "src/module/tree.rs", "wrapper.h", "vendor/shim"] {
        println!("cargo::rerun-if-changed={}", package.join(input).display());
    }

    let kernel = kernel::find(&package)?;
    // For tests, which read the kernel's files.
    println!("cargo::rustc-env=GPU_BUDDY_KERNEL_TREE={}", kernel.root.display());
    let capabilities = capabilities::read(&kernel);
    let headers = kernel.forwarding_headers(&out)?;
    let static_functions = bindings::generate(&package, &headers, &kernel, &out)?;
    compile::run(&package, &headers, &kernel, &static_functions, &out)?;
    facts::write(&package, &kernel, &capabilities, &out)
}

fn env(name: &str) -> Result<String> {
    std::env::var(name).map_err(|error| format!("environment variable {name}: {error}"))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes a file, unless it has this content already, so that its time stays.
fn write_if_changed(path: &Path, content: &str) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == content.as_bytes()) {
        return Ok(());
    }
    std::fs::write(path, content).map_err(|error| format!("{}: {error}", path.display()))
}
