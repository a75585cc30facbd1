//! Compiles the kernel's files and the shims into one static library.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::kernel::Kernel;
use crate::tree::{Origin, Unit, flags};
use crate::{Result, read, symbols};

const LIBRARY: &str = "gpu_buddy_kernel";

/// The sanitizers for the C, as after `-fsanitize=`.
const SANITIZE: &str = "GPU_BUDDY_SANITIZE";

/// The runtime libraries of the sanitizers, such as `asan,ubsan` for gcc, if the Rust compiler has
/// none: see `ci/sanitize`.
const SANITIZE_RUNTIME: &str = "GPU_BUDDY_SANITIZE_RUNTIME";

/// If 1, the allocator counts which of its lines and branches run: see `ci/coverage`.
const COVERAGE: &str = "GPU_BUDDY_COVERAGE";

pub fn run(
    package: &Path,
    headers: &Path,
    kernel: &Kernel,
    static_functions: &Path,
    out: &Path,
) -> Result<()> {
    println!("cargo::rerun-if-env-changed={SANITIZE}");
    println!("cargo::rerun-if-env-changed={SANITIZE_RUNTIME}");
    println!("cargo::rerun-if-env-changed={COVERAGE}");
    println!("cargo::rustc-check-cfg=cfg(sanitized)");
    if sanitizers().is_some() {
        println!("cargo::rustc-cfg=sanitized");
    }
    let shim = package.join("vendor/shim");
    let mut units = kernel.units(&shim);
    units.push(Unit {
        name: "static_functions",
        source: static_functions.to_owned(),
        origin: Origin::Ours,
        defines: Vec::new(),
    });
    let mut compiling = Vec::new();
    let mut objects = Vec::new();
    for unit in &units {
        let object = out.join(format!("{}.o", unit.name));
        let compiler = compiler(&shim, headers, kernel, unit)?;
        let mut command = compiler.to_command();
        // cc only provides the flags. The source is named here, so that an unchanged unit is not
        // compiled again.
        command.arg("-c").arg(&unit.source).arg("-o").arg(&object);
        // CFLAGS may enable LTO, but objcopy can only rename symbols in machine code.
        command.arg("-fno-lto");
        command.arg("-MD").arg("-MF").arg(dependencies(&object));
        if is_stale(&object, &command)? {
            let child = command.spawn().map_err(|error| {
                format!("{}: {error}. A C compiler is needed.", compiler.path().display())
            })?;
            compiling.push((unit, object.clone(), command, child));
        }
        objects.push(object);
    }

    let library = out.join(format!("lib{LIBRARY}.a"));
    // Records what the library was made from, while it is up to date.
    let record = library.with_extension("record");
    if !compiling.is_empty() {
        let _ = std::fs::remove_file(&record);
    }
    let mut failed = Vec::new();
    for (unit, object, command, mut child) in compiling {
        let status = child.wait().map_err(|error| format!("{}: {error}", unit.name))?;
        if !status.success() {
            failed.push(unit.source.display().to_string());
            continue;
        }
        std::fs::write(command_file(&object), command_line(&command))
            .map_err(|error| format!("{}: {error}", object.display()))?;
    }
    if !failed.is_empty() {
        return Err(format!(
            "{} does not compile; the compiler's messages are above.\n\
             If a header was not found, it has no stand-in yet: see UPGRADE.md.",
            failed.join(", ")
        ));
    }
    let compiler = compiler(&shim, headers, kernel, &units[0])?;
    let functions = symbols::called(&kernel.header()?);
    let made_with = format!("{}\n{}", symbols::PREFIX, functions.join("\n"));
    if !library.is_file() || read(&record).ok().as_ref() != Some(&made_with) {
        let _ = std::fs::remove_file(&record);
        archive(&[symbols::localise(&compiler, &objects, &functions, out)?], out)?;
        std::fs::write(&record, made_with)
            .map_err(|error| format!("{}: {error}", record.display()))?;
    }
    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rustc-link-lib=static={LIBRARY}");
    // Here, they come before the C library, whose functions they partly replace.
    for runtime in list(SANITIZE_RUNTIME) {
        println!("cargo::rustc-link-lib=dylib={runtime}");
    }
    if counts() {
        link_counters(&compiler)?;
    }
    Ok(())
}

fn compiler(shim: &Path, headers: &Path, kernel: &Kernel, unit: &Unit) -> Result<cc::Tool> {
    let mut build = cc::Build::new();
    // The kernel's own level, in every profile: the tests have long loops.
    build.cargo_metadata(false).opt_level(2).warnings(false);
    for flag in flags(&kernel.root, shim, headers, unit.origin) {
        build.flag(flag);
    }
    if let Some(sanitizers) = sanitizers() {
        build.flag(format!("-fsanitize={sanitizers}")).flag("-g").flag("-fno-omit-frame-pointer");
    }
    if counts() && unit.name == "buddy" {
        // Count lines and branches as written, and across threads.
        build.opt_level(0).flag("--coverage").flag("-fprofile-update=atomic");
    }
    for (name, value) in &unit.defines {
        build.define(name, value.as_str());
    }
    build.try_get_compiler().map_err(|error| format!("no C compiler: {error}"))
}

fn sanitizers() -> Option<String> {
    std::env::var(SANITIZE).ok().filter(|sanitizers| !sanitizers.is_empty())
}

/// The words of a comma-separated variable.
fn list(variable: &str) -> Vec<String> {
    let value = std::env::var(variable).unwrap_or_default();
    value.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn counts() -> bool {
    std::env::var(COVERAGE).is_ok_and(|value| value == "1")
}

/// Links GCC's library that writes the counters to a file.
fn link_counters(compiler: &cc::Tool) -> Result<()> {
    let library = "libgcov.a";
    let output = compiler
        .to_command()
        .arg(format!("-print-file-name={library}"))
        .output()
        .map_err(|error| format!("{}: {error}", compiler.path().display()))?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    // A compiler without it returns the bare name.
    let Some(folder) = path.parent().filter(|_| path.is_absolute()) else {
        return Err(format!("{COVERAGE}=1 needs GCC: there is no {library}"));
    };
    println!("cargo::rustc-link-search=native={}", folder.display());
    println!("cargo::rustc-link-lib=static=gcov");
    Ok(())
}

fn dependencies(object: &Path) -> PathBuf {
    object.with_extension("d")
}

fn command_file(object: &Path) -> PathBuf {
    object.with_extension("command")
}

/// The program and its arguments, as text.
fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| format!("{}\n", word.to_string_lossy())).collect()
}

/// Whether an object is missing, is older than a file it depends on, or was made by another
/// command.
fn is_stale(object: &Path, command: &Command) -> Result<bool> {
    let modified = |path: &Path| -> Option<SystemTime> { path.metadata().ok()?.modified().ok() };
    let Some(built) = modified(object) else {
        return Ok(true);
    };
    if read(&command_file(object)).unwrap_or_default() != command_line(command) {
        return Ok(true);
    }
    let Ok(rule) = read(&dependencies(object)) else {
        return Ok(true);
    };
    Ok(prerequisites(&rule).iter().any(|path| modified(path).is_none_or(|time| time >= built)))
}

/// The files in a make rule that the compiler wrote.
fn prerequisites(rule: &str) -> Vec<PathBuf> {
    let rule = rule.replace("\\\n", " ");
    let files = rule.split_once(": ").map_or("", |(_, files)| files);
    // A backslash escapes a blank inside a name.
    let placeholder = "\u{0}";
    files
        .replace("\\ ", placeholder)
        .split_whitespace()
        .map(|file| PathBuf::from(file.replace(placeholder, " ")))
        .collect()
}

fn archive(objects: &[PathBuf], out: &Path) -> Result<()> {
    let mut build = cc::Build::new();
    build.cargo_metadata(false).out_dir(out).objects(objects);
    build.try_compile(LIBRARY).map_err(|error| format!("archive: {error}"))
}
