//! The folder that a kernel is compiled in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::module::ModuleError;
use crate::module::cache::{Cache, no_temporary_folder, temporary_folder};
use crate::module::source::{Source, join};
use crate::module::tree::{self, Unit};

use super::compiler::Compiler;
use super::{Build, Recipe, SHIMS, flags};

/// The folder in which one kernel is compiled.
pub(super) struct Workplace {
    root: PathBuf,
    /// Removes the folder when dropped.
    _temporary: Option<TempDir>,
}

impl Workplace {
    /// Creates a temporary one, in the cache if possible.
    pub fn new(source: &Source, cache: &Cache) -> Result<Self, ModuleError> {
        let fill = |folder: TempDir| {
            fill(folder.path(), source)?;
            Ok(Self { root: folder.path().to_owned(), _temporary: Some(folder) })
        };
        let in_cache = cache.workplace().and_then(fill);
        in_cache.or_else(|_: std::io::Error| fill(temporary_folder()?)).map_err(no_temporary_folder)
    }

    /// Creates one that is kept.
    pub fn in_folder(folder: &Path, source: &Source) -> Result<Self, ModuleError> {
        let place = Self { root: folder.to_owned(), _temporary: None };
        fs::create_dir_all(folder)
            .and_then(|()| fill(folder, source))
            .map_err(|error| ModuleError::cache(folder, error))?;
        Ok(place)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The finished module.
    pub fn module(&self) -> PathBuf {
        self.at("module.so")
    }

    pub fn object(&self, unit: &Unit) -> PathBuf {
        self.at(&object(unit))
    }

    pub fn compile(
        &self,
        compiler: &Compiler,
        build: Build,
        unit: &Unit,
    ) -> Result<Job, ModuleError> {
        self.compile_with(compiler, unit, flags(unit.origin), build.flags(unit))
    }

    /// Compiles a unit with `flags` instead of the usual ones, then `more`.
    pub fn compile_with(
        &self,
        compiler: &Compiler,
        unit: &Unit,
        flags: Vec<String>,
        more: &[&str],
    ) -> Result<Job, ModuleError> {
        let mut command = compiler.command();
        command.args(flags);
        for (name, value) in &unit.defines {
            command.arg(format!("-D{name}={value}"));
        }
        command.args(&compiler.flags).args(more);
        command.args(["-MD", "-MF"]).arg(format!("../{}", dependencies(unit)));
        command.arg("-c").arg(&unit.source).arg("-o").arg(format!("../{}", object(unit)));
        self.start(compiler, command)
    }

    pub fn link(&self, recipe: &Recipe<'_>) -> Result<Output, ModuleError> {
        let mut command = recipe.compiler.command();
        // Undefined symbols are found here, by the linker, which says who uses them.
        command.args(["-shared", "-Wl,-z,defs", "-Wl,-z,now", "-o", "../module.so"]);
        command.args(recipe.units.iter().map(|(unit, _)| format!("../{}", object(unit))));
        command.args(&recipe.compiler.flags).args(recipe.build.link_flags());
        self.start(recipe.compiler, command)?.finish(recipe.compiler)
    }

    fn start(&self, compiler: &Compiler, mut command: Command) -> Result<Job, ModuleError> {
        // A compiler that is killed leaves its temporary files.
        command.env("TMPDIR", &self.root);
        command.current_dir(self.at("tree")).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| compiler.failed(&error))?;
        Ok(Job(Some(child)))
    }

    /// Whether a unit was compiled only from files in this folder. For example, `CFLAGS` can name a
    /// folder of headers, which is in no digest.
    pub fn is_closed(&self, unit: &Unit) -> bool {
        let Ok(text) = fs::read(self.at(&dependencies(unit))) else { return false };
        let text = String::from_utf8_lossy(&text).replace("\\\n", " ");
        let Some((_, files)) = text.split_once(": ") else { return false };
        files.split_whitespace().all(|file| {
            let path = join("tree", file).unwrap_or_default();
            !file.starts_with('/')
                && ["tree/", "shim/", "include/"].iter().any(|place| path.starts_with(place))
        })
    }
}

/// Writes the tree, the shims, and the headers that include the kernel's own.
fn fill(folder: &Path, source: &Source) -> std::io::Result<()> {
    let write = |path: PathBuf, text: &[u8]| {
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        fs::write(path, text)
    };
    for (name, text) in SHIMS {
        write(folder.join("shim").join(name), text.as_bytes())?;
    }
    for (name, text) in &source.files {
        write(folder.join("tree").join(name), text)?;
    }
    for (name, path) in tree::headers(source.layout) {
        let text = tree::forwarding_header(name, path);
        write(folder.join("include").join(name), text.as_bytes())?;
    }
    Ok(())
}

fn object(unit: &Unit) -> String {
    format!("{}.o", unit.name)
}

fn dependencies(unit: &Unit) -> String {
    format!("{}.d", unit.name)
}

/// A running compiler. If nobody waits for it, it is killed on drop, because its folder is about to
/// be removed.
pub(super) struct Job(Option<Child>);

impl Job {
    pub fn finish(mut self, compiler: &Compiler) -> Result<Output, ModuleError> {
        let child = self.0.take().expect("only this takes it");
        child.wait_with_output().map_err(|error| compiler.failed(&error))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
