//! Where the files of a kernel come from: a series that `./setup` has placed, a
//! folder, or a revision of a git tree.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::ModuleError;
use super::tree::{LAYOUTS, Layout, SUPPORT, Signs};

/// The files beside the allocator that a tree without them gets: those of the
/// kernel that is compiled in.
const STAND_INS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/support.rs"));

/// The files of a kernel that a module is made of.
pub(super) struct Source {
    /// As it was asked for.
    pub name: String,
    /// Lines of `key: value` on where the files are from.
    pub revision: String,
    pub layout: &'static Layout,
    pub signs: Signs,
    /// The files of the tree, by their paths in it.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Those of them that the tree lacks.
    pub borrowed: Vec<&'static str>,
}

/// Where files are read from.
enum Tree<'a> {
    Folder(&'a Path),
    Git { folder: &'a Path, commit: String, prefix: String },
}

impl Tree<'_> {
    fn read(&self, file: &str) -> Option<Vec<u8>> {
        match self {
            Self::Folder(root) => std::fs::read(root.join(file)).ok(),
            Self::Git { folder, commit, prefix } => {
                let object = format!("{commit}:{prefix}{file}");
                let output = git(folder).args(["cat-file", "blob"]).arg(object).output().ok()?;
                output.status.success().then_some(output.stdout)
            }
        }
    }
}

impl Source {
    pub fn find(name: &OsStr) -> Result<Self, ModuleError> {
        let text = name.to_string_lossy();
        if let Some(folder) = series(&text) {
            return Self::folder(&text, &folder);
        }
        let path = Path::new(name);
        if path.is_dir() {
            return Self::folder(&text, path);
        }
        if path.exists() {
            return Err(ModuleError::not_found(format!(
                "{text} is a file. A kernel is a series, the folder of a tree, or REV@PATH; \
                 ./setup --from takes a tarball"
            )));
        }
        if let Some((revision, folder)) = text.split_once('@')
            && !revision.is_empty()
            && !revision.starts_with('-')
        {
            return Self::git(&text, revision, Path::new(folder));
        }
        let there: Vec<_> = places().iter().flat_map(|place| names(place)).collect();
        let there = if there.is_empty() {
            "none is placed; run ./setup".to_owned()
        } else {
            format!("placed are {}", there.join(", "))
        };
        Err(ModuleError::not_found(format!(
            "{text} is no series ({there}), no folder, and no REV@PATH"
        )))
    }

    fn folder(name: &str, root: &Path) -> Result<Self, ModuleError> {
        let revision = std::fs::read_to_string(root.join("REVISION")).ok();
        let revision = revision.map(|text| {
            let facts = text.lines().filter(|line| !line.starts_with("sha256 "));
            facts.filter(|line| line.contains(": ")).collect::<Vec<_>>().join("\n")
        });
        let mut source = Self::read(name, &Tree::Folder(root))?;
        if let Some(revision) = revision {
            source.revision = revision;
        }
        Ok(source)
    }

    fn git(name: &str, revision: &str, folder: &Path) -> Result<Self, ModuleError> {
        if !folder.is_dir() {
            return Err(ModuleError::not_found(format!(
                "{name}: there is no folder {}",
                folder.display()
            )));
        }
        let ask = |arguments: &[&str]| -> Result<String, ModuleError> {
            let output = git(folder).args(arguments).output().map_err(|error| {
                ModuleError::not_found(format!("{name}: git cannot be run: {error}"))
            })?;
            if output.status.success() {
                return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
            }
            let reason = String::from_utf8_lossy(&output.stderr);
            let reason = reason.lines().next().unwrap_or("git gave no reason").to_owned();
            Err(ModuleError::not_found(format!("{name}: {reason}")))
        };
        let prefix = ask(&["rev-parse", "--show-prefix"])?;
        let commit = format!("{revision}^{{commit}}");
        let commit = ask(&["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])
            .map_err(|_| {
                ModuleError::not_found(format!(
                    "{name}: {} has no revision {revision}",
                    folder.display()
                ))
            })?;
        let tree = Tree::Git { folder, commit: commit.clone(), prefix };
        let mut source = Self::read(name, &tree)?;
        source.revision = format!("{}\ncommit: {commit}", source.revision);
        Ok(source)
    }

    fn read(name: &str, tree: &Tree<'_>) -> Result<Self, ModuleError> {
        let mut files = BTreeMap::new();
        let mut wanted: Vec<String> =
            LAYOUTS.iter().map(|layout| layout.allocator.into()).collect();
        wanted.extend(LAYOUTS.iter().map(|layout| layout.header.into()));
        for file in wanted {
            if let Some(text) = tree.read(&file) {
                files.insert(file, text);
            }
        }
        let layout = Layout::find(|file| files.contains_key(file))
            .map_err(|missing| ModuleError::not_found(format!("{name}: {missing}")))?;
        files.retain(|file, _| [layout.allocator, layout.header].contains(&file.as_str()));
        for file in [layout.suite, layout.random].into_iter().chain(SUPPORT) {
            if let Some(text) = tree.read(file) {
                files.insert(file.to_owned(), text);
            }
        }
        // A suite cannot run without its helper.
        if !files.contains_key(layout.random) {
            files.remove(layout.suite);
        }
        add_included(&mut files, tree);
        let mut borrowed = Vec::new();
        for &(file, text) in STAND_INS {
            files.entry(file.to_owned()).or_insert_with(|| {
                borrowed.push(file);
                text.into()
            });
        }
        let text = |file: &str| files.get(file).map(|text| String::from_utf8_lossy(text));
        let signs = Signs::read(
            layout,
            &text(layout.header).unwrap_or_default(),
            &text(layout.allocator).unwrap_or_default(),
            text(layout.suite).as_deref(),
        );
        let revision = makefile(tree).unwrap_or_else(|| "series: unknown".into());
        Ok(Self { name: name.to_owned(), revision, layout, signs, files, borrowed })
    }

    /// The files with the SHA-256 of each, in hexadecimal.
    pub fn digests(&self) -> Vec<(String, String)> {
        let files = self.files.iter().filter(|(file, _)| !self.borrowed.contains(&file.as_str()));
        files.map(|(file, text)| (file.clone(), hex(&Sha256::digest(text)))).collect()
    }
}

/// Adds what the files include from beside themselves: a patch may split them.
fn add_included(files: &mut BTreeMap<String, Vec<u8>>, tree: &Tree<'_>) {
    let mut open: Vec<_> = files.keys().cloned().collect();
    while let Some(file) = open.pop() {
        let text = String::from_utf8_lossy(&files[&file]).into_owned();
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let quoted = text.lines().filter_map(|line| {
            let line = line.trim_start().strip_prefix('#')?.trim_start();
            line.strip_prefix("include")?.trim_start().strip_prefix('"')?.split('"').next()
        });
        for include in quoted {
            let Some(path) = join(folder, include).filter(|path| !files.contains_key(path)) else {
                continue;
            };
            if let Some(text) = tree.read(&path) {
                files.insert(path.clone(), text);
                open.push(path);
            }
        }
    }
}

/// A path relative to a folder, both of them in the tree; `None` where it leads out.
fn join(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<_> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// What the Makefile at the top of a tree says.
fn makefile(tree: &Tree<'_>) -> Option<String> {
    let text = tree.read("Makefile")?;
    let text = String::from_utf8_lossy(&text);
    let value = |name: &str| {
        text.lines().take(10).find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    let series = format!("{}.{}", value("VERSION")?, value("PATCHLEVEL")?);
    let (sublevel, extra) = (value("SUBLEVEL")?, value("EXTRAVERSION").unwrap_or_default());
    Some(format!("series: {series}\nversion: {series}.{sublevel}{extra}"))
}

fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder);
    command
}

/// The folder of a series: in the project, or where `./setup` keeps what it fetched.
fn series(name: &str) -> Option<PathBuf> {
    let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '@']);
    let place = places().into_iter().map(|place| place.join(name)).find(|folder| folder.is_dir());
    let kept = || super::cache::user_folder().map(|cache| cache.join(name)).and_then(newest);
    is_name.then(|| place.or_else(kept)).flatten()
}

/// Folders with a folder for each series.
fn places() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("vendor/linux")];
    // The project that this was built in, if it is on this machine.
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor/linux");
    if project.canonicalize().ok() != places[0].canonicalize().ok() {
        places.push(project);
    }
    places.retain(|place| place.is_dir());
    places
}

/// The newest of the folders that are named after versions.
fn newest(folder: PathBuf) -> Option<PathBuf> {
    let mut versions: Vec<_> = names(&folder)
        .into_iter()
        .filter(|name| name.starts_with(|c: char| c.is_numeric()))
        .collect();
    let numbers = |name: &str| -> Vec<u64> {
        name.split(|c: char| !c.is_numeric()).filter_map(|number| number.parse().ok()).collect()
    };
    versions.sort_by_cached_key(|name| numbers(name));
    Some(folder.join(versions.pop()?))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().into_iter().flatten().filter_map(|entry| entry.ok());
    let mut names: Vec<_> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
