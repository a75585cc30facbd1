//! Keeps what the C defines to this crate.
//!
//! The kernel's functions have names that other libraries use as well: with two
//! `rb_next` in one program, the linker would take either for both. So all that is
//! compiled becomes one object, in which what Rust calls has names of ours, and
//! nothing else can be seen.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// What the names that Rust calls begin with.
pub const PREFIX: &str = "gpu_buddy_kernel_";

/// Links objects to one in which only what Rust calls can be seen.
pub fn localise(
    compiler: &cc::Tool,
    objects: &[PathBuf],
    header: &str,
    out: &Path,
) -> Result<PathBuf> {
    let whole = out.join("whole.o");
    let mut link = compiler.to_command();
    link.args(["-r", "-nostdlib", "-o"]).arg(&whole).args(objects);
    run(&mut link)?;

    let local = out.join("local.o");
    let mut tools = vec![std::env::var("OBJCOPY").unwrap_or_default()];
    // Such as aarch64-linux-gnu-objcopy beside aarch64-linux-gnu-gcc.
    let name = compiler.path().file_name().unwrap_or_default().to_string_lossy();
    tools.extend(name.rsplit_once('-').map(|(target, _)| format!("{target}-objcopy")));
    tools.extend(["objcopy", "llvm-objcopy"].map(String::from));
    let functions = called(header);
    let mut reasons = Vec::new();
    for tool in tools.iter().filter(|tool| !tool.is_empty()) {
        match run(&mut rename(tool, &functions, &whole, &local)) {
            Ok(()) => return Ok(local),
            Err(reason) => reasons.push(reason),
        }
    }
    Err(format!(
        "no objcopy can be run, which comes with a C compiler (package binutils); \
         OBJCOPY can name one.\n{}",
        reasons.join("\n")
    ))
}

/// Gives the functions that the crate calls its own names, and hides the rest.
fn rename(tool: &str, functions: &[String], whole: &Path, local: &Path) -> Command {
    let mut command = Command::new(tool);
    for name in functions {
        command.arg(format!("--redefine-sym={name}={PREFIX}{name}"));
        command.arg(format!("--keep-global-symbol={PREFIX}{name}"));
    }
    command.arg(whole).arg(local);
    command
}

/// What Rust calls: the functions that the header declares, those that bindgen adds
/// for its inline ones, and the table of the module. A macro among them does no
/// harm.
pub fn called(header: &str) -> Vec<String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut names: Vec<_> = header
        .split('(')
        .filter_map(|text| text.rsplit(|c| !is_name(c)).next())
        .filter(|name| name.starts_with("gpu_"))
        .flat_map(|name| [name.to_owned(), format!("{name}__extern")])
        .collect();
    names.push("gpu_buddy_module".into());
    names.sort();
    names.dedup();
    names
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}
