//! The folder of compiled objects and modules.
//!
//! Code is loaded from this folder, so it must belong to the user alone. A file's
//! name holds the digest of its content: a file that was cut short or changed is
//! rebuilt. Files are written in a folder beside their place and renamed, so several
//! processes may use the cache at once.

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

/// Above this, the least recently used files are removed.
const MOST_BYTES: u64 = 64 << 20;

/// What the names of folders begin with that are compiled in.
const WORKPLACE: &str = ".work-";

/// A workplace this old was left behind by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// Digits of a key, and of a digest in a name.
const DIGITS: usize = 32;

/// Compiled files by the digest of everything that they are made of.
pub(super) struct Cache {
    folder: PathBuf,
    names: OnceCell<Vec<String>>,
    /// Keeps a folder that no other process uses.
    _temporary: Option<TempDir>,
}

/// The user's folder for this crate; `None` if the environment names none.
pub(super) fn user_folder() -> Option<PathBuf> {
    let absolute =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("gpu-buddy"))
}

impl Cache {
    /// Without a folder that can be written, nothing is kept.
    ///
    /// # Errors
    ///
    /// If others could put code into the folder.
    pub fn open() -> Result<Self, ModuleError> {
        let Some(user) = user_folder() else { return Self::temporary() };
        let folder = user.join("modules");
        for path in [&user, &folder] {
            let made = path
                .parent()
                .map_or(Ok(()), fs::create_dir_all)
                .and_then(|()| DirBuilder::new().mode(0o700).create(path));
            // If it is there already, whatever it is, its owner matters.
            if let Err(error) = made
                && path.symlink_metadata().is_err()
            {
                log::warn!("{}: {error}; what is compiled cannot be kept", path.display());
                return Self::temporary();
            }
            check_owner(path)?;
            if others_may_write(path)? {
                // ./setup makes the outer one, with the permissions that umask leaves.
                if path == &folder {
                    return Err(refuse(path, "others may write to it", "chmod go-w fixes that"));
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

    /// The path and the content of the file for a key, if it is there and whole.
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
                // So that it counts as recently used.
                let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                return Some((path, content));
            }
            self.remove(&path);
        }
        None
    }

    /// Removes a file that turned out to be of no use.
    pub fn remove(&self, path: &Path) {
        let _ = fs::remove_file(path);
    }

    /// Takes a file out of a workplace. Returns where it is now.
    ///
    /// # Errors
    ///
    /// The file is then still where it was.
    pub fn put(&self, key: &str, ending: &str, file: &Path) -> io::Result<PathBuf> {
        let path = self.folder.join(format!("{key}-{}{ending}", digest(&fs::read(file)?)));
        if file.parent().and_then(Path::parent) == Some(&self.folder) {
            fs::rename(file, &path)?;
        } else {
            // Another file system, perhaps.
            let beside = tempfile::Builder::new().prefix(WORKPLACE).tempfile_in(&self.folder)?;
            fs::copy(file, beside.path())?;
            beside.into_temp_path().persist(&path).map_err(|error| error.error)?;
        }
        self.shrink(&path);
        Ok(path)
    }

    /// A folder to compile in.
    pub fn workplace(&self) -> io::Result<TempDir> {
        tempfile::Builder::new().prefix(WORKPLACE).tempdir_in(&self.folder)
    }

    /// Removes what was left behind, and the least recently used files, but not `keep`.
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
            // A process that has it loaded keeps it.
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

/// Whether a file's name has the form that `put` gives.
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

/// Reads a file that nobody else has put there.
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

/// Refuses a folder that is somebody else's, or that somebody else's link leads to.
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

/// Takes away the permissions that are not in `mode`.
fn restrict(path: &Path, mode: u32) -> Result<(), ModuleError> {
    let change = || {
        let now = fs::metadata(path)?.mode() & 0o7777;
        // On a file system that cannot be written, what is right already is enough.
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
