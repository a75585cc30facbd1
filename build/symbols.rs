//! Hides the C's symbols from the rest of the program.
//!
//! Other libraries may use the kernel's function names too: with two `rb_next` in one program, the
//! linker could take either. So all units are linked to one object, in which the functions that
//! Rust calls have this crate's names, and everything else is local.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// The objcopy to use.
const VARIABLE: &str = "OBJCOPY";

/// The prefix of the names that Rust calls.
pub const PREFIX: &str = "gpu_buddy_kernel_";

/// A pointer that unwinding uses if the C has something to clean up, as with a sanitizer. Each object
/// has it, and the linker keeps one: if this were local, it would be the address 0 without the other.
const SHARED: &str = "DW.ref.__gcc_personality_v0";

/// Links objects to one in which only `functions` are visible, with this crate's names.
pub fn localise(
    compiler: &cc::Tool,
    objects: &[PathBuf],
    functions: &[String],
    out: &Path,
) -> Result<PathBuf> {
    let whole = out.join("whole.o");
    link(compiler, &[], objects, &whole).or_else(|reason| {
        // The machine's linker may not support the target.
        let lld = ["-fuse-ld=lld"];
        let linked = compiler.is_like_clang().then(|| link(compiler, &lld, objects, &whole));
        linked.and_then(Result::ok).ok_or(reason)
    })?;

    let local = out.join("local.o");
    let mut reasons = Vec::new();
    for tool in objcopies(compiler) {
        match run(&mut rename(&tool, functions, &whole, &local)) {
            Ok(()) => return Ok(local),
            Err(reason) => reasons.push(reason),
        }
    }
    Err(format!(
        "No objcopy can do this. The package binutils has one; set {VARIABLE} to use another.\n{}",
        reasons.join("\n")
    ))
}

/// Links objects to one.
fn link(compiler: &cc::Tool, flags: &[&str], objects: &[PathBuf], whole: &Path) -> Result<()> {
    let mut command = compiler.to_command();
    command.args(["-r", "-nostdlib", "-fno-lto"]).args(flags);
    if compiler.is_like_clang() {
        // It would add the runtime of a sanitizer, and a second build ID.
        command.args(["-fno-sanitize=all", "-Wl,--build-id=none"]);
    }
    run(command.arg("-o").arg(whole).args(objects))
}

/// The programs to try. One for other targets only refuses the file.
fn objcopies(compiler: &cc::Tool) -> Vec<PathBuf> {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let mut tools = Vec::new();
    tools.extend(std::env::var_os(VARIABLE).filter(|tool| !tool.is_empty()).map(PathBuf::from));
    // For example aarch64-linux-gnu-objcopy for aarch64-linux-gnu-gcc-12.
    let name = compiler.path().file_name().unwrap_or_default().to_string_lossy();
    let target = ["-gcc", "-clang", "-cc"].iter().find_map(|end| Some(name.rsplit_once(end)?.0));
    tools.extend(target.map(|target| compiler.path().with_file_name(format!("{target}-objcopy"))));
    tools.extend(["objcopy", "llvm-objcopy"].map(PathBuf::from));
    tools
}

/// Renames the functions that the crate calls, and hides the others.
fn rename(tool: &Path, functions: &[String], whole: &Path, local: &Path) -> Command {
    let mut command = Command::new(tool);
    for name in functions {
        command.arg(format!("--redefine-sym={name}={PREFIX}{name}"));
        // GNU objcopy expects the new name here, LLVM's the old one.
        command.arg(format!("--keep-global-symbol={PREFIX}{name}"));
        command.arg(format!("--keep-global-symbol={name}"));
    }
    command.arg(format!("--keep-global-symbol={SHARED}")).arg(whole).arg(local);
    command
}

/// The functions that Rust calls: those that the header declares, those that bindgen adds for
/// inline ones, and the table of the module. A macro in the list does no harm.
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
