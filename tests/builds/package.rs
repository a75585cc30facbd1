//! The packaged crate builds by itself: outside of the project, without
//! `./setup` and without a network.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{
    UNOPTIMISED, WITH_EXAMPLE, kernel_tree, nested_cargo, nested_target, not_tested, project,
};
use serde_json::Value;
use tempfile::TempDir;

/// What a package is made from, and the series that it must contain.
struct Source {
    folder: PathBuf,
    series: String,
    _made: Option<TempDir>,
}

impl Source {
    /// The project. If the series that `Cargo.toml` names is not there, as after Debian
    /// has dropped it, one that names the series that is compiled in.
    fn new() -> Option<Self> {
        let series = named_series();
        let vendored = project().join("vendor/linux");
        if vendored.join(&series).is_dir() {
            return Some(Self { folder: project().to_owned(), series, _made: None });
        }
        let tree = kernel_tree();
        if tree.parent() == Some(&vendored) {
            let name = tree.file_name().expect("a name").to_string_lossy();
            return Some(Self::naming(&name));
        }
        not_tested("the package", "the series that it carries is not there: run ./setup");
        None
    }

    /// The project, with another series named in `Cargo.toml`.
    fn naming(series: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for entry in project().read_dir().expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name");
            if !["target", ".git", "Cargo.toml"].iter().any(|left_out| name == *left_out) {
                symlink(&path, folder.path().join(name)).expect("a link");
            }
        }
        let manifest = cargo_toml();
        let from = format!("/vendor/linux/{}/", named_series());
        let to = format!("/vendor/linux/{series}/");
        fs::write(folder.path().join("Cargo.toml"), manifest.replace(&from, &to)).expect("a file");
        let path = folder.path().to_owned();
        Self { folder: path, series: series.to_owned(), _made: Some(folder) }
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        cargo(&self.folder, arguments)
    }

    fn listed(&self) -> BTreeSet<String> {
        let list = ["package", "--list", "--allow-dirty", "--offline"];
        succeed(&mut self.cargo(&list)).lines().map(str::to_owned).collect()
    }
}

fn cargo_toml() -> String {
    fs::read_to_string(project().join("Cargo.toml")).expect("Cargo.toml")
}

/// The series that `include` in `Cargo.toml` names.
fn named_series() -> String {
    let manifest = cargo_toml();
    let named: Vec<_> = manifest
        .lines()
        .filter_map(|line| line.trim().strip_prefix("\"/vendor/linux/")?.split('/').next())
        .collect();
    let [series] = named[..] else { panic!("not one series: {named:?}") };
    series.to_owned()
}

fn cargo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = nested_cargo(folder, arguments);
    command.env_remove("GPU_BUDDY_KERNEL");
    command
}

fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("UTF-8")
}

/// The default of `./setup`, the series that is packaged and the version are of one kernel.
#[test]
fn the_package_carries_the_default_series() {
    let path = project().join("vendor/manifest.toml");
    let manifest = fs::read_to_string(path).expect("a manifest");
    let series = named_series();
    assert!(manifest.contains(&format!("\ndefault = \"{series}\"\n")), "{series}");
    assert!(env!("CARGO_PKG_VERSION").ends_with(&format!("+linux.{series}")), "{series}");
}

#[test]
fn the_package_has_what_a_build_needs() {
    let Some(source) = Source::new() else { return };
    let listed = source.listed();
    let kernel = format!("vendor/linux/{}", source.series);
    let mut files = vec!["Cargo.toml", "build.rs", "wrapper.h", "README.md", "src/lib.rs"]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    for folder in ["src", "build", "vendor/shim", &kernel] {
        files.extend(walk(&project().join(folder)).map(|file| format!("{folder}/{file}")));
    }
    for licence in ["COPYING", "LICENSES/preferred/GPL-2.0", "LICENSES/preferred/MIT"] {
        files.push(format!("{kernel}/{licence}"));
    }
    let missing: Vec<_> = files.iter().filter(|file| !listed.contains(*file)).collect();
    assert!(missing.is_empty(), "not in the package: {missing:?}");
}

#[test]
fn the_package_has_one_series_and_no_leftovers() {
    let Some(source) = Source::new() else { return };
    for file in source.listed() {
        let series = file.strip_prefix("vendor/linux/").and_then(|rest| rest.split('/').next());
        assert!(series.is_none_or(|series| series == source.series), "{file}");
        assert!(!file.starts_with("target/") && !file.contains("__pycache__"), "{file}");
    }
}

#[test]
fn the_unpacked_package_builds_and_runs() {
    let Some(source) = Source::new() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let packages = folder.path().join("target");
    let package = ["package", "--no-verify", "--allow-dirty", "--offline", "--target-dir"];
    succeed(source.cargo(&package).arg(&packages));

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
    // As `./setup --from` may place it: newer, but with the allocator alone.
    let part = unpacked.join("vendor/linux/99.99");
    for file in ["drivers/gpu/buddy.c", "include/linux/gpu_buddy.h"] {
        let file = part.join(file);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, "#error \"not to be compiled\"\n").expect("a file");
    }
    let target = nested_target();
    let mut build = cargo(&unpacked, &["build", "--bin", "gpu-buddy", "--offline", "--target-dir"]);
    succeed(build.arg(target.path()).args(WITH_EXAMPLE).args(UNOPTIMISED));

    let command = target.path().join("debug/gpu-buddy");
    let info = succeed(Command::new(&command).arg("info"));
    assert!(info.contains(&format!("series: {}", source.series)), "{info}");
    let ktap = succeed(Command::new(&command).args(["kunit", "--filter", "*_limit"]));
    assert!(ktap.contains("pass:1 fail:0"), "{ktap}");
}

/// `cargo package` fails if the series is not there, and says why.
#[test]
fn a_package_without_a_kernel_is_refused() {
    let source = Source::naming("9.9");
    let target = nested_target();
    let package = ["package", "--allow-dirty", "--offline", "--target-dir"];
    let output = source.cargo(&package).arg(target.path()).output().expect("cargo starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{stderr}");
    for text in ["has all kernel files", "Run: ./setup", "The package carries no kernel"] {
        assert!(stderr.contains(text), "no {text:?} in: {stderr}");
    }
}

/// What is linked into the command, or compiled for it, has a licence that `deny.toml` allows.
#[test]
fn licences_go_with_that_of_the_kernel() {
    let deny = fs::read_to_string(project().join("deny.toml")).expect("deny.toml");
    let allowed = deny.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']'));
    let allowed: BTreeSet<_> = allowed.expect("a list").0.split('"').skip(1).step_by(2).collect();
    let metadata = ["metadata", "--offline", "--format-version=1", "--all-features"];
    let target = format!("--filter-platform={}-unknown-linux-gnu", std::env::consts::ARCH);
    let text = succeed(cargo(project(), &metadata).arg(target));
    let metadata: Value = serde_json::from_str(&text).expect("JSON");
    let resolved = metadata["resolve"]["nodes"].as_array().expect("a list");
    let resolved: BTreeSet<_> = resolved.iter().filter_map(|node| node["id"].as_str()).collect();
    let packages = metadata["packages"].as_array().expect("a list").iter();
    let mut seen = 0;
    for package in packages.filter(|it| it["id"].as_str().is_some_and(|id| resolved.contains(id))) {
        let (name, licence) = (package["name"].as_str(), package["license"].as_str());
        let choices = licence.unwrap_or_default().split(" OR ").flat_map(|one| one.split('/'));
        let fits = choices.map(|one| one.trim_matches(['(', ')'])).any(|one| allowed.contains(one));
        // It runs in the build script, and is in nothing that is built.
        assert!(fits || name == Some("clang-sys"), "{name:?} is under {licence:?}");
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
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
