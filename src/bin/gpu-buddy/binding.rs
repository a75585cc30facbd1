//! `gpu-buddy binding`: compiles and tests the kernel's own Rust binding.

mod explain;
mod workspace;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gpu_buddy::module::Tree;

use crate::{Failure, Verdict};

/// Compile the kernel's own Rust binding in userspace, unchanged, and test it
///
/// The binding runs in lockstep with the kernel's C and with this crate's own API. Each of its
/// calls into the C is checked: it holds the lock, frees each block once, and leaks nothing.
/// This command needs a checkout of this project and cargo.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  gpu-buddy binding\n  gpu-buddy binding --kernel 7.2\n  \
                        gpu-buddy binding --binding ~/linux --seconds 60")]
pub struct Arguments {
    /// Kernel with the C and the binding: a series under vendor/linux such as 7.2, or the path
    /// of a kernel tree [default: the kernel that is compiled in]
    #[arg(long, value_name = "KERNEL")]
    kernel: Option<OsString>,
    /// Take the binding from another kernel tree, such as one with a series under review
    /// applied
    #[arg(long, value_name = "KERNEL")]
    binding: Option<OsString>,
    /// Run random operations for this many seconds
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Seed of all random choices [default: random]
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    if !(arguments.seconds.is_finite() && arguments.seconds >= 0.0) {
        return Err(Failure::Usage("--seconds must be a number of 0 or more".into()));
    }
    let kernel = tree(arguments.kernel.as_deref())?;
    let binding = match &arguments.binding {
        Some(name) => tree(Some(name))?,
        None => kernel.clone(),
    };
    let lacks = workspace::lacks(&binding);
    if lacks.contains(&workspace::BINDING) {
        let (tree, file) = (binding.display(), workspace::BINDING);
        return Err(Failure::Usage(format!("{tree} has no {file}: there is nothing to test")));
    }
    if !lacks.is_empty() {
        let (tree, lacks) = (binding.display(), lacks.join(", no "));
        return Err(Failure::Usage(format!(
            "{tree} has no {lacks}, which its binding needs; ./setup fetches them"
        )));
    }
    if !kernel.join(workspace::HEADER).is_file() {
        let (tree, file) = (kernel.display(), workspace::HEADER);
        return Err(Failure::Usage(format!(
            "{tree} has no {file}, over which the binding is compiled. --kernel takes a newer tree"
        )));
    }
    let project = workspace::project();
    if !project.join("kernel-binding").is_dir() {
        return Err(Failure::Usage(format!(
            "this command was built in a checkout that is gone: there is no {}",
            project.join("kernel-binding").display()
        )));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .filter(|folder| !folder.is_empty())
        .map_or_else(|| project.join("target"), PathBuf::from);
    let folder = target.join("binding");
    let _lock = one_at_a_time(&target).map_err(|error| {
        Failure::Usage(format!("{} cannot be written: {error}", target.display()))
    })?;
    workspace::lay_out(&binding, &kernel, &folder)
        .map_err(|error| Failure::Usage(format!("{}: {error}", folder.display())))?;
    let seed = arguments.seed.or_else(|| getrandom::u64().ok()).unwrap_or(1);

    let mut judge = Command::new(build(&folder, &target, &kernel)?);
    judge.arg(arguments.seconds.to_string()).arg(seed.to_string());
    let status = judge.status().map_err(Failure::Output)?;
    let examples = status.success() && test_examples(&folder, &target, &kernel)?;
    match status.code() {
        Some(0) if examples => {
            println!("passed: the binding of {}", binding.display());
            Ok(Verdict::Passed)
        }
        Some(0 | 1) => {
            println!("FAILED: the binding of {}", binding.display());
            Ok(Verdict::Failed)
        }
        _ => {
            println!("FAILED: the binding of {}: the run ended with {status}", binding.display());
            Ok(Verdict::Failed)
        }
    }
}

/// The tests are built with the profile of this command.
const PROFILE: &str = if cfg!(debug_assertions) { "dev" } else { "release" };

/// Waits until no other run uses the workspace.
fn one_at_a_time(target: &Path) -> std::io::Result<File> {
    std::fs::create_dir_all(target)?;
    let lock = File::create(target.join("binding.lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// Cargo, in the workspace.
fn cargo(verb: &str, folder: &Path, target: &Path, kernel: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .arg(verb)
        .args(["--quiet", "--profile", PROFILE, "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .env("GPU_BUDDY_KERNEL", kernel)
        .stdin(Stdio::null());
    command
}

/// Compiles the binding and its tests, and returns the path of the program.
fn build(folder: &Path, target: &Path, kernel: &Path) -> Result<PathBuf, Failure> {
    eprintln!("compiling the binding");
    let mut command = cargo("build", folder, target, kernel);
    command.args(["--package", "judge", "--message-format", "json"]);
    let output = command
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| Failure::Usage(format!("cargo cannot be run: {error}")))?;
    let messages = String::from_utf8_lossy(&output.stdout);
    if output.status.success()
        && let Some(judge) = explain::executable(&messages)
    {
        return Ok(judge);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Usage(explain::failure(&messages, &said)))
}

/// Runs the binding's own examples, which are doctests.
fn test_examples(folder: &Path, target: &Path, kernel: &Path) -> Result<bool, Failure> {
    let mut command = cargo("test", folder, target, kernel);
    command.args(["--doc", "--package", "kernel", "--", "gpu/buddy.rs"]);
    let output = command
        .output()
        .map_err(|error| Failure::Usage(format!("cargo cannot be run: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let result = text.lines().rfind(|line| line.starts_with("test result: "));
    let passed = result
        .and_then(|line| line.split_once(". ")?.1.split_once(" passed"))
        .and_then(|(number, _)| number.parse::<u32>().ok())
        .unwrap_or(0);
    let ok = output.status.success() && passed > 0;
    if ok {
        println!("examples: {passed} of the binding's own examples, unmodified, pass");
    } else {
        println!("examples: the binding's own examples fail\n{text}");
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(ok)
}

/// The folder of a kernel that is named by its series or the path of its tree.
fn tree(name: Option<&std::ffi::OsStr>) -> Result<PathBuf, Failure> {
    let Some(name) = name else {
        return Ok(PathBuf::from(env!("GPU_BUDDY_KERNEL_TREE")));
    };
    let vendored = workspace::project().join("vendor/linux");
    let here = Path::new("vendor/linux").to_owned();
    let series = [here, vendored].map(|place| place.join(name));
    let path = series.into_iter().chain([PathBuf::from(name)]).find(|path| path.is_dir());
    path.and_then(|path| path.canonicalize().ok()).ok_or_else(|| match Tree::find(name) {
        Ok(_) => Failure::Usage(format!(
            "{} is a revision, and the binding is compiled from a folder: `git worktree add` makes \
             one of it",
            name.display()
        )),
        Err(error) => Failure::Usage(error.to_string()),
    })
}
