//! The machine's C compiler.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::module::ModuleError;

use super::key::Key;

/// The machine's C compiler, or the one that the environment names.
pub(in crate::module) struct Compiler {
    /// The program, and arguments that are part of its name.
    program: Vec<OsString>,
    /// `CFLAGS`, which come last.
    pub(super) flags: Vec<OsString>,
    /// A digest that changes with the compiler and the flags.
    pub(super) identity: Key,
}

impl Compiler {
    pub fn find() -> Result<Self, ModuleError> {
        let mut program = words("CC");
        for word in &mut program {
            // The compiler runs in another folder.
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
        // The compiler behind a wrapper may change while the wrapper does not.
        let version = compiler.command().arg("--version").output();
        identity.part(&version.map_err(|error| compiler.failed(&error))?.stdout);
        compiler.identity = identity;
        Ok(compiler)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).stdin(Stdio::null());
        // Error messages are searched for English words.
        command.env("LC_ALL", "C");
        // These add folders and outputs that a kernel build must not use.
        for variable in ["CPATH", "C_INCLUDE_PATH", "DEPENDENCIES_OUTPUT", "SUNPRO_DEPENDENCIES"] {
            command.env_remove(variable);
        }
        command
    }

    pub fn failed(&self, error: &std::io::Error) -> ModuleError {
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

/// The file of a program's name or path, without links.
fn in_path(program: &OsStr) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(program));
    places.find(|file| file.is_file())?.canonicalize().ok()
}
