//! Keeps what the C defines to this crate.
//!
//! The kernel's functions have names that other libraries use as well: with two
//! `rb_next` in one program, the linker would take either for both. So all that is
//! compiled becomes one object, in which what Rust calls has names of ours, and
//! nothing else can be seen.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// Names the objcopy to use.
const VARIABLE: &str = "OBJCOPY";

/// What the names that Rust calls begin with.
pub const PREFIX: &str = "gpu_buddy_kernel_";

/// Links objects to one in which only `functions` can be seen, by names of ours.
pub fn localise(
    compiler: &cc::Tool,
    objects: &[PathBuf],
    functions: &[String],
    out: &Path,
) -> Result<PathBuf> {
    let whole = out.join("whole.o");
    link(compiler, &[], objects, &whole).or_else(|reason| {
        // The machine's own linker may not know the target.
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
        "No objcopy can do it. One comes with a C compiler, in the package binutils; \
         {VARIABLE} names another.\n{}",
        reasons.join("\n")
    ))
}

/// Links objects to one.
fn link(compiler: &cc::Tool, flags: &[&str], objects: &[PathBuf], whole: &Path) -> Result<()> {
    let mut command = compiler.to_command();
    command.args(["-r", "-nostdlib", "-fno-lto"]).args(flags);
    if compiler.is_like_clang() {
        // It would take in the runtime of a sanitizer, and a second build ID.
        command.args(["-fno-sanitize=all", "-Wl,--build-id=none"]);
    }
    run(command.arg("-o").arg(whole).args(objects))
}

/// The programs to try. One that was built for other targets only refuses the file.
fn objcopies(compiler: &cc::Tool) -> Vec<PathBuf> {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let mut tools = Vec::new();
    tools.extend(std::env::var_os(VARIABLE).filter(|tool| !tool.is_empty()).map(PathBuf::from));
    // Such as aarch64-linux-gnu-objcopy beside aarch64-linux-gnu-gcc-12.
    let name = compiler.path().file_name().unwrap_or_default().to_string_lossy();
    let target = ["-gcc", "-clang", "-cc"].iter().find_map(|end| Some(name.rsplit_once(end)?.0));
    tools.extend(target.map(|target| compiler.path().with_file_name(format!("{target}-objcopy"))));
    tools.extend(["objcopy", "llvm-objcopy"].map(PathBuf::from));
    tools
}

/// Gives the functions that the crate calls its own names, and hides the rest.
fn rename(tool: &Path, functions: &[String], whole: &Path, local: &Path) -> Command {
    let mut command = Command::new(tool);
    for name in functions {
        command.arg(format!("--redefine-sym={name}={PREFIX}{name}"));
        // GNU's looks for the new name here, LLVM's for the old one.
        command.arg(format!("--keep-global-symbol={PREFIX}{name}"));
        command.arg(format!("--keep-global-symbol={name}"));
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
