//! Finds the kernel's files.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use crate::{Result, read, write_if_changed};

/// Names the kernel to build: a series under `vendor/linux/`, or a path.
const VARIABLE: &str = "GPU_BUDDY_KERNEL";

pub const ALLOCATOR: &str = "drivers/gpu/buddy.c";
pub const HEADER: &str = "include/linux/gpu_buddy.h";
pub const KUNIT_SUITE: &str = "drivers/gpu/tests/gpu_buddy_test.c";
pub const RUST_BINDING: &str = "rust/kernel/gpu/buddy.rs";

/// The files that are compiled or included. Every other header is a shim.
pub const FILES: [&str; 11] = [
    ALLOCATOR,
    HEADER,
    "include/linux/rbtree.h",
    "include/linux/rbtree_types.h",
    "include/linux/rbtree_augmented.h",
    "include/linux/prandom.h",
    "lib/rbtree.c",
    "lib/random32.c",
    KUNIT_SUITE,
    "drivers/gpu/tests/gpu_random.c",
    "drivers/gpu/tests/gpu_random.h",
];

/// A kernel tree, or as much of one as `./setup` fetches.
pub struct Kernel {
    pub root: PathBuf,
    /// Such as `7.3`; `unknown` where the tree does not say.
    pub series: String,
    /// Lines of `key: value` on where the files are from.
    pub revision: String,
}

impl Kernel {
    pub fn path(&self, file: &str) -> PathBuf {
        self.root.join(file)
    }

    /// The files there are, the binding in Rust among them where there is one.
    pub fn files(&self) -> impl Iterator<Item = &'static str> {
        let binding = Some(RUST_BINDING).filter(|file| self.path(file).is_file());
        FILES.into_iter().chain(binding)
    }

    /// A folder with a header for each of the kernel's own that includes the
    /// real one. With the tree's whole `include` folder on the path, a header
    /// that has no shim would be taken from there, and drag in half a kernel.
    pub fn forwarding_headers(&self, out: &Path) -> Result<PathBuf> {
        let folder = out.join("include");
        let create = |path: &Path| {
            std::fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        create(&folder.join("linux"))?;
        for file in FILES {
            if let Some(header) = file.strip_prefix("include/") {
                let real = self.path(file);
                write_if_changed(
                    &folder.join(header),
                    &format!("#include \"{}\"\n", real.display()),
                )?;
            }
        }
        Ok(folder)
    }
}

pub fn find(package: &Path) -> Result<Kernel> {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let vendored = package.join("vendor/linux");
    let root = match std::env::var(VARIABLE) {
        Ok(name) if vendored.join(&name).is_dir() && is_series(&name) => vendored.join(name),
        Ok(name) if is_series(&name) => {
            return Err(format!(
                "{VARIABLE}={name}, but that series is not under {}.\n\
                 Run: ./setup --series {name}",
                vendored.display()
            ));
        }
        Ok(path) if !path.is_empty() => {
            let path = package.join(path);
            path.canonicalize().map_err(|error| {
                format!(
                    "{VARIABLE}={}: {error}.\n\
                     It takes a series such as 7.3, or the path of a kernel tree.",
                    path.display()
                )
            })?
        }
        _ => {
            // A series that is added later may be newer than the one taken now.
            println!("cargo::rerun-if-changed={}", vendored.display());
            newest(&vendored).ok_or_else(|| {
                format!("There are no kernel files under {}.\nRun: ./setup", vendored.display())
            })?
        }
    };

    let missing: Vec<_> = FILES.into_iter().filter(|file| !root.join(file).is_file()).collect();
    if !missing.is_empty() {
        return Err(format!(
            "{} has no {}.\nRun ./setup, or set {VARIABLE} to a kernel tree that has them.",
            root.display(),
            missing.join(", no ")
        ));
    }
    for file in FILES.into_iter().chain([RUST_BINDING, "REVISION", "Makefile"]) {
        let path = root.join(file);
        if path.is_file() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let (series, revision) = identify(&root);
    Ok(Kernel { root, series, revision })
}

/// Whether a name has the form of a series: numbers and dots.
fn is_series(name: &str) -> bool {
    !version(name).is_empty()
}

/// The numbers of a version; empty where the name is none.
fn version(name: &str) -> Vec<u64> {
    name.split('.').map(str::parse).collect::<std::result::Result<_, _>>().unwrap_or_default()
}

/// The newest vendored series; folders with other names come last.
fn newest(vendored: &Path) -> Option<PathBuf> {
    let mut folders: Vec<_> = std::fs::read_dir(vendored)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        // What begins with a dot is being put together by ./setup.
        .filter(|path| {
            path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
        })
        .filter(|path| path.join(ALLOCATOR).is_file())
        .collect();
    folders.sort_by_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (Reverse(version(&name)), name)
    });
    folders.into_iter().next()
}

/// The series and the revision: from what `./setup` wrote, or from the tree.
fn identify(root: &Path) -> (String, String) {
    if let Ok(revision) = read(&root.join("REVISION")) {
        let facts: Vec<_> = revision
            .lines()
            .filter(|line| !line.starts_with("sha256") && line.contains(": "))
            .collect();
        let series = facts.iter().find_map(|line| line.strip_prefix("series: "));
        return (series.unwrap_or("unknown").to_owned(), facts.join("\n"));
    }
    let makefile = read(&root.join("Makefile")).unwrap_or_default();
    let value = |name: &str| {
        makefile.lines().take(10).find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    let series = match (value("VERSION"), value("PATCHLEVEL")) {
        (Some(version), Some(patchlevel)) => format!("{version}.{patchlevel}"),
        _ => "unknown".to_owned(),
    };
    let mut revision = format!("series: {series}\nfrom: {}", root.display());
    if let Some(sublevel) = value("SUBLEVEL") {
        let extra = value("EXTRAVERSION").unwrap_or_default();
        revision = format!("{revision}\nversion: {series}.{sublevel}{extra}");
    }
    (series, revision)
}
