//! Loads a kernel's C while the program runs.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::abi::Table;
use super::cache::Cache;
use super::compile::{self, Compiler};
use super::source::Source;
use super::{Loaded, Module, ModuleError};

/// What has been loaded, by the file that it is in.
static LOADED: LazyLock<Mutex<HashMap<PathBuf, Module>>> = LazyLock::new(Mutex::default);

impl Module {
    /// Compiles and loads the allocator of a kernel tree.
    ///
    /// `kernel` is the name of a series that `./setup` has placed, the path of a tree,
    /// or `REV@PATH`, a git revision of the tree at a path. The C compiler is `cc`, or
    /// what the environment variable `CC` names, with `CFLAGS` added. What was compiled
    /// is kept in `$XDG_CACHE_HOME/gpu-buddy/modules` (or below `~/.cache`), so that the
    /// next time takes a few milliseconds.
    ///
    /// A tree of any generation will do: see the table in the README.
    ///
    /// # Errors
    ///
    /// Where there is no such tree, or it lacks the allocator; where it does not
    /// compile; where the folder for what was compiled is not the user's alone.
    pub fn open(kernel: impl AsRef<OsStr>) -> Result<Self, ModuleError> {
        let source = Source::find(kernel.as_ref())?;
        let cache = Cache::open()?;
        let compiler = Compiler::find();
        let path = compile::module(&source, &cache, &compiler)?;
        match load(&source, &path) {
            Ok(module) => Ok(module),
            // It may have been compiled for another machine that shares the folder.
            Err(_) => {
                let _ = std::fs::remove_file(&path);
                load(&source, &compile::module(&source, &cache, &compiler)?)
            }
        }
    }
}

/// What the loader says.
fn reason(error: &libloading::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn load(source: &Source, path: &Path) -> Result<Module, ModuleError> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let facts = (source.name.clone(), source.revision.clone());
    if let Some(module) = loaded.get(path)
        && (&module.0.name, &module.0.revision) == (&facts.0, &facts.1)
    {
        return Ok(*module);
    }
    let fail = |reason: String| ModuleError::Load(format!("{}: {reason}", path.display()));
    // SAFETY: the file was compiled from the tree by this program, or by this user. Its
    // only initialisers are those that the C compiler adds.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| fail(reason(&error)))?;
    // SAFETY: the adapter defines it with this type; its first fields are checked below,
    // and nothing else of it is used before.
    let table = unsafe { library.get::<*const Table>(b"gpu_buddy_module\0") };
    let table: *const Table = table.map_err(|error| fail(reason(&error)))?.into_raw().cast();
    // The texts of warnings and BUGs, and whatever allocators there will be, are in it.
    core::mem::forget(library);
    // SAFETY: the library stays loaded. A table of another ABI begins with the same
    // fields, and is not smaller than them.
    let table = unsafe { &*table };
    if let Some(mismatch) = table.mismatch() {
        return Err(fail(mismatch));
    }
    let module = Module(Box::leak(Box::new(Loaded {
        name: facts.0,
        revision: facts.1,
        files: source.digests(),
        borrowed: source.borrowed.clone(),
        table,
        load: OnceLock::new(),
    })));
    loaded.insert(path.to_owned(), module);
    Ok(module)
}
