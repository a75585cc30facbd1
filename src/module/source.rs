//! Finds the files of a kernel: in a series that `./setup` fetched, a folder, or a git revision.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use sha2::{Digest, Sha256};

use super::tree::{LAYOUTS, Layout, SUPPORT, Signs};
use super::{ModuleError, git};

/// Support files of the compiled-in kernel, for trees that lack them.
const STAND_INS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/support.rs"));

/// The files of a kernel that make up a module.
pub(super) struct Source {
    /// The name, as given by the user.
    pub name: String,
    /// The origin of the files: lines of `key: value`.
    pub revision: String,
    pub layout: &'static Layout,
    pub signs: Signs,
    /// The files, by their paths in the tree.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The files that they include by a relative path.
    pub included: BTreeSet<String>,
    /// The files that the tree lacks.
    pub borrowed: Vec<&'static str>,
}

/// The place that files are read from.
enum Tree<'a> {
    Folder(&'a Path),
    Git(git::Revision),
}

impl Tree<'_> {
    /// A file's content; `None` if it does not exist.
    fn read(&mut self, file: &str) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Folder(root) => match fs::read(root.join(file)) {
                Ok(text) => Ok(Some(text)),
                Err(error) if is_absence(&error) => Ok(None),
                Err(error) => {
                    Err(io::Error::new(error.kind(), format!("{file} cannot be read: {error}")))
                }
            },
            Self::Git(revision) => revision.read(file),
        }
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl Source {
    pub fn find(name: &OsStr) -> Result<Self, ModuleError> {
        let text = name.to_string_lossy();
        if let Some(folder) = series(name) {
            return Self::folder(&text, &folder);
        }
        let path = Path::new(name);
        let found = path.metadata();
        match &found {
            Ok(facts) if facts.is_dir() => return Self::folder(&text, path),
            Ok(_) => {
                return Err(ModuleError::NotFound(format!(
                    "{text} is a file. A kernel is a series, the folder of a tree, or REV@PATH; \
                     ./setup --from takes a tarball"
                )));
            }
            Err(_) => {}
        }
        let revisions = revisions(name);
        // Both parts may contain an @.
        let place = |(_, folder): &&(&OsStr, PathBuf)| folder.is_dir();
        if let Some((revision, folder)) = revisions.iter().find(place) {
            return Self::git(&text, revision, folder);
        }
        if let Some((_, folder)) = revisions.first() {
            let folder = folder.display();
            return Err(ModuleError::NotFound(format!("{text}: there is no folder {folder}")));
        }
        if let Err(error) = found
            && !is_absence(&error)
        {
            return Err(ModuleError::NotFound(format!("{text}: {error}")));
        }
        let there: Vec<_> = places().iter().flat_map(|place| names(place)).collect();
        let hint = nearest(&text, &there)
            .map_or_else(String::new, |name| format!(". Did you mean {name}?"));
        let there = if there.is_empty() {
            "./setup fetches one".to_owned()
        } else {
            format!("here: {}; ./setup fetches others", there.join(", "))
        };
        Err(ModuleError::NotFound(format!(
            "{text} is neither a series ({there}), nor a folder, nor REV@PATH{hint}"
        )))
    }

    fn folder(name: &str, root: &Path) -> Result<Self, ModuleError> {
        let revision = fs::read_to_string(root.join("REVISION")).ok();
        let revision = revision.map(|text| {
            let facts = text.lines().filter(|line| !line.starts_with("sha256 "));
            facts.filter(|line| line.contains(": ")).collect::<Vec<_>>().join("\n")
        });
        let mut source = Self::read(name, &mut Tree::Folder(root))?;
        if let Some(revision) = revision {
            source.revision = revision;
        }
        Ok(source)
    }

    fn git(name: &str, revision: &OsStr, folder: &Path) -> Result<Self, ModuleError> {
        let revision = git::Revision::open(revision, folder)
            .map_err(|reason| ModuleError::NotFound(format!("{name}: {reason}")))?;
        let commit = revision.commit.clone();
        let mut source = Self::read(name, &mut Tree::Git(revision))?;
        source.revision = format!("{}\ncommit: {commit}", source.revision);
        Ok(source)
    }

    fn read(name: &str, tree: &mut Tree<'_>) -> Result<Self, ModuleError> {
        let fail = |reason: String| ModuleError::NotFound(format!("{name}: {reason}"));
        let unreadable = |error: io::Error| fail(error.to_string());
        let mut files = BTreeMap::new();
        for file in LAYOUTS.iter().flat_map(|layout| [layout.allocator, layout.header]) {
            if let Some(text) = tree.read(file).map_err(unreadable)? {
                files.insert(file.to_owned(), text);
            }
        }
        let layout = Layout::find(|file| files.contains_key(file)).map_err(fail)?;
        files.retain(|file, _| [layout.allocator, layout.header].contains(&file.as_str()));
        for file in [layout.suite, layout.random].into_iter().chain(SUPPORT) {
            if let Some(text) = tree.read(file).map_err(unreadable)? {
                files.insert(file.to_owned(), text);
            }
        }
        // A suite cannot run without its helper.
        if !files.contains_key(layout.random) {
            files.remove(layout.suite);
        }
        let included = add_included(&mut files, tree).map_err(unreadable)?;
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
        Ok(Self { name: name.to_owned(), revision, layout, signs, files, included, borrowed })
    }

    /// The files with the SHA-256 of each, in hexadecimal.
    pub fn digests(&self) -> Vec<(String, String)> {
        let files = self.files.iter().filter(|(file, _)| !self.borrowed.contains(&file.as_str()));
        files.map(|(file, text)| (file.clone(), hex(&Sha256::digest(text)))).collect()
    }
}

/// The possible meanings of `REV@PATH`: one for each @.
fn revisions(name: &OsStr) -> Vec<(&OsStr, PathBuf)> {
    let bytes = name.as_bytes();
    let places = (0..bytes.len()).filter(|&place| bytes[place] == b'@' && place > 0);
    places
        .map(|place| {
            let path = Path::new(OsStr::from_bytes(&bytes[place + 1..]));
            // A shell does not expand ~ after an @.
            let home = path.strip_prefix("~").ok().zip(std::env::var_os("HOME"));
            let path = home.map_or(path.to_owned(), |(rest, home)| Path::new(&home).join(rest));
            (OsStr::from_bytes(&bytes[..place]), path)
        })
        .collect()
}

/// Adds the files that are included by a relative path, because a patch may split files. Returns
/// all of these.
fn add_included(
    files: &mut BTreeMap<String, Vec<u8>>,
    tree: &mut Tree<'_>,
) -> io::Result<BTreeSet<String>> {
    let mut included = BTreeSet::new();
    let mut open: Vec<_> = files.keys().cloned().collect();
    while let Some(file) = open.pop() {
        let text = String::from_utf8_lossy(&files[&file]).into_owned();
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let quoted = text.lines().filter_map(|line| {
            let line = line.trim_start().strip_prefix('#')?.trim_start();
            line.strip_prefix("include")?.trim_start().strip_prefix('"')?.split('"').next()
        });
        for path in quoted.filter_map(|include| join(folder, include)) {
            if !files.contains_key(&path) {
                let Some(text) = tree.read(&path)? else { continue };
                files.insert(path.clone(), text);
                open.push(path.clone());
            }
            included.insert(path);
        }
    }
    Ok(included)
}

/// Joins a path to a folder, both inside the tree; `None` if the result is outside.
pub(super) fn join(folder: &str, path: &str) -> Option<String> {
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

/// The version in the Makefile at the top of a tree.
fn makefile(tree: &mut Tree<'_>) -> Option<String> {
    let text = tree.read("Makefile").ok()??;
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

/// The folder of a series: in the project, or in the cache of `./setup`.
fn series(name: &OsStr) -> Option<PathBuf> {
    let bytes = name.as_bytes();
    let is_name =
        !bytes.is_empty() && !bytes.starts_with(b".") && !bytes.iter().any(|b| b"/@".contains(b));
    let place = places().into_iter().map(|place| place.join(name)).find(|folder| folder.is_dir());
    let kept = || super::cache::user_folder().map(|cache| cache.join(name)).and_then(newest);
    is_name.then(|| place.or_else(kept)).flatten()
}

/// The folders that have a folder for each series.
fn places() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("vendor/linux")];
    // The project that this was built in, if it still exists.
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor/linux");
    if project.canonicalize().ok() != places[0].canonicalize().ok() {
        places.push(project);
    }
    places.retain(|place| place.is_dir());
    places
}

/// The newest of the folders with version names.
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

/// The most similar name, if one is similar enough for a hint.
fn nearest<'a>(wrong: &str, names: &'a [String]) -> Option<&'a str> {
    // The same threshold as clap's.
    const ALIKE: f64 = 0.7;
    let likeness = |name: &String| strsim::jaro(wrong, name);
    let most = names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(most) > ALIKE).then_some(most)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
