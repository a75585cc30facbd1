//! Builds that tests start.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A target folder for builds that tests start. They share the built dependencies; one test at
/// a time has it.
pub struct NestedTarget {
    path: PathBuf,
    _lock: std::fs::File,
}

impl NestedTarget {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Options of cargo that leave out the optimisation of this crate: it takes most of a build's
/// time, and a build that runs for a moment does not need it.
pub const UNOPTIMISED: [&str; 2] = ["--config", "profile.dev.package.gpu-buddy.opt-level=0"];

/// Options of `cargo build` that add an example. Then the development dependencies count, as for
/// tests, and all dependencies have the features with which they were lent.
pub const WITH_EXAMPLE: [&str; 2] = ["--example", "my_allocator"];

/// Cargo in a folder, with the profile that the lent dependencies were built with.
pub fn nested_cargo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(folder)
        .args(arguments)
        .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")
        .env("CARGO_PROFILE_DEV_LTO", "off");
    command
}

/// A folder for builds, and its lock: one test at a time has it.
pub fn locked_folder(name: &str) -> (PathBuf, std::fs::File) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&path).expect("a folder");
    let lock = std::fs::File::create(path.join("test.lock")).expect("a lock");
    lock.lock().expect("the lock");
    (path, lock)
}

pub fn nested_target() -> NestedTarget {
    let (path, lock) = locked_folder("nested");
    if !path.join("debug").exists() {
        lend_dependencies(&path.join("debug"));
    }
    NestedTarget { path, _lock: lock }
}

/// Copies the dependencies that were built for this test: cargo uses those that are fresh, and
/// builds the rest.
fn lend_dependencies(to: &Path) {
    let test = std::env::current_exe().expect("this test");
    let Some(from) = test.parent().and_then(Path::parent) else { return };
    for folder in ["deps", "build", ".fingerprint"] {
        // The compiler replaces its files, so links are safe; cargo writes into its own.
        copy_dependencies(&from.join(folder), &to.join(folder), folder == "deps");
    }
}

fn copy_dependencies(from: &Path, to: &Path, link: bool) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder of cargo's").flatten() {
        let name = entry.file_name();
        let own = name.to_string_lossy().replace('_', "-").contains("gpu-buddy");
        let (from, to) = (entry.path(), to.join(&name));
        // Another build may be at work: what is missing is built again.
        if entry.path().is_dir() {
            if !own {
                copy_dependencies(&from, &to, link);
            }
        } else if !own && link {
            let _ = std::fs::hard_link(from, to);
        } else if !own {
            copy_with_time(&from, &to);
        }
    }
}

fn copy_with_time(from: &Path, to: &Path) {
    let copied = std::fs::copy(from, to).and_then(|_| from.metadata()?.modified());
    if let Ok(time) = copied {
        let file = std::fs::File::options().append(true).open(to);
        let _ = file.and_then(|file| file.set_modified(time));
    }
}

/// The output folder of the crate's build script: the only one of a package that is not from a
/// registry.
pub fn out_dir(messages: &str) -> PathBuf {
    messages
        .lines()
        .filter(|line| line.contains("\"reason\":\"build-script-executed\""))
        .filter(|line| line.contains("\"package_id\":\"path+file:"))
        .find_map(|line| line.split_once("\"out_dir\":\"")?.1.split('"').next())
        .map(PathBuf::from)
        .expect("cargo says where")
}
