//! Loads a kernel's C at run time.

use core::ffi::c_char;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use sha2::{Digest, Sha256};

use super::abi::Table;
use super::cache::Cache;
use super::compile::{Build, Compiler, Recipe};
use super::source::{Source, hex};
use super::{Code, Loaded, Module, ModuleError};
use crate::runtime::sanitizer;

/// The loaded modules, by the digest of what they were compiled from.
static LOADED: LazyLock<Mutex<HashMap<String, Entry>>> = LazyLock::new(Mutex::default);

struct Entry {
    code: &'static Code,
    /// One for each name that was used to open it.
    modules: Vec<Module>,
}

impl Module {
    /// Compiles and loads the allocator of a kernel tree.
    ///
    /// `kernel` is the name of a series that `./setup` has fetched, the path of a tree, or
    /// `REV@PATH`, a git revision of the tree at a path. Trees of all generations work: see the
    /// table in the README. A file that ends in `.so` is a module that
    /// [`Tree::build`](super::Tree::build) built.
    ///
    /// The C compiler is `cc`, or `CC` from the environment, with `CFLAGS` added. Both are split at
    /// spaces. The compiler runs in a copy of the tree, so paths in `CFLAGS` should be absolute.
    ///
    /// Compiled modules are kept in `$XDG_CACHE_HOME/gpu-buddy/modules` or below `~/.cache`, so the
    /// next call takes a few milliseconds. If that folder cannot be written, each call compiles.
    ///
    /// # Errors
    ///
    /// [`ModuleError`] if there is no such tree, it lacks the allocator, it does not compile, or
    /// other users could write to the cache.
    pub fn open(kernel: impl AsRef<OsStr>) -> Result<Self, ModuleError> {
        let path = Path::new(kernel.as_ref());
        if path.extension() == Some(OsStr::new("so")) && path.is_file() {
            return built(path);
        }
        let source = Source::find(kernel.as_ref())?;
        let compiler = Compiler::find()?;
        let recipe = Recipe::new(&source, &compiler, Build::Plain);
        if let Some(module) = loaded(&recipe.key, &source) {
            return Ok(module);
        }
        let cache = Cache::open()?;
        let kept = cache.get(&recipe.key, ".so").map(|(path, _)| path);
        if let Some(path) = &kept {
            match load(path) {
                Ok(code) => return Ok(register(recipe.key, &source, code)),
                // It cannot be loaded here, whatever its digest.
                Err(_) => cache.remove(path),
            }
        }
        let compiled = recipe.compile(&cache)?;
        let code = load(&compiled.path())?;
        if compiled.closed {
            return Ok(register(recipe.key, &source, code));
        }
        Ok(Self::new(&source, code))
    }

    fn new(source: &Source, code: &'static Code) -> Self {
        Self(Box::leak(Box::new(Loaded {
            name: source.name.clone(),
            revision: source.revision.clone(),
            files: source.digests(),
            borrowed: source.borrowed.clone(),
            code,
        })))
    }
}

/// Loads a module that was built before.
fn built(path: &Path) -> Result<Module, ModuleError> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = path.display().to_string();
    let fail = |error| ModuleError::Load(format!("{name}: {error}"));
    let content = std::fs::read(&path).map_err(fail)?;
    let key = format!("{} {name}", hex(&Sha256::digest(&content)));
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Entry { modules, .. }) = loaded.get(&key) {
        return Ok(modules[0]);
    }
    let was_rebuilt = loaded.keys().any(|key| key.split_once(' ').is_some_and(|it| it.1 == name));
    let code = if was_rebuilt {
        // The loader knows this path, and would return what it had loaded from it.
        let copy = tempfile::NamedTempFile::new().map_err(fail)?;
        std::fs::write(&copy, &content).map_err(fail)?;
        load(copy.path())?
    } else {
        load(&path)?
    };
    let module = Module(Box::leak(Box::new(Loaded {
        name,
        revision: String::new(),
        files: Vec::new(),
        borrowed: Vec::new(),
        code,
    })));
    loaded.insert(key, Entry { code, modules: vec![module] });
    Ok(module)
}

/// The module of a source, if this recipe is loaded already.
fn loaded(key: &str, source: &Source) -> Option<Module> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let Entry { code, modules } = loaded.get_mut(key)?;
    let same = |module: &&Module| {
        let Loaded { name, revision, borrowed, .. } = module.0;
        (name, revision, borrowed) == (&source.name, &source.revision, &source.borrowed)
    };
    Some(modules.iter().find(same).copied().unwrap_or_else(|| {
        let module = Module::new(source, code);
        modules.push(module);
        module
    }))
}

/// Records what was loaded. If another thread was faster, its code is used.
fn register(key: String, source: &Source, code: &'static Code) -> Module {
    LOADED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(key.clone())
        .or_insert_with(|| Entry { code, modules: Vec::new() });
    loaded(&key, source).expect("it was noted just now")
}

fn load(path: &Path) -> Result<&'static Code, ModuleError> {
    let fail = |reason: &str| ModuleError::Load(format!("{}: {reason}", path.display()));
    // SAFETY: the file was compiled from the tree by this program or this user. Its only
    // initialisers are those of the C compiler.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| {
        let reason = reason(&error);
        let help = if reason.contains("failed to map segment") {
            ". If no code may be loaded from that file system, XDG_CACHE_HOME can name a \
             folder on another"
        } else {
            ""
        };
        fail(&format!("{reason}{help}"))
    })?;
    // SAFETY: the adapter defines it with this type, whose layout is checked below.
    let table = unsafe { library.get::<*const Table>(b"gpu_buddy_module\0") };
    let table: *const Table = table.map_err(|error| fail(&reason(&error)))?.into_raw().cast();
    // SAFETY: the symbol is only looked up, not used.
    if unsafe { library.get::<*const u8>(b"gpu_buddy_sanitized\0") }.is_ok() {
        listen().map_err(|reason| fail(&reason))?;
    }
    // It must stay loaded: it has the texts of warnings and BUGs, and the code of all its
    // allocators.
    core::mem::forget(library);
    // SAFETY: the library stays loaded, and nobody writes its table.
    let table = unsafe { Table::check(table) };
    let table = table.map_err(|mismatch| fail(&mismatch))?;
    Ok(Box::leak(Box::new(Code { table, load: OnceLock::new() })))
}

/// Redirects the address sanitizer's reports to the runtime.
fn listen() -> Result<(), String> {
    type Callback = unsafe extern "C" fn(*const c_char);
    let process = Library::this();
    // SAFETY: this is its type in the sanitizer's public header.
    let set = unsafe {
        process.get::<unsafe extern "C" fn(Callback)>(b"__asan_set_error_report_callback\0")
    };
    let set = set.map_err(|_| "the address sanitizer's library is not loaded".to_owned())?;
    // SAFETY: the callback has the type that the sanitizer expects, and is never unloaded.
    unsafe { set(sanitizer::report) };
    sanitizer::turn_on();
    Ok(())
}

/// The loader's message, which the error itself does not show.
fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
