//! Finds kernel files in the cache, where `./setup` leaves a copy for other clones.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::facts::hex;
use crate::kernel::{files, missing, version};
use crate::read;
use crate::tree::cache_folder;

/// The part of `vendor/manifest.toml` on kernel revisions.
pub struct Manifest {
    /// The default series of `./setup`.
    pub default: String,
    revisions: Vec<Revision>,
}

/// A revision that the tests have passed on.
#[derive(Default)]
struct Revision {
    series: String,
    /// Lines with the path and the hash of each file.
    files: String,
}

impl Manifest {
    /// Parses only plain lines, like `./setup`.
    pub fn read(package: &Path) -> crate::Result<Self> {
        let mut manifest = Self { default: String::new(), revisions: Vec::new() };
        for line in read(&package.join("vendor/manifest.toml"))?.lines() {
            if line == "[[revision]]" {
                manifest.revisions.push(Revision::default());
            }
            let Some((key, value)) = line.split_once(" = ") else { continue };
            let value = value.trim_matches('"');
            match (key, manifest.revisions.last_mut()) {
                ("default", None) => value.clone_into(&mut manifest.default),
                ("series", Some(revision)) => value.clone_into(&mut revision.series),
                (path, Some(revision)) if path.starts_with('"') => {
                    revision.files += &format!("{} {value}\n", path.trim_matches('"'));
                }
                _ => {}
            }
        }
        Ok(manifest)
    }

    /// A folder with the tested files of a series.
    pub fn find(&self, series: &str) -> Option<PathBuf> {
        let mut folders: Vec<_> = std::fs::read_dir(folder()?.join(series))
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            // Names with a leading dot are unfinished folders of ./setup.
            .filter(|path| {
                path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
            })
            .filter(|path| missing(path).is_empty() && self.is_tested(series, path))
            .collect();
        folders.sort_by_key(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let upstream = name.split('-').next().unwrap_or_default();
            (Reverse(version(upstream)), Reverse(name))
        });
        folders.into_iter().next()
    }

    fn is_tested(&self, series: &str, root: &Path) -> bool {
        let files: Option<Vec<_>> = files(root)
            .map(|file| {
                let content = std::fs::read(root.join(&file)).ok()?;
                Some(format!("{file} {}", hex(&Sha256::digest(content))))
            })
            .collect();
        files.is_some_and(|files| {
            self.revisions.iter().filter(|revision| revision.series == series).any(|revision| {
                files.iter().all(|file| revision.files.lines().any(|line| line == file))
            })
        })
    }
}

/// The cache folder of `./setup`.
pub fn folder() -> Option<PathBuf> {
    cache_folder(|name| std::env::var_os(name))
}
