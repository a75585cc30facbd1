//! The files of a kernel's allocator, and builds of them that are not only to be run.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::ModuleError;
use super::cache::Cache;
use super::compile::{Build, Compiler, Object, Recipe};
use super::source::Source;
use super::tree::Signs;

/// The files of a kernel's allocator, as they were when they were read.
pub struct Tree(Source);

/// Runs the C compiler with an argument such as `-print-prog-name=gcov`, and returns the absolute
/// path that it prints; `None` if it prints none, or cannot be run.
#[must_use]
pub fn ask_compiler(argument: &str) -> Option<PathBuf> {
    let output = Compiler::find().ok()?.command().arg(argument).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(PathBuf::from(text.trim())).filter(|path| output.status.success() && path.is_absolute())
}

impl Tree {
    /// Reads the files of a kernel. `kernel` is as for [`Module::open`](super::Module::open).
    ///
    /// # Errors
    ///
    /// [`ModuleError::NotFound`] if there is no such tree, or it lacks the allocator.
    pub fn find(kernel: impl AsRef<OsStr>) -> Result<Self, ModuleError> {
        Source::find(kernel.as_ref()).map(Self)
    }

    /// Renames it.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.0.name);
        self
    }

    /// Its name: what it was opened with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The origin of the files: lines of `key: value`.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.0.revision
    }

    /// The path of the allocator's C file in the tree.
    #[must_use]
    pub fn allocator(&self) -> &'static str {
        self.0.layout.allocator
    }

    /// The path of the allocator's header in the tree.
    #[must_use]
    pub fn header(&self) -> &'static str {
        self.0.layout.header
    }

    /// The paths of the KUnit suite and its helper, if the tree has them.
    #[must_use]
    pub fn suite(&self) -> Option<[&'static str; 2]> {
        let paths = [self.0.layout.suite, self.0.layout.random];
        paths.iter().all(|&path| self.has(path)).then_some(paths)
    }

    fn has(&self, path: &str) -> bool {
        self.0.files.contains_key(path) && !self.0.borrowed.contains(&path)
    }

    /// The tree's own files, by their paths in it.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let files = self.0.files.iter().filter(|(path, _)| self.has(path));
        files.map(|(path, text)| (path.as_str(), text.as_slice()))
    }

    /// The content of one of its own files.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.has(path).then(|| self.0.files[path].as_slice())
    }

    /// The SHA-256 of each of its own files, in hexadecimal.
    #[must_use]
    pub fn digests(&self) -> Vec<(String, String)> {
        self.0.digests()
    }

    /// The allocator of this tree with the KUnit suite of another one; `None` if that has none, or
    /// has other paths.
    #[must_use]
    pub fn with_suite_of(&self, other: &Self) -> Option<Self> {
        let paths = other.suite().filter(|_| self.0.layout == other.0.layout)?;
        let mut files = self.0.files.clone();
        let theirs: BTreeMap<_, _> = paths
            .into_iter()
            .chain(other.0.included.iter().map(String::as_str))
            .filter_map(|path| Some((path.to_owned(), other.file(path)?.to_owned())))
            .collect();
        let is_suite = |path: &String| {
            let folder = |path: &str| Path::new(path).parent().map(Path::to_owned);
            paths.iter().any(|suite| folder(suite) == folder(path))
        };
        files.extend(theirs.into_iter().filter(|(path, _)| is_suite(path)));
        let text = |path: &str| String::from_utf8_lossy(&files[path]).into_owned();
        let layout = self.0.layout;
        let signs = Signs::read(
            layout,
            &text(layout.header),
            &text(layout.allocator),
            Some(&text(layout.suite)),
        );
        Some(Self(Source {
            name: format!("{}, with the KUnit suite of {}", self.0.name, other.0.name),
            revision: self.0.revision.clone(),
            layout,
            signs,
            files,
            included: self.0.included.union(&other.0.included).cloned().collect(),
            borrowed: self.0.borrowed.clone(),
        }))
    }

    /// Writes the tree's own files below a folder.
    ///
    /// # Errors
    ///
    /// Errors of the file system.
    pub fn write_to(&self, folder: &Path) -> io::Result<()> {
        for (path, text) in self.files() {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            fs::write(path, text)?;
        }
        Ok(())
    }

    /// Compiles a module in a folder. [`Module::open`](super::Module::open) takes the returned
    /// path, as long as the folder exists.
    ///
    /// # Errors
    ///
    /// [`ModuleError`] if it does not compile, or the folder cannot be written.
    pub fn build(&self, build: Build, folder: &Path) -> Result<PathBuf, ModuleError> {
        let compiler = Compiler::find()?;
        Recipe::new(&self.0, &compiler, build).compile_to(folder, &Cache::open()?)
    }

    /// Compiles only the allocator, in a folder.
    ///
    /// # Errors
    ///
    /// As for [`build`](Self::build).
    pub fn object(&self, folder: &Path) -> Result<Object, ModuleError> {
        let compiler = Compiler::find()?;
        Recipe::new(&self.0, &compiler, Build::Plain).object(folder)
    }
}
