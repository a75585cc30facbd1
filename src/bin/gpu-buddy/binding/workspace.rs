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

/// The flags of the kernel's header.
const FLAGS: &str = "bindings/src/flags.rs";

/// Where the C declares what the binding calls.
pub const HEADER: &str = "include/linux/gpu_buddy.h";

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

/// Lays out a new workspace in `folder`, for the binding of a tree over the C of a kernel.
pub fn lay_out(tree: &Path, kernel: &Path, folder: &Path) -> io::Result<()> {
    if folder.exists() {
        // This removes the links, not their targets.
        fs::remove_dir_all(folder)?;
    }
    let pattern = project().join("kernel-binding");
    let made = [(PAGES, findings()), (FLAGS, flags(&fs::read_to_string(kernel.join(HEADER))?))];
    // Cargo compares times, and a link may now point to an older file. So the version depends on
    // the content.
    let version = format!("version = \"0.0.0+{}\"", digest(tree, &made)?);
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
    for (name, text) in made {
        let place = folder.join(name);
        create_parent(&place)?;
        fs::write(&place, text)?;
        // A fixed time, so that only a new version is compiled again.
        fs::File::options().write(true).open(place)?.set_modified(SystemTime::UNIX_EPOCH)?;
    }
    Ok(())
}

/// The flags that a header defines, with the type that they have in the kernel crate.
fn flags(header: &str) -> String {
    let names = header.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("#define ")?.split_once(char::is_whitespace)?;
        let is_flag = name.starts_with("GPU_BUDDY_") && value.trim_start().starts_with("BIT(");
        is_flag.then_some(name)
    });
    let flag = |name| {
        format!(
            "#[allow(missing_docs)]\npub const {name}: c_ulong = ::gpu_buddy::ffi::{name} as c_ulong;\n"
        )
    };
    format!("// Made from {HEADER}.\n\n{}", names.map(flag).collect::<String>())
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

/// A digest of all linked files of a tree, and of the generated files.
fn digest(tree: &Path, made: &[(&str, String)]) -> io::Result<String> {
    let mut hash = Sha256::new();
    made.iter().for_each(|(_, text)| hash.update(text));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_the_header() {
        let header = "#define GPU_BUDDY_NEW\t\tBIT(6)\n#define GPU_BUDDY_HEADER_STATE \
                      GENMASK_ULL(11, 10)\n#define OTHER BIT(1)\n";
        let text = flags(header);
        let flag = "pub const GPU_BUDDY_NEW: c_ulong = ::gpu_buddy::ffi::GPU_BUDDY_NEW as c_ulong;";
        assert!(text.contains(flag), "{text}");
        assert_eq!(text.matches("const").count(), 1, "{text}");
    }
}
