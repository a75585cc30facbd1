//! Compiles the C of a kernel to a shared object.
//!
//! The compiler runs in a copy of the tree, as in a kernel build. So paths in its messages, in
//! warnings and in BUGs are paths inside the tree.

mod compiler;
mod key;
mod messages;
mod object;
mod place;

use std::fs;
use std::path::{Path, PathBuf};

use super::ModuleError;
use super::abi::MODULE_ABI;
use super::cache::Cache;
use super::source::Source;
use super::tree::{self, Origin, Unit};
pub(super) use compiler::Compiler;
use key::Key;
use messages::{hint, messages, undefined};
pub use object::Object;
use place::Workplace;

/// The shims and the adapter.
const SHIMS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shims.rs"));

/// The folders of the shims, and of the headers that include the kernel's own, as seen from the
/// tree.
const SHIM: &str = "../shim";
const HEADERS: &str = "../include";

/// The purpose of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// To run, like the compiled-in kernel.
    Plain,
    /// Reports memory errors and undefined behaviour as warnings, with file and line. The address
    /// sanitizer's library must be loaded into the process before everything else.
    Sanitized,
    /// Counts how often each line and branch of the allocator runs, for `gcov`.
    Coverage,
}

impl Build {
    /// The additional flags of a unit. The suite has none.
    fn flags(self, unit: &Unit) -> &'static [&'static str] {
        match (self, unit.name) {
            (Self::Sanitized, "buddy" | "rbtree") => &[
                "-fsanitize=address,undefined",
                "-O1",
                "-fsanitize-recover=all",
                // The kernel is compiled with wrapping signed integers.
                "-fno-strict-overflow",
                "-fno-omit-frame-pointer",
                "-g",
            ],
            // With more optimisation, a line that is inlined has no counter.
            (Self::Coverage, "buddy") => &["--coverage", "-Og", "-fprofile-update=prefer-atomic"],
            _ => &[],
        }
    }

    fn link_flags(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &[],
            Self::Sanitized => &["-fsanitize=address"],
            Self::Coverage => &["--coverage"],
        }
    }

    /// Whether a unit's object may be moved to another folder. The counters of `gcov` are written
    /// beside it.
    fn may_move(self, unit: &Unit) -> bool {
        self != Self::Coverage || self.flags(unit).is_empty()
    }
}

/// Everything that a module is compiled from.
pub(super) struct Recipe<'a> {
    source: &'a Source,
    compiler: &'a Compiler,
    build: Build,
    /// Each unit, with the digest of everything that it depends on.
    units: Vec<(Unit, String)>,
    /// The digest of the whole.
    pub key: String,
}

impl<'a> Recipe<'a> {
    pub fn new(source: &'a Source, compiler: &'a Compiler, build: Build) -> Self {
        let file = |path: &str| source.files.contains_key(path).then(|| PathBuf::from(path));
        let mut units = tree::units(source.layout, &source.signs, Path::new(SHIM), file);
        if build == Build::Sanitized {
            units.push(Unit {
                name: "ubsan",
                source: Path::new(SHIM).join("module/ubsan.c"),
                origin: Origin::Ours,
                defines: Vec::new(),
            });
        }
        let common = common_key(source, compiler);
        let units: Vec<_> = units
            .into_iter()
            .map(|unit| {
                let key = unit_key(source, &unit, build, common.clone());
                (unit, key)
            })
            .collect();
        let mut key = Key::new();
        for (_, unit) in &units {
            key.text(unit);
        }
        Self { source, compiler, build, key: key.digits(), units }
    }
}

/// The part of the key that is the same for all units.
fn common_key(source: &Source, compiler: &Compiler) -> Key {
    let mut key = compiler.identity.clone();
    key.text(&MODULE_ABI.to_string());
    for origin in [Origin::Kernel, Origin::Ours] {
        for flag in flags(origin) {
            key.text(&flag);
        }
    }
    for (name, text) in SHIMS {
        key.text(name);
        key.text(text);
    }
    let layout = source.layout;
    let units = [layout.allocator, layout.suite, layout.random, tree::RBTREE, tree::PRANDOM];
    for (name, text) in &source.files {
        if !units.contains(&name.as_str()) || source.included.contains(name) {
            key.text(name);
            key.part(text);
        }
    }
    key
}

fn unit_key(source: &Source, unit: &Unit, build: Build, mut key: Key) -> String {
    key.text(unit.name);
    for flag in build.flags(unit) {
        key.text(flag);
    }
    for (name, value) in &unit.defines {
        key.text(name);
        key.text(value);
    }
    let path = unit.source.to_string_lossy().into_owned();
    // The unit `kunit_suite` includes the suite.
    let suite = (unit.name == "kunit_suite").then(|| source.layout.suite.to_owned());
    for path in suite.into_iter().chain([path]) {
        key.text(&path);
        key.part(source.files.get(&path).map_or(&[], Vec::as_slice));
    }
    key.digits()
}

fn flags(origin: Origin) -> Vec<String> {
    let mut flags = vec!["-O2".to_owned()];
    flags.extend(tree::flags(Path::new("."), Path::new(SHIM), Path::new(HEADERS), origin));
    // Generated headers, and the unit of the suite, include files by their paths in the tree.
    flags.extend(["-iquote", "."].map(String::from));
    flags
}

/// A module that was just compiled.
pub(super) struct Compiled {
    /// Its path in the cache.
    kept: Option<PathBuf>,
    /// Whether its key covers everything that it depends on.
    pub closed: bool,
    place: Workplace,
}

impl Compiled {
    pub fn path(&self) -> PathBuf {
        self.kept.clone().unwrap_or_else(|| self.place.module())
    }
}

impl Recipe<'_> {
    /// Compiles the units that have changed, and links them.
    pub fn compile(&self, cache: &Cache) -> Result<Compiled, ModuleError> {
        let place = Workplace::new(self.source, cache)?;
        let closed = self.compile_in(&place, cache, true)?;
        let kept = if closed { keep(cache, &self.key, ".so", &place.module()) } else { None };
        Ok(Compiled { kept, closed, place })
    }

    /// Compiles to a folder, which then has the module and the compiler's other output. Returns the
    /// module.
    pub fn compile_to(&self, folder: &Path, cache: &Cache) -> Result<PathBuf, ModuleError> {
        let place = Workplace::in_folder(folder, self.source)?;
        self.compile_in(&place, cache, true)?;
        Ok(place.module())
    }

    /// Compiles all units, or with `reuse` only those that are not in the cache. Returns whether
    /// the keys cover everything that the units depend on.
    fn compile_in(
        &self,
        place: &Workplace,
        cache: &Cache,
        reuse: bool,
    ) -> Result<bool, ModuleError> {
        let mut running = Vec::new();
        for (unit, key) in &self.units {
            // A copy, because another process may clean the cache.
            let may_reuse = reuse && self.build.may_move(unit);
            let kept = may_reuse.then(|| cache.get(key, ".o")).flatten();
            let copied = kept.is_some_and(|(_, text)| fs::write(place.object(unit), text).is_ok());
            if !copied {
                running.push((unit, key, place.compile(self.compiler, self.build, unit)?));
            }
        }
        let reused = running.len() < self.units.len();
        let mut compiled = Vec::new();
        let mut failed: Option<String> = None;
        for (unit, key, job) in running {
            let output = job.finish(self.compiler)?;
            if output.status.success() {
                compiled.push((unit, key));
            } else {
                *failed.get_or_insert_default() += &messages(&output);
            }
        }
        let linked = if failed.is_none() { Some(place.link(self)?) } else { None };
        let closed = compiled.iter().all(|(unit, _)| place.is_closed(unit));
        for (unit, key) in compiled {
            if place.is_closed(unit) && self.build.may_move(unit) {
                keep(cache, key, ".o", &place.object(unit));
            }
        }
        match (failed, linked) {
            (Some(messages), _) => Err(self.explain(&messages)),
            (None, Some(output)) if !output.status.success() => {
                let messages = messages(&output);
                if reused && undefined(&messages).is_none() {
                    // An object in the cache may be unusable in spite of its digest.
                    return self.compile_in(place, cache, false);
                }
                Err(self.explain(&messages))
            }
            _ => Ok(closed),
        }
    }

    /// The compiler's messages, and a hint.
    fn explain(&self, messages: &str) -> ModuleError {
        const MOST_LINES: usize = 30;
        let mut text: String =
            messages.lines().take(MOST_LINES).map(|line| format!("{line}\n")).collect();
        if messages.lines().count() > MOST_LINES {
            text += "...\n";
        }
        ModuleError::Compile(format!(
            "{} does not compile:\n{text}{}",
            self.source.name,
            hint(messages)
        ))
    }
}

/// Moves a file to the cache. Returns its new path.
fn keep(cache: &Cache, key: &str, ending: &str, file: &Path) -> Option<PathBuf> {
    cache
        .put(key, ending, file)
        .inspect_err(|error| log::warn!("what was compiled cannot be kept: {error}"))
        .ok()
}
