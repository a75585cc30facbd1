//! Lays out a cargo workspace in which files of a kernel tree and our stubs for others form one
//! crate.
//!
//! The workspace has links to the tree's files, not copies.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::finding;

/// Where the code from the pages under docs/findings/ goes.
const PAGES: &str = "judge/src/findings/pages.rs";

/// The binding itself.
pub const BINDING: &str = "rust/kernel/gpu/buddy.rs";

/// Each link, and the file or folder of the tree that it points to.
const LINKS: [(&str, &str); 9] = [
    ("kernel/src/gpu/buddy.rs", BINDING),
    ("kernel/src/impl_flags.rs", "rust/kernel/impl_flags.rs"),
    ("kernel/src/init.rs", "rust/kernel/init.rs"),
    ("kernel/src/interop/list.rs", "rust/kernel/interop/list.rs"),
    ("kernel/src/ptr.rs", "rust/kernel/ptr.rs"),
    ("kernel/src/ptr/projection.rs", "rust/kernel/ptr/projection.rs"),
    ("kernel/src/sizes.rs", "rust/kernel/sizes.rs"),
    ("pin-init/src", "rust/pin-init/src"),
    ("pin-init-internal/src", "rust/pin-init/internal/src"),
];

/// The project's own source, which has the stubs.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files that the binding needs and the tree lacks.
pub fn lacks(tree: &Path) -> Vec<&'static str> {
    LINKS.iter().map(|link| link.1).filter(|file| !tree.join(file).exists()).collect()
}

/// Lays out a new workspace for a tree in `folder`.
pub fn lay_out(tree: &Path, folder: &Path) -> io::Result<()> {
    if folder.exists() {
        // This removes the links, not their targets.
        fs::remove_dir_all(folder)?;
    }
    let pattern = project().join("kernel-binding");
    // Cargo compares times, and a link may now point to an older file. So the version depends on
    // the content.
    let version = format!("version = \"0.0.0+{}\"", digest(tree)?);
    for file in files(&pattern)? {
        let place = folder.join(&file);
        let source = pattern.join(&file);
        create_parent(&place)?;
        if file.file_name().is_some_and(|name| name == "Cargo.toml") {
            let text = fs::read_to_string(&source)?;
            let path = format!("path = {:?}", project());
            let text = text.replace("path = \"..\"", &path);
            fs::write(&place, text.replace("version = \"0.0.0\"", &version))?;
        } else if file.file_name().is_some_and(|name| name == "Cargo.lock") {
            // Cargo writes to it.
            fs::copy(&source, &place)?;
        } else {
            symlink(&source, &place)?;
        }
    }
    for (link, file) in LINKS {
        let place = folder.join(link);
        create_parent(&place)?;
        symlink(tree.join(file), &place)?;
    }
    let pages = folder.join(PAGES);
    create_parent(&pages)?;
    fs::write(&pages, findings())?;
    // A fixed time, so that only a new version is compiled again.
    fs::File::options().write(true).open(pages)?.set_modified(SystemTime::UNIX_EPOCH)
}

/// The code of the findings about the binding, as a table of functions.
fn findings() -> String {
    let entries = finding::all().into_iter().filter_map(|finding| {
        Some(format!("    (\"{}\", |monitor| {{\n{}    }}),\n", finding.name, finding.code?))
    });
    format!(
        "//! Made from docs/findings/.\n\nuse super::*;\n\n\
         #[allow(unused_variables, reason = \"some need only the binding\")]\n\
         pub const FINDINGS: &[Finding] = &[\n{}];\n",
        entries.collect::<String>()
    )
}

/// A digest of all linked files of a tree, and of the findings.
fn digest(tree: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    hash.update(findings());
    for (_, file) in LINKS {
        let path = tree.join(file);
        let all = if path.is_dir() { files(&path)? } else { vec![PathBuf::new()] };
        for inner in all {
            // Joining an empty path would add a slash.
            let file = if inner == Path::new("") { path.clone() } else { path.join(&inner) };
            hash.update(inner.as_os_str().as_encoded_bytes());
            hash.update(Sha256::digest(fs::read(file)?));
        }
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

fn create_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// The files in a folder, relative to it.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(inner) = open.pop() {
        for entry in fs::read_dir(folder.join(&inner))? {
            let entry = entry?;
            let path = inner.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
