//! Compiles the C of a kernel to a shared object.
//!
//! The compiler runs in a copy of the tree, as it does in a kernel build: paths in
//! its messages, and in those of warnings and BUGs, are paths inside the tree.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::ModuleError;
use super::abi::MODULE_ABI;
use super::cache::{Cache, no_temporary_folder, temporary_folder};
use super::source::{Source, hex, join};
use super::tree::{self, Origin, Unit};

/// The shims and the adapter.
const SHIMS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shims.rs"));

/// Where the shims are, and the headers that lead to the kernel's own, as seen from
/// the tree.
const SHIM: &str = "../shim";
const HEADERS: &str = "../include";

/// The machine's C compiler, as the environment names it.
pub(super) struct Compiler {
    /// The program, and arguments that belong to its name.
    program: Vec<OsString>,
    /// `CFLAGS`, which come last.
    flags: Vec<OsString>,
    /// Changes with the compiler and the flags.
    identity: Key,
}

impl Compiler {
    pub fn find() -> Result<Self, ModuleError> {
        let mut program = words("CC");
        for word in &mut program {
            // It runs in another folder.
            let path = Path::new(word);
            if path.components().count() > 1 && path.exists() {
                *word = std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).into();
            }
        }
        if program.is_empty() {
            let names = ["cc", "gcc", "clang"];
            let name = names.into_iter().find(|name| in_path(OsStr::new(name)).is_some());
            program.push(name.unwrap_or("cc").into());
        }
        let mut compiler = Self { program, flags: words("CFLAGS"), identity: Key::new() };
        let mut identity = Key::new();
        identity.text(std::env::consts::ARCH);
        for word in compiler.program.iter().chain(&compiler.flags) {
            identity.part(word.as_bytes());
        }
        for file in compiler.program.iter().filter_map(|word| in_path(word)) {
            identity.part(file.as_os_str().as_bytes());
            if let Ok(facts) = file.metadata() {
                identity.text(&format!("{} {} {}", facts.len(), facts.mtime(), facts.mtime_nsec()));
            }
        }
        for variable in ["COMPILER_PATH", "GCC_EXEC_PREFIX"] {
            identity.part(std::env::var_os(variable).unwrap_or_default().as_bytes());
        }
        // A wrapper stays the same when the compiler behind it changes.
        let version = compiler.command().arg("--version").output();
        identity.part(&version.map_err(|error| compiler.failed(&error))?.stdout);
        compiler.identity = identity;
        Ok(compiler)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).stdin(Stdio::null());
        // Messages are searched for English words.
        command.env("LC_ALL", "C");
        // They add folders and outputs that a kernel build has no use for.
        for variable in ["CPATH", "C_INCLUDE_PATH", "DEPENDENCIES_OUTPUT", "SUNPRO_DEPENDENCIES"] {
            command.env_remove(variable);
        }
        command
    }

    fn failed(&self, error: &std::io::Error) -> ModuleError {
        let program = self.program[0].to_string_lossy();
        ModuleError::Compile(format!(
            "{program}: {error}. A C compiler is needed; the environment variable CC can name one"
        ))
    }
}

/// The words of an environment variable.
fn words(name: &str) -> Vec<OsString> {
    let value = std::env::var_os(name).unwrap_or_default();
    let words = value.as_bytes().split(u8::is_ascii_whitespace);
    words.filter(|word| !word.is_empty()).map(|word| OsStr::from_bytes(word).into()).collect()
}

/// The file that a program's name or path stands for, without links.
fn in_path(program: &OsStr) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(program));
    places.find(|file| file.is_file())?.canonicalize().ok()
}

/// A digest of parts, whose ends count.
#[derive(Clone)]
struct Key(Sha256);

impl Key {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn part(&mut self, part: &[u8]) {
        self.0.update(part.len().to_le_bytes());
        self.0.update(part);
    }

    fn text(&mut self, part: &str) {
        self.part(part.as_bytes());
    }

    fn digits(&self) -> String {
        hex(&self.0.clone().finalize()[..16])
    }
}

/// What a module is compiled from.
pub(super) struct Recipe<'a> {
    source: &'a Source,
    compiler: &'a Compiler,
    /// Each unit, with the digest of all that it depends on.
    units: Vec<(Unit, String)>,
    /// The digest of the whole.
    pub key: String,
}

impl<'a> Recipe<'a> {
    pub fn new(source: &'a Source, compiler: &'a Compiler) -> Self {
        let file = |path: &str| source.files.contains_key(path).then(|| PathBuf::from(path));
        let units = tree::units(source.layout, &source.signs, Path::new(SHIM), file);
        let common = common_key(source, compiler);
        let units: Vec<_> = units
            .into_iter()
            .map(|unit| {
                let key = unit_key(source, &unit, common.clone());
                (unit, key)
            })
            .collect();
        let mut key = Key::new();
        for (_, unit) in &units {
            key.text(unit);
        }
        Self { source, compiler, key: key.digits(), units }
    }
}

/// What every unit depends on.
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

fn unit_key(source: &Source, unit: &Unit, mut key: Key) -> String {
    key.text(unit.name);
    for (name, value) in &unit.defines {
        key.text(name);
        key.text(value);
    }
    let path = unit.source.to_string_lossy().into_owned();
    // The unit of the suite includes it.
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
    // What leads to the kernel's headers and to the suite names them by their paths in
    // the tree.
    flags.extend(["-iquote", "."].map(String::from));
    flags
}

/// The folder that one kernel is compiled in.
struct Workplace(TempDir);

impl Workplace {
    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Where the compiler runs.
    fn tree(&self) -> PathBuf {
        self.at("tree")
    }

    fn new(source: &Source, cache: &Cache) -> Result<Self, ModuleError> {
        let in_cache = cache.workplace().and_then(|folder| Self::fill(folder, source));
        in_cache.or_else(|_| Self::fill(temporary_folder()?, source)).map_err(no_temporary_folder)
    }

    /// Writes the tree, the shims, and a header for each one of the kernel's own that
    /// includes the real one.
    fn fill(folder: TempDir, source: &Source) -> std::io::Result<Self> {
        let place = Self(folder);
        let write = |path: PathBuf, text: &[u8]| {
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            fs::write(path, text)
        };
        for (name, text) in SHIMS {
            write(place.at("shim").join(name), text.as_bytes())?;
        }
        for (name, text) in &source.files {
            write(place.tree().join(name), text)?;
        }
        for (name, path) in tree::headers(source.layout) {
            let text = tree::forwarding_header(name, path);
            write(place.at("include").join(name), text.as_bytes())?;
        }
        Ok(place)
    }

    fn compile(&self, compiler: &Compiler, unit: &Unit) -> Result<Job, ModuleError> {
        let mut command = compiler.command();
        command.args(flags(unit.origin));
        for (name, value) in &unit.defines {
            command.arg(format!("-D{name}={value}"));
        }
        command.args(&compiler.flags);
        command.args(["-MD", "-MF"]).arg(format!("../{}", dependencies(unit)));
        command.arg("-c").arg(&unit.source).arg("-o").arg(format!("../{}", object(unit)));
        self.start(compiler, command)
    }

    fn link(&self, recipe: &Recipe<'_>) -> Result<Output, ModuleError> {
        let mut command = recipe.compiler.command();
        // What is undefined is found here, by the linker, which says who uses it.
        command.args(["-shared", "-Wl,-z,defs", "-Wl,-z,now", "-o", "../module.so"]);
        command.args(recipe.units.iter().map(|(unit, _)| format!("../{}", object(unit))));
        command.args(&recipe.compiler.flags);
        self.start(recipe.compiler, command)?.finish(recipe.compiler)
    }

    fn start(&self, compiler: &Compiler, mut command: Command) -> Result<Job, ModuleError> {
        command.current_dir(self.tree()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| compiler.failed(&error))?;
        Ok(Job(Some(child)))
    }

    /// Whether a unit was compiled from nothing but what is here. `CFLAGS`, for
    /// example, can name a folder of headers, which no digest knows of.
    fn is_closed(&self, unit: &Unit) -> bool {
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

fn object(unit: &Unit) -> String {
    format!("{}.o", unit.name)
}

fn dependencies(unit: &Unit) -> String {
    format!("{}.d", unit.name)
}

/// A compiler that is running. One that is not waited for does not outlive this: its
/// folder is about to go.
struct Job(Option<Child>);

impl Job {
    fn finish(mut self, compiler: &Compiler) -> Result<Output, ModuleError> {
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

/// A module that has just been compiled.
pub(super) struct Compiled {
    /// Where it is kept for the next time.
    kept: Option<PathBuf>,
    /// Whether its key says all that it depends on.
    pub closed: bool,
    place: Workplace,
}

impl Compiled {
    pub fn path(&self) -> PathBuf {
        self.kept.clone().unwrap_or_else(|| self.place.at("module.so"))
    }
}

impl Recipe<'_> {
    /// Compiles the units that have changed, and links them. Unless `reuse` is set, all
    /// units are compiled.
    pub fn compile(&self, cache: &Cache, reuse: bool) -> Result<Compiled, ModuleError> {
        let place = Workplace::new(self.source, cache)?;
        let mut running = Vec::new();
        for (unit, key) in &self.units {
            // A copy, so that another process may clear up.
            let kept = reuse.then(|| cache.get(key, ".o")).flatten();
            let copied =
                kept.is_some_and(|(_, text)| fs::write(place.at(&object(unit)), text).is_ok());
            if !copied {
                running.push((unit, key, place.compile(self.compiler, unit)?));
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
        let keep = |key: &str, ending, file: &str| {
            cache
                .put(key, ending, &place.at(file))
                .inspect_err(|error| log::warn!("what was compiled cannot be kept: {error}"))
                .ok()
        };
        for (unit, key) in compiled {
            if place.is_closed(unit) {
                keep(key, ".o", &object(unit));
            }
        }
        match (failed, linked) {
            (Some(messages), _) => Err(self.explain(&messages)),
            (None, Some(output)) if !output.status.success() => {
                let messages = messages(&output);
                if reused && undefined(&messages).is_none() {
                    // An object from the cache may be of no use, whatever its digest.
                    return self.compile(cache, false);
                }
                Err(self.explain(&messages))
            }
            _ => {
                let kept = if closed { keep(&self.key, ".so", "module.so") } else { None };
                Ok(Compiled { kept, closed, place })
            }
        }
    }

    /// The compiler's messages, and what may help.
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

/// What the compiler or the linker wrote, with the paths that the project and the tree
/// have, and without the headers that only lead to the kernel's.
fn messages(output: &Output) -> String {
    const FROM: &str = "In file included from ";
    let text = String::from_utf8_lossy(&output.stderr);
    if text.trim().is_empty() {
        return format!("The compiler gave no reason ({})\n", output.status);
    }
    let mut messages = String::from("\n");
    let mut begins = false;
    for line in text.lines() {
        let from = line.strip_prefix(FROM).or_else(|| line.trim_start().strip_prefix("from "));
        if from.is_some_and(|from| from.starts_with(HEADERS)) {
            begins = line.starts_with(FROM);
            continue;
        }
        match from.filter(|_| begins) {
            Some(from) => messages.extend([FROM, from, "\n"]),
            None => messages.extend([line, "\n"]),
        }
        begins = false;
    }
    let messages = messages.replace(&format!("{SHIM}/"), "vendor/shim/");
    let messages = messages.replace("\n./", "\n").replace(" ./", " ").replace(" ../", " ");
    messages.trim_start_matches('\n').to_owned()
}

/// What helps against an error, as far as its messages tell.
fn hint(messages: &str) -> String {
    if messages.contains("No space left on device") {
        return "XDG_CACHE_HOME and TMPDIR can name folders on another disk".into();
    }
    if let Some(header) = missing_header(messages) {
        return format!("{header} has no stand-in under vendor/shim: see UPGRADE.md");
    }
    if let Some(name) = undefined(messages) {
        return format!(
            "Neither the files of the tree nor the stand-ins under vendor/shim have {name}. \
             If the kernel has it elsewhere, see UPGRADE.md"
        );
    }
    "If the kernel builds with it, a stand-in under vendor/shim lacks something: see UPGRADE.md"
        .into()
}

/// The header that the compiler has not found.
fn missing_header(messages: &str) -> Option<&str> {
    messages.lines().find_map(|line| {
        let (_, message) = line.split_once("fatal error: ")?;
        let gcc = message.strip_suffix(": No such file or directory");
        gcc.or_else(|| message.strip_suffix("' file not found")?.strip_prefix('\''))
    })
}

/// The name that the compiler or the linker does not know.
fn undefined(messages: &str) -> Option<&str> {
    const BEFORE: [&str; 6] = [
        "undefined reference to ",
        "undefined symbol: ",
        "implicit declaration of function ",
        "call to undeclared function ",
        "use of undeclared identifier ",
        "unknown type name ",
    ];
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let after = BEFORE.iter().find_map(|words| Some(messages.split_once(words)?.1));
    let name = after.map(|rest| {
        let rest = rest.trim_start_matches(|c| !is_name(c));
        rest.split(|c| !is_name(c)).next().unwrap_or_default()
    });
    let before = || messages.split_once("' undeclared")?.0.rsplit('\'').next();
    name.or_else(before).filter(|name| !name.is_empty())
}
