//! Finds the kernel's files.

use std::cmp::Reverse;
use std::env::VarError;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::cache::{self, Manifest};
use crate::facts::hex;
use crate::tree::{self, LAYOUTS, Layout, SUPPORT, Signs};
use crate::{Result, read, write_if_changed};

/// The kernel to build: a series under `vendor/linux/`, or a path.
const VARIABLE: &str = "GPU_BUDDY_KERNEL";

pub const RUST_BINDING: &str = "rust/kernel/gpu/buddy.rs";

/// The only form of the source that the safe API supports.
const LAYOUT: &Layout = &LAYOUTS[0];

/// A kernel tree, or the part of one that `./setup` fetches.
pub struct Kernel {
    pub root: PathBuf,
    /// Such as `7.3`; `unknown` if the tree does not say.
    pub series: String,
    /// The origin of the files, and which were changed: lines of `key: value`.
    pub revision: String,
    pub signs: Signs,
}

impl Kernel {
    pub fn path(&self, file: &str) -> PathBuf {
        self.root.join(file)
    }

    /// The files that are compiled or included, and the Rust binding if there is one.
    pub fn files(&self) -> impl Iterator<Item = String> {
        files(&self.root)
    }

    /// The units to compile, without those from bindgen.
    pub fn units(&self, shim: &Path) -> Vec<tree::Unit> {
        tree::units(LAYOUT, &self.signs, shim, |file| Some(self.path(file)))
    }

    pub fn header(&self) -> Result<String> {
        read(&self.path(LAYOUT.header))
    }

    /// Creates a folder with a header for each kernel header that is used unchanged; it includes
    /// the real one. The tree's whole `include` folder must not be on the path: a header without a
    /// shim would come from there, and pull in half a kernel.
    pub fn forwarding_headers(&self, out: &Path) -> Result<PathBuf> {
        let folder = out.join("include");
        let create = |path: &Path| {
            std::fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        create(&folder.join("linux"))?;
        for (name, path) in tree::headers(LAYOUT) {
            let real = self.path(path);
            write_if_changed(&folder.join(name), &tree::forwarding_header(name, real.display()))?;
        }
        Ok(folder)
    }
}

/// The files that are needed to compile a kernel in.
fn needed() -> Vec<String> {
    let Layout { allocator, header, suite, random, .. } = *LAYOUT;
    let mut files: Vec<_> = [allocator, header].map(String::from).into();
    files.extend(SUPPORT.map(String::from));
    files.extend([suite, random].map(String::from));
    files.push(LAYOUT.random_header());
    files
}

/// The needed files that a tree lacks.
pub fn missing(root: &Path) -> Vec<String> {
    needed().into_iter().filter(|file| !root.join(file).is_file()).collect()
}

/// The needed files, and the Rust binding if there is one.
pub fn files(root: &Path) -> impl Iterator<Item = String> + use<> {
    let binding = Some(RUST_BINDING).filter(|file| root.join(file).is_file());
    needed().into_iter().chain(binding.map(String::from))
}

pub fn find(package: &Path) -> Result<Kernel> {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let vendored = package.join("vendor/linux");
    let root = match named()? {
        Some(name) if is_series(&name) => {
            let root = vendored.join(&name);
            let root = if root.is_dir() { Some(root) } else { cached(package, Some(&name))? };
            root.ok_or_else(|| {
                let place = vendored.display();
                let first = format!("{VARIABLE}={name}, but that series is not under {place}.");
                advise(package, first, &format!("./setup --series {name}"))
            })?
        }
        Some(path) => {
            let path = package.join(path);
            watch_link(&path);
            path.canonicalize().map_err(|error| {
                format!(
                    "{VARIABLE}={}: {error}.\n\
                     It takes a series such as 7.3, or the path of a kernel tree.",
                    path.display()
                )
            })?
        }
        None => {
            // A series that is added later may be newer. A missing path would always count as
            // changed, so watch an existing one.
            let watched = if vendored.is_dir() { vendored.clone() } else { package.join("vendor") };
            println!("cargo::rerun-if-changed={}", watched.display());
            let root = match newest(&vendored) {
                Some(root) => Some(root),
                None => cached(package, None)?,
            };
            root.ok_or_else(|| none_vendored(package, &vendored))?
        }
    };
    if root.to_str().is_none() {
        return Err(not_utf8(&root));
    }

    let missing = missing(&root);
    if !missing.is_empty() {
        let older = LAYOUTS[1..].iter().any(|layout| root.join(layout.allocator).is_file());
        let hint = if older && !root.join(LAYOUT.allocator).is_file() {
            "It has the older form of the allocator, which cannot be compiled in. \
             Load it at run time instead: gpu-buddy kunit --kernel TREE."
                .to_owned()
        } else {
            format!("Run ./setup, or set {VARIABLE} to a kernel tree that has them.")
        };
        return Err(format!("{} has no {}.\n{hint}", root.display(), missing.join(", no ")));
    }
    let optional = [RUST_BINDING, "REVISION", "Makefile"].map(String::from);
    for file in needed().into_iter().chain(optional) {
        let path = root.join(&file);
        if path.is_file() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let (series, revision) = identify(&root);
    let text = |file| read(&root.join(file));
    let (header, source) = (text(LAYOUT.header)?, text(LAYOUT.allocator)?);
    let signs = Signs::read(LAYOUT, &header, &source, Some(&text(LAYOUT.suite)?));
    Ok(Kernel { root, series, revision, signs })
}

/// The kernel that the variable names, if it is set. After a build without it, cargo ignores a
/// value that is not UTF-8.
fn named() -> Result<Option<String>> {
    match std::env::var(VARIABLE) {
        Ok(name) => Ok(Some(name).filter(|name| !name.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(name)) => Err(not_utf8(Path::new(&name))),
    }
}

fn not_utf8(path: &Path) -> String {
    format!("{VARIABLE}: the path {} is not UTF-8. Use one that is.", path.display())
}

/// Makes cargo notice that a link points to another tree, whose files may all be older than the
/// last build. Only for links, because cargo then looks at every file of the tree.
fn watch_link(path: &Path) {
    // Without a trailing slash, which would follow the link.
    let path: PathBuf = path.components().collect();
    if path.is_symlink() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// Whether a name looks like a series: numbers and dots.
fn is_series(name: &str) -> bool {
    !version(name).is_empty()
}

/// The numbers of a version; empty if it is not one.
pub fn version(name: &str) -> Vec<u64> {
    name.split('.').map(str::parse).collect::<std::result::Result<_, _>>().unwrap_or_default()
}

/// The copy of a series, or of the default one, that `./setup` left in the cache. Not for a
/// package, which must contain its kernel.
fn cached(package: &Path, series: Option<&str>) -> Result<Option<PathBuf>> {
    if is_package(package) {
        return Ok(None);
    }
    for variable in ["XDG_CACHE_HOME", "HOME"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let manifest = Manifest::read(package)?;
    Ok(manifest.find(series.unwrap_or(&manifest.default)))
}

/// Only a package has this file.
fn is_package(package: &Path) -> bool {
    package.join("Cargo.toml.orig").is_file()
}

/// Explains what to do if no folder under `vendor/linux` can be compiled in.
fn none_vendored(package: &Path, vendored: &Path) -> String {
    let first = format!("No folder under {} has all kernel files.", vendored.display());
    let mut message = advise(package, first, "./setup");
    if is_package(package) {
        message += "\nThe package carries no kernel: when it was made, the series in `include` of \
                    Cargo.toml was not under vendor/linux.";
    }
    message
}

/// Explains how to get the kernel files. Running a command in cargo's own checkout does not help:
/// cargo creates it again for every revision.
fn advise(package: &Path, first: String, setup: &str) -> String {
    // Cargo marks a checkout with this file.
    if !package.join(".cargo-ok").is_file() || is_package(package) {
        return format!("{first}\nRun: {setup}");
    }
    let cache = cache::folder().map_or_else(
        || "the user's cache folder".to_owned(),
        |folder| folder.display().to_string(),
    );
    format!(
        "{first}\n\
         This is cargo's checkout of a git dependency, which has no kernel files. Do one of these:\n\
         - In a clone of gpu-buddy, run: {setup}\n  \
           It leaves a copy in {cache}, which the build then finds.\n\
         - Depend on that clone: gpu-buddy = {{ path = \"...\" }}\n\
         - Set {VARIABLE} to the absolute path of a kernel tree that has {}.",
        LAYOUT.allocator
    )
}

/// The newest series that can be compiled in: `./setup --from` may have copied a part of a tree.
/// Folders with other names come last.
fn newest(vendored: &Path) -> Option<PathBuf> {
    let mut folders: Vec<_> = std::fs::read_dir(vendored)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        // Names with a leading dot are unfinished folders of ./setup.
        .filter(|path| {
            path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
        })
        .filter(|path| missing(path).is_empty())
        .collect();
    folders.sort_by_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (Reverse(version(&name)), name)
    });
    folders.into_iter().next()
}

/// The series and the revision: from the REVISION of `./setup`, or from the tree.
fn identify(root: &Path) -> (String, String) {
    if let Ok(revision) = read(&root.join("REVISION")) {
        let facts: Vec<_> = revision
            .lines()
            .filter(|line| !line.starts_with("sha256") && line.contains(": "))
            .collect();
        let series = facts.iter().find_map(|line| line.strip_prefix("series: "));
        let mut text = facts.join("\n");
        let changed = changed(root, &revision);
        if !changed.is_empty() {
            text = format!("{text}\nchanged since: {}", changed.join(", "));
        }
        return (series.unwrap_or("unknown").to_owned(), text);
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

/// The files that differ from REVISION: somebody edited them after ./setup, or in a copy of the
/// tree.
fn changed(root: &Path, revision: &str) -> Vec<String> {
    let is_recorded = |file: &String| {
        let Ok(content) = std::fs::read(root.join(file)) else {
            return false;
        };
        let line = format!("sha256 {}  {file}", hex(&Sha256::digest(content)));
        revision.lines().any(|recorded| recorded == line)
    };
    files(root).filter(|file| !is_recorded(file)).collect()
}
