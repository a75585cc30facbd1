//! The folder of compiled objects and modules.
//!
//! What is loaded from here is code, so the folder has to be the user's alone. The
//! name of a file holds the digest of its content: one that was cut short or changed
//! is not taken. Files are written beside their place and renamed, so that several
//! processes may use the folder at once.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::ModuleError;
use super::source::hex;

/// When the folder holds more bytes than this, the files that were not used for the
/// longest time go.
const MOST_BYTES: u64 = 64 << 20;

/// Compiled files by the digest of all that they are made of.
pub(super) struct Cache {
    pub folder: PathBuf,
    /// Keeps a folder that nobody else will use.
    _temporary: Option<tempfile::TempDir>,
}

/// The user's folder for this crate; `None` where the environment names none.
pub(super) fn user_folder() -> Option<PathBuf> {
    let absolute =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("gpu-buddy"))
}

impl Cache {
    /// # Errors
    ///
    /// Where others could put code into the folder.
    pub fn open() -> Result<Self, ModuleError> {
        let temporary = || {
            let folder = tempfile::Builder::new().prefix("gpu-buddy-").tempdir();
            let folder =
                folder.map_err(|error| ModuleError::cache(&std::env::temp_dir(), error))?;
            Ok(Self { folder: folder.path().to_owned(), _temporary: Some(folder) })
        };
        let Some(user) = user_folder() else { return temporary() };
        let folder = user.join("modules");
        let made = fs::create_dir_all(&user)
            .and_then(|()| DirBuilder::new().mode(0o700).recursive(true).create(&folder));
        match made {
            Ok(()) => {}
            // A home that cannot be written is no reason to give up.
            Err(error) if is_refusal(&error) => return temporary(),
            Err(error) => return Err(ModuleError::cache(&folder, error)),
        }
        for path in [&user, &folder] {
            check_owner(path)?;
        }
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(&folder, private)
            .map_err(|error| ModuleError::cache(&folder, error))?;
        Ok(Self { folder, _temporary: None })
    }

    /// The file for a key, if it is there and whole.
    pub fn get(&self, key: &str, ending: &str) -> Option<PathBuf> {
        let start = format!("{key}-");
        for entry in self.folder.read_dir().ok()?.filter_map(|entry| entry.ok()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(digest) = name.strip_prefix(&start).and_then(|rest| rest.strip_suffix(ending))
            else {
                continue;
            };
            let path = entry.path();
            if digest_of(&path).is_ok_and(|is| is == digest) {
                // So that it is not among those that were not used for long.
                let now = SystemTime::now();
                let _ = File::open(&path).and_then(|file| file.set_modified(now));
                return Some(path);
            }
            let _ = fs::remove_file(path);
        }
        None
    }

    /// Takes a file in. Returns where it is now.
    pub fn put(&self, key: &str, ending: &str, file: &Path) -> Result<PathBuf, ModuleError> {
        let fail = |error| ModuleError::cache(&self.folder, error);
        let path = self.folder.join(format!("{key}-{}{ending}", digest_of(file).map_err(fail)?));
        let beside = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.folder)
            .map_err(fail)?
            .into_temp_path();
        fs::copy(file, &beside).map_err(fail)?;
        beside.persist(&path).map_err(|error| fail(error.error))?;
        self.shrink(&path);
        Ok(path)
    }

    /// Removes what has not been used for the longest time, but not `keep`.
    fn shrink(&self, keep: &Path) {
        let entries = self.folder.read_dir().into_iter().flatten().filter_map(|entry| entry.ok());
        let mut files: Vec<_> = entries
            .filter_map(|entry| {
                let facts = entry.metadata().ok()?;
                facts
                    .is_file()
                    .then(|| Some((facts.modified().ok()?, facts.len(), entry.path())))?
            })
            .collect();
        let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
        files.sort();
        for (_, length, path) in files {
            if bytes <= MOST_BYTES {
                break;
            }
            // Another process may have it open, which does not keep it from going.
            if path != keep && fs::remove_file(path).is_ok() {
                bytes -= length;
            }
        }
    }
}

/// Refuses a folder that is somebody else's, or that others may write to.
fn check_owner(path: &Path) -> Result<(), ModuleError> {
    let facts = fs::symlink_metadata(path).map_err(|error| ModuleError::cache(path, error))?;
    let user = rustix::process::geteuid().as_raw();
    let reason = if !facts.is_dir() {
        "is no folder"
    } else if facts.uid() != user {
        "belongs to another user"
    } else if facts.mode() & 0o022 != 0 {
        "may be written by others (chmod go-w mends that)"
    } else {
        return Ok(());
    };
    Err(ModuleError::cache(
        path,
        io::Error::other(format!("it {reason}, and code is loaded from it")),
    ))
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn digest_of(path: &Path) -> io::Result<String> {
    Ok(hex(&Sha256::digest(fs::read(path)?)[..16]))
}
