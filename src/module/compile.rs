//! Compiles the C of a kernel to a shared object.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sha2::{Digest, Sha256};

use super::ModuleError;
use super::abi::MODULE_ABI;
use super::cache::Cache;
use super::source::{Source, hex};
use super::tree::{self, Unit};

/// The shims and the adapter.
const SHIMS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shims.rs"));

/// The machine's C compiler, as the environment names it.
pub(super) struct Compiler {
    /// The program, and arguments that belong to its name.
    program: Vec<OsString>,
    /// `CFLAGS`, which come last.
    flags: Vec<OsString>,
}

impl Compiler {
    pub fn find() -> Self {
        let words = |name: &str| -> Vec<OsString> {
            let value = std::env::var(name).unwrap_or_default();
            value.split_whitespace().map(OsString::from).collect()
        };
        let program = words("CC");
        let program = if program.is_empty() { vec!["cc".into()] } else { program };
        Self { program, flags: words("CFLAGS") }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).stdin(Stdio::null());
        command
    }

    /// Changes when another compiler, or other flags, are used.
    fn identity(&self) -> String {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut identity = format!("{:?} {:?}", self.program, self.flags);
        for word in &self.program {
            let places = std::env::split_paths(&path).map(|folder| folder.join(word));
            let file =
                places.filter(|file| file.is_file()).find_map(|file| file.canonicalize().ok());
            if let Some((file, facts)) =
                file.and_then(|file| Some((file.clone(), file.metadata().ok()?)))
            {
                identity += &format!(" {} {} {}", file.display(), facts.len(), facts.mtime());
            }
        }
        identity
    }

    fn failed(&self, error: &std::io::Error) -> ModuleError {
        let program = self.program[0].to_string_lossy();
        ModuleError::Compile(format!(
            "{program}: {error}. A C compiler is needed; the environment variable CC can name one"
        ))
    }
}

/// The folder that one kernel is compiled in.
struct Workplace {
    folder: tempfile::TempDir,
}

impl Workplace {
    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Writes the tree, the shims, and a header for each one of the kernel's own that
    /// includes the real one.
    fn new(source: &Source) -> Result<Self, ModuleError> {
        let fail = |error| ModuleError::cache(&std::env::temp_dir(), error);
        let folder = tempfile::Builder::new().prefix("gpu-buddy-").tempdir().map_err(fail)?;
        let place = Self { folder };
        let write = |path: PathBuf, text: &[u8]| {
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            fs::write(path, text)
        };
        for (name, text) in SHIMS {
            write(place.at("shim").join(name), text.as_bytes()).map_err(fail)?;
        }
        for (name, text) in &source.files {
            write(place.at("tree").join(name), text).map_err(fail)?;
        }
        for (name, path) in tree::headers(source.layout) {
            let text = format!("#include \"{}\"\n", place.at("tree").join(path).display());
            write(place.at("include").join(name), text.as_bytes()).map_err(fail)?;
        }
        Ok(place)
    }

    fn command(&self, compiler: &Compiler, unit: &Unit) -> Command {
        let mut command = compiler.command();
        command.arg("-O2");
        command.args(tree::flags(
            &self.at("tree"),
            &self.at("shim"),
            &self.at("include"),
            unit.origin,
        ));
        for (name, value) in &unit.defines {
            command.arg(format!("-D{name}={value}"));
        }
        command.args(&compiler.flags);
        command.arg("-c").arg(&unit.source).arg("-o").arg(self.at(unit.name));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

/// The shared object of a kernel: from the cache, or compiled.
pub(super) fn module(
    source: &Source,
    cache: &Cache,
    compiler: &Compiler,
) -> Result<PathBuf, ModuleError> {
    let units = units(source, Path::new("shim"), Path::new("tree"));
    let common = common_digest(source, compiler);
    let keys: Vec<_> = units.iter().map(|unit| unit_key(source, unit, &common)).collect();
    let key = key(&keys);
    if let Some(path) = cache.get(&key, ".so") {
        return Ok(path);
    }

    let place = Workplace::new(source)?;
    let units = self::units(source, &place.at("shim"), &place.at("tree"));
    let mut objects = Vec::new();
    let mut running = Vec::new();
    for (unit, key) in units.iter().zip(&keys) {
        let object = cache.get(key, ".o");
        if object.is_none() {
            let child = place.command(compiler, unit).spawn();
            running.push((unit, key, child.map_err(|error| compiler.failed(&error))?));
        }
        objects.extend(object);
    }
    let mut messages = String::new();
    for (unit, key, child) in running {
        let (succeeded, text) = finish(child).map_err(|error| compiler.failed(&error))?;
        if succeeded {
            objects.push(cache.put(key, ".o", &place.at(unit.name))?);
        } else {
            messages += &text.replace(&format!("{}/", place.at("tree").display()), "");
        }
    }
    if !messages.is_empty() {
        return Err(ModuleError::Compile(explain(source, &messages)));
    }

    let shared = place.at("module.so");
    let mut link = compiler.command();
    link.args(["-shared", "-Wl,-z,now,-z,defs", "-o"])
        .arg(&shared)
        .args(&objects)
        .args(&compiler.flags);
    link.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = link.spawn().map_err(|error| compiler.failed(&error))?;
    let (succeeded, text) = finish(child).map_err(|error| compiler.failed(&error))?;
    if !succeeded {
        return Err(ModuleError::Compile(explain(source, &text)));
    }
    cache.put(&key, ".so", &shared)
}

fn finish(child: Child) -> std::io::Result<(bool, String)> {
    let output = child.wait_with_output()?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// The compiler's messages, and what may help.
fn explain(source: &Source, messages: &str) -> String {
    const MOST_LINES: usize = 30;
    let mut text: String =
        messages.lines().take(MOST_LINES).map(|line| format!("{line}\n")).collect();
    if messages.lines().count() > MOST_LINES {
        text += "...\n";
    }
    let hint = if messages.contains("No such file or directory") {
        "A header that is not found has no stand-in under vendor/shim yet: see UPGRADE.md"
    } else {
        "A kernel function that is unknown has no stand-in under vendor/shim yet: see UPGRADE.md"
    };
    format!("{} does not compile:\n{text}{hint}", source.name)
}

fn units(source: &Source, shim: &Path, root: &Path) -> Vec<Unit> {
    let file = |path: &str| source.files.contains_key(path).then(|| root.join(path));
    tree::units(source.layout, &source.signs, shim, file)
}

/// A digest of what every unit depends on.
fn common_digest(source: &Source, compiler: &Compiler) -> String {
    let mut parts = vec![MODULE_ABI.to_string(), compiler.identity()];
    let nowhere = Path::new("");
    for origin in [tree::Origin::Kernel, tree::Origin::Ours] {
        parts.extend(tree::flags(nowhere, nowhere, nowhere, origin));
    }
    for (name, text) in SHIMS {
        parts.extend([name, text].map(|part| (*part).to_owned()));
    }
    let is_header = |file: &&String| file.ends_with(".h");
    for file in source.files.keys().filter(is_header) {
        parts.extend([file.clone(), String::from_utf8_lossy(&source.files[file]).into_owned()]);
    }
    key(&parts)
}

fn unit_key(source: &Source, unit: &Unit, common: &str) -> String {
    let mut parts = vec![common.to_owned(), unit.name.to_owned(), format!("{:?}", unit.defines)];
    let path = unit.source.strip_prefix("tree").unwrap_or(&unit.source).display().to_string();
    let mut texts = vec![path];
    // It includes the suite. A file of the kernel's may include another one as well.
    texts.extend((unit.name == "kunit_suite").then(|| source.layout.suite.to_owned()));
    let others = source.files.keys().filter(|file| {
        let is_unit = [source.layout.allocator, source.layout.suite, source.layout.random];
        file.ends_with(".c") && !is_unit.contains(&file.as_str())
    });
    texts.extend(others.cloned());
    for file in texts {
        let text = source.files.get(&file).map(|text| String::from_utf8_lossy(text).into_owned());
        parts.extend([file, text.unwrap_or_default()]);
    }
    key(&parts)
}

/// A digest of parts, whose ends count.
fn key(parts: &[String]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    hex(&digest.finalize()[..16])
}
