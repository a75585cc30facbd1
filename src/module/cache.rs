//! The cache of compiled objects and modules.
//!
//! Code is loaded from this folder, so it must belong to the user alone. A file's name has the
//! digest of its content, so a truncated or changed file is rebuilt. Files are written to a
//! temporary folder in the cache and then renamed, so several processes may use the cache at once.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::ModuleError;
use super::source::hex;
use super::tree::cache_folder;

/// The most bytes in the cache. Beyond, the least recently used files are removed.
const MOST_BYTES: u64 = 64 << 20;

/// The prefix of temporary folders for compilation.
const WORKPLACE: &str = ".work-";

/// A temporary folder this old was left by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// The number of digits of a key, and of a digest in a name.
const DIGITS: usize = 32;

/// Compiled files, by the digest of everything that they depend on.
pub(super) struct Cache {
    folder: PathBuf,
    names: OnceCell<Vec<String>>,
    /// Keeps the folder, if it is a temporary one.
    _temporary: Option<TempDir>,
}

/// The user's cache folder for this crate; `None` if the environment names none.
pub(super) fn user_folder() -> Option<PathBuf> {
    cache_folder(|name| std::env::var_os(name))
}

impl Cache {
    /// Opens the cache. If the folder cannot be written, uses a temporary one.
    ///
    /// # Errors
    ///
    /// [`ModuleError::Cache`] if other users could put code into the folder.
    pub fn open() -> Result<Self, ModuleError> {
        let Some(user) = user_folder() else { return Self::temporary() };
        let folder = user.join("modules");
        for path in [&user, &folder] {
            let made = path
                .parent()
                .map_or(Ok(()), fs::create_dir_all)
                .and_then(|()| DirBuilder::new().mode(0o700).create(path));
            // If it exists already, its owner is checked below.
            if let Err(error) = made
                && path.symlink_metadata().is_err()
            {
                log::warn!("{}: {error}; what is compiled cannot be kept", path.display());
                return Self::temporary();
            }
            check_owner(path)?;
            if others_may_write(path)? {
                // ./setup creates the outer folder, with the permissions of umask.
                if path == &folder {
                    return Err(refuse(path, "others may write to it", "fix it with chmod go-w"));
                }
                restrict(path, 0o755)?;
            }
        }
        restrict(&folder, 0o700)?;
        Ok(Self { folder, names: OnceCell::new(), _temporary: None })
    }

    fn temporary() -> Result<Self, ModuleError> {
        let folder = temporary_folder().map_err(no_temporary_folder)?;
        let path = folder.path().to_owned();
        Ok(Self { folder: path, names: OnceCell::new(), _temporary: Some(folder) })
    }

    /// The path and the content of the file for a key, if it exists and is intact.
    pub fn get(&self, key: &str, ending: &str) -> Option<(PathBuf, Vec<u8>)> {
        let names = self.names.get_or_init(|| names(&self.folder));
        for name in names.iter().filter(|name| name.starts_with(key)) {
            if name.get(DIGITS + 1 + DIGITS..) != Some(ending) {
                continue;
            }
            let path = self.folder.join(name);
            let content = read_own(&path);
            if let Ok(content) = content
                && digest(&content) == name[DIGITS + 1..][..DIGITS]
            {
                // Mark it as recently used.
                let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                return Some((path, content));
            }
            self.remove(&path);
        }
        None
    }

    /// Removes a file that is of no use.
    pub fn remove(&self, path: &Path) {
        let _ = fs::remove_file(path);
    }

    /// Moves a file from a temporary folder into the cache. Returns its new path.
    ///
    /// # Errors
    ///
    /// Errors of the file system. The file is then not moved.
    pub fn put(&self, key: &str, ending: &str, file: &Path) -> io::Result<PathBuf> {
        let path = self.folder.join(format!("{key}-{}{ending}", digest(&fs::read(file)?)));
        if file.parent().and_then(Path::parent) == Some(&self.folder) {
            fs::rename(file, &path)?;
        } else {
            // Perhaps on another file system.
            let beside = tempfile::Builder::new().prefix(WORKPLACE).tempfile_in(&self.folder)?;
            fs::copy(file, beside.path())?;
            beside.into_temp_path().persist(&path).map_err(|error| error.error)?;
        }
        self.shrink(&path);
        Ok(path)
    }

    /// A temporary folder to compile in.
    pub fn workplace(&self) -> io::Result<TempDir> {
        tempfile::Builder::new().prefix(WORKPLACE).tempdir_in(&self.folder)
    }

    /// Removes old temporary folders, and the least recently used files except `keep`.
    fn shrink(&self, keep: &Path) {
        let now = SystemTime::now();
        let mut files = Vec::new();
        for entry in self.folder.read_dir().into_iter().flatten().flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            let Ok(facts) = entry.metadata() else { continue };
            let Ok(modified) = facts.modified() else { continue };
            if is_ours(&name) && facts.is_file() {
                files.push((modified, facts.len(), path));
            } else if name.as_encoded_bytes().starts_with(WORKPLACE.as_bytes())
                && now.duration_since(modified).is_ok_and(|age| age > ABANDONED)
            {
                let _ =
                    if facts.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
        }
        let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
        files.sort();
        for (_, length, path) in files {
            if bytes <= MOST_BYTES {
                break;
            }
            // A process that has loaded it keeps it.
            if path != keep && fs::remove_file(path).is_ok() {
                bytes -= length;
            }
        }
    }
}

/// A folder in the system's folder for temporary files.
pub(super) fn temporary_folder() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("gpu-buddy-").tempdir()
}

pub(super) fn no_temporary_folder(error: io::Error) -> ModuleError {
    let help = "TMPDIR can name another folder for temporary files";
    ModuleError::cache(
        &std::env::temp_dir(),
        io::Error::new(error.kind(), format!("{error}. {help}")),
    )
}

/// Whether a file's name has the form that `put` creates.
fn is_ours(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let is_digits = |bytes: &[u8]| bytes.len() == DIGITS && bytes.iter().all(u8::is_ascii_hexdigit);
    name.get(..DIGITS).is_some_and(is_digits)
        && name.get(DIGITS) == Some(&b'-')
        && name.get(DIGITS + 1..DIGITS + 1 + DIGITS).is_some_and(is_digits)
        && name.get(DIGITS + 1 + DIGITS) == Some(&b'.')
}

fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name()).filter(|name| is_ours(name));
    names.filter_map(|name| name.into_string().ok()).collect()
}

/// Reads a file that belongs to this user.
fn read_own(path: &Path) -> io::Result<Vec<u8>> {
    let facts = fs::symlink_metadata(path)?;
    if !facts.is_file() || facts.uid() != user() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    fs::read(path)
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Refuses a folder, or a link to one, that belongs to another user.
fn check_owner(path: &Path) -> Result<(), ModuleError> {
    for facts in [fs::symlink_metadata(path), fs::metadata(path)] {
        let facts = facts.map_err(|error| ModuleError::cache(path, error))?;
        if facts.uid() != user() {
            return Err(refuse(
                path,
                "it belongs to another user",
                "XDG_CACHE_HOME can name a folder of your own",
            ));
        }
    }
    if !path.is_dir() {
        return Err(refuse(path, "it is not a folder", "move it away"));
    }
    Ok(())
}

fn others_may_write(path: &Path) -> Result<bool, ModuleError> {
    let facts = fs::metadata(path).map_err(|error| ModuleError::cache(path, error))?;
    Ok(facts.mode() & 0o022 != 0)
}

/// Removes the permissions that are not in `mode`.
fn restrict(path: &Path, mode: u32) -> Result<(), ModuleError> {
    let change = || {
        let now = fs::metadata(path)?.mode() & 0o7777;
        // On a read-only file system, correct permissions are enough.
        if now & !mode == 0 {
            return Ok(());
        }
        fs::set_permissions(path, fs::Permissions::from_mode(now & mode))
    };
    change().map_err(|error| ModuleError::cache(path, error))
}

fn refuse(path: &Path, reason: &str, help: &str) -> ModuleError {
    let reason = format!("{reason}, and code is loaded from it; {help}");
    ModuleError::cache(path, io::Error::other(reason))
}

fn digest(content: &[u8]) -> String {
    hex(&Sha256::digest(content)[..DIGITS / 2])
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::process::Command;

    use super::*;

    /// ./setup, build.rs and the command look in the same folder.
    #[test]
    fn the_folder_has_one_rule() {
        for (xdg, home, folder) in [
            ("/x", "/h", Some("/x/gpu-buddy")),
            ("x", "/h", Some("/h/.cache/gpu-buddy")),
            ("", "/h", Some("/h/.cache/gpu-buddy")),
            ("x", "h", None),
        ] {
            let variable =
                |name: &str| Some(OsString::from(if name == "HOME" { home } else { xdg }));
            assert_eq!(cache_folder(variable), folder.map(PathBuf::from), "{xdg} {home}");
            // The lines of ./setup.
            let setup = include_str!("../../setup");
            let from = setup.find("case ${XDG_CACHE_HOME-}").expect("the rule");
            let lines = &setup[from..from + setup[from..].find("\nesac").expect("its end")];
            let output = Command::new("bash")
                .args(["-c", &format!("{lines}\nesac; echo $cache")])
                .env("XDG_CACHE_HOME", xdg)
                .env("HOME", home)
                .output()
                .expect("bash");
            let found = String::from_utf8_lossy(&output.stdout);
            assert_eq!(found.trim_end(), folder.unwrap_or("/dev/null/.cache/gpu-buddy"));
        }
    }
}
