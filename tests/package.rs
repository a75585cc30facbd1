//! The packaged crate builds by itself: outside of the project, without
//! `./setup` and without a network.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use common::{nested_target, project};

/// The series that the package carries.
const SERIES: &str = "7.3";

fn cargo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(folder).args(arguments).env_remove("GPU_BUDDY_KERNEL");
    command
}

fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("UTF-8")
}

fn listed() -> BTreeSet<String> {
    let list = ["package", "--list", "--allow-dirty", "--offline"];
    succeed(&mut cargo(project(), &list)).lines().map(str::to_owned).collect()
}

#[test]
fn the_package_has_what_a_build_needs() {
    let listed = listed();
    let kernel = project().join("vendor/linux").join(SERIES);
    let mut files = vec!["Cargo.toml", "build.rs", "wrapper.h", "README.md", "src/lib.rs"]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    for file in walk(&kernel) {
        files.push(format!("vendor/linux/{SERIES}/{file}"));
    }
    for folder in ["src", "build", "vendor/shim"] {
        files.extend(walk(&project().join(folder)).map(|file| format!("{folder}/{file}")));
    }
    for licence in ["COPYING", "LICENSES/preferred/GPL-2.0", "LICENSES/preferred/MIT"] {
        files.push(format!("vendor/linux/{SERIES}/{licence}"));
    }
    let missing: Vec<_> = files.iter().filter(|file| !listed.contains(*file)).collect();
    assert!(missing.is_empty(), "not in the package: {missing:?}");
}

#[test]
fn the_package_has_one_series_and_no_leftovers() {
    for file in listed() {
        let series = file.strip_prefix("vendor/linux/").and_then(|rest| rest.split('/').next());
        assert!(series.is_none_or(|series| series == SERIES), "{file}");
        assert!(!file.starts_with("target/") && !file.contains("__pycache__"), "{file}");
    }
}

#[test]
fn the_unpacked_package_builds_and_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let packages = folder.path().join("target");
    let package = ["package", "--no-verify", "--allow-dirty", "--offline", "--target-dir"];
    succeed(cargo(project(), &package).arg(&packages));

    let name = format!("{}-{}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    // The files are new: what was built from an earlier package is stale.
    succeed(
        Command::new("tar")
            .arg("--extract")
            .arg("--touch")
            .arg("--file")
            .arg(packages.join("package").join(format!("{name}.crate")))
            .arg("--directory")
            .arg(folder.path()),
    );
    let unpacked = folder.path().join(name);
    let target = nested_target();
    succeed(cargo(&unpacked, &["build", "--offline", "--target-dir"]).arg(target.path()));

    let command = target.path().join("debug/gpu-buddy");
    let info = succeed(Command::new(&command).arg("info"));
    assert!(info.contains(&format!("series: {SERIES}")), "{info}");
    let ktap = succeed(Command::new(&command).args(["kunit", "--filter", "*_limit"]));
    assert!(ktap.contains("pass:1 fail:0"), "{ktap}");
}

/// The files below a folder, as paths from there.
fn walk(folder: &Path) -> impl Iterator<Item = String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in next.read_dir().expect("a folder").map(|entry| entry.expect("an entry")) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let path = path.strip_prefix(folder).expect("below it");
                files.push(path.display().to_string());
            }
        }
    }
    files.into_iter()
}
