//! Finds the two kernels to compare.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use gpu_buddy::module::{ModuleError, Tree};

use super::patch;
use crate::Failure;

/// The two, as they were when the command began.
pub struct Targets {
    pub patched: Tree,
    pub base: Tree,
    /// Notes for the user on how they were chosen.
    pub notes: Vec<String>,
}

impl Targets {
    /// `folder` is for a tree with the patches applied.
    pub fn find(targets: &[PathBuf], base: Option<&OsStr>, folder: &Path) -> Result<Self, Failure> {
        let is_patch = |target: &PathBuf| target.is_file();
        match targets {
            [tree] if tree.is_dir() => of_tree(tree, base),
            _ if targets.iter().all(is_patch) => of_patches(targets, base, folder),
            [target] => of_kernel(target.as_os_str(), base),
            _ => {
                let missing = targets.iter().find(|target| !is_patch(target));
                let missing = missing.map_or_else(String::new, |path| path.display().to_string());
                Err(Failure::Usage(format!(
                    "{missing} is not a file; several arguments must be patches"
                )))
            }
        }
    }
}

/// An example of `--base`.
fn an_example() -> String {
    format!("--base {}", gpu_buddy::KERNEL.series)
}

fn find(kernel: impl AsRef<OsStr>) -> Result<Tree, Failure> {
    Tree::find(kernel).map_err(usage)
}

fn usage(error: ModuleError) -> Failure {
    Failure::Usage(error.to_string())
}

/// A revision of the tree at a path.
fn revision(revision: &OsStr, tree: &Path) -> Result<Tree, ModuleError> {
    let mut name = revision.to_owned();
    name.push("@");
    name.push(tree);
    Tree::find(name)
}

/// The working tree, compared with its last commit unless there is another base.
fn of_tree(tree: &Path, base: Option<&OsStr>) -> Result<Targets, Failure> {
    let patched = find(tree)?;
    let mut notes = Vec::new();
    let base = match base {
        Some(base) => match revision(base, tree) {
            Ok(base) => base,
            Err(of_tree) => Tree::find(base).map_err(|error| {
                Failure::Usage(format!(
                    "--base {}: neither a revision of {} ({of_tree}) nor a kernel: {error}",
                    base.display(),
                    tree.display()
                ))
            })?,
        },
        None => {
            let no_base = |error: ModuleError| {
                Failure::Usage(format!("{error}. Name a kernel to compare with: {}", an_example()))
            };
            let head = revision(OsStr::new("HEAD"), tree).map_err(no_base)?;
            if head.files().eq(patched.files()) {
                notes.push("nothing is uncommitted: checking the last commit".to_owned());
                revision(OsStr::new("HEAD^"), tree).map_err(no_base)?
            } else {
                head
            }
        }
    };
    Ok(Targets { patched, base, notes })
}

/// A series or a revision.
fn of_kernel(kernel: &OsStr, base: Option<&OsStr>) -> Result<Targets, Failure> {
    let patched = find(kernel)?;
    let Some(base) = base else {
        return Err(Failure::Usage(format!(
            "name a kernel to compare {} with: {}",
            kernel.display(),
            an_example()
        )));
    };
    Ok(Targets { patched, base: find(base)?, notes: Vec::new() })
}

/// Patches, which are applied to the base one after another.
fn of_patches(
    patches: &[PathBuf],
    base: Option<&OsStr>,
    folder: &Path,
) -> Result<Targets, Failure> {
    let Some(base) = base else {
        return Err(Failure::Usage(format!(
            "a patch needs a kernel to apply to: {}, or --base TREE",
            an_example()
        )));
    };
    let base = find(base)?;
    base.write_to(folder)?;
    let mut notes = Vec::new();
    for file in patches {
        patch::apply(file, folder, base.name(), &mut notes).map_err(Failure::Usage)?;
    }
    let mut name = OsString::from(base.name());
    for file in patches {
        name.push(" + ");
        name.push(file.file_name().unwrap_or(file.as_os_str()));
    }
    let patched = find(folder)?.named(&name.to_string_lossy());
    Ok(Targets { patched, base, notes })
}
