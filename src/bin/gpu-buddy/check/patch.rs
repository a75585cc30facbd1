//! Applies a patch to a copy of the allocator's files. Its changes to other files are ignored.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Folders to which a patch may add files for the allocator to include.
const NEW_FILES: [&str; 3] = ["drivers/gpu/", "include/", "lib/"];

/// Applies a patch, a mail with one, or a mailbox with a series.
///
/// # Errors
///
/// A message for the user.
pub fn apply(file: &Path, tree: &Path, base: &str, notes: &mut Vec<String>) -> Result<(), String> {
    let text = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let parts = if is_mail(&text) { mails(file)? } else { vec![Part::of(file, text)] };
    let mut has_diff = false;
    let mut elsewhere = BTreeSet::new();
    for part in &parts {
        let changes = changes(&part.text);
        has_diff |= !changes.is_empty();
        let (here, others): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| change.is_in(tree));
        elsewhere.extend(others.into_iter().map(|change| change.path));
        if !here.is_empty() {
            apply_part(part, &here, tree, base)?;
        }
    }
    if !has_diff {
        return Err(format!("{} has no diff", file.display()));
    }
    if !elsewhere.is_empty() {
        let paths: Vec<_> = elsewhere.into_iter().collect();
        notes.push(format!(
            "{} changes {} outside the allocator, which {} ignored: {}",
            file.display(),
            if paths.len() == 1 { "a file".to_owned() } else { format!("{} files", paths.len()) },
            if paths.len() == 1 { "is" } else { "are" },
            paths.join(", ")
        ));
    }
    Ok(())
}

/// One patch.
struct Part {
    label: String,
    text: String,
}

impl Part {
    fn of(file: &Path, text: String) -> Self {
        Self { label: file.display().to_string(), text }
    }
}

/// Whether a file begins like a mail or a mailbox.
fn is_mail(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let headers = ["From:", "Return-Path:", "Received:", "Date:", "Subject:", "Message-Id:"];
    first.starts_with("From ")
        || headers.iter().any(|header| {
            first.get(..header.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(header))
        })
}

/// The mails of a mailbox, decoded.
fn mails(file: &Path) -> Result<Vec<Part>, String> {
    let fail = |error: std::io::Error| format!("{}: {error}", file.display());
    let folder = tempfile::Builder::new().prefix("gpu-buddy-").tempdir().map_err(fail)?;
    let place = folder.path();
    let file_argument = std::path::absolute(file).map_err(fail)?;
    let mut out = std::ffi::OsString::from("-o");
    out.push(place);
    let split = git(place, &["mailsplit".as_ref(), "-b".as_ref(), &out, file_argument.as_ref()])?;
    if !split.status.success() {
        return Err(format!("{} is not a mailbox: {}", file.display(), errors(&split)));
    }
    let mut mails: Vec<PathBuf> =
        place.read_dir().map_err(fail)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    mails.sort();
    let count = mails.len();
    let mut parts = Vec::new();
    for (number, mail) in (1..).zip(mails) {
        let (message, patch) = (place.join("message"), place.join("patch"));
        let input = fs::File::open(&mail).map_err(fail)?;
        let arguments: [&OsStr; 3] = ["mailinfo".as_ref(), message.as_ref(), patch.as_ref()];
        let info = run(command(place).args(arguments).stdin(input))?;
        if !info.status.success() {
            return Err(format!("{}, mail {number}: {}", file.display(), errors(&info)));
        }
        let info = String::from_utf8_lossy(&info.stdout).into_owned();
        let subject = info.lines().find_map(|line| line.strip_prefix("Subject: "));
        let label = match (count, subject) {
            (1, _) => file.display().to_string(),
            (_, subject) => {
                format!("{}, {number} of {count}: {}", file.display(), subject.unwrap_or("mail"))
            }
        };
        let text = fs::read(&patch).map_err(fail)?;
        parts.push(Part { label, text: String::from_utf8_lossy(&text).into_owned() });
    }
    Ok(parts)
}

/// A change to one file.
struct Change {
    /// The old path of the file, or the new path if it is new.
    path: String,
    is_new: bool,
}

impl Change {
    fn is_in(&self, tree: &Path) -> bool {
        tree.join(&self.path).is_file()
            || (self.is_new && NEW_FILES.iter().any(|folder| self.path.starts_with(folder)))
    }
}

/// The files that a patch changes.
fn changes(patch: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut old = None;
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("--- ") {
            old = Some(path);
        } else if let (Some(before), Some(after)) = (old, line.strip_prefix("+++ ")) {
            let is_new = name(before).is_none();
            if let Some(path) = name(before).or_else(|| name(after)) {
                changes.push(Change { path, is_new });
            }
            old = None;
        } else if let Some(path) = line.strip_prefix("rename from ") {
            changes.push(Change { path: path.to_owned(), is_new: false });
        } else {
            old = None;
        }
    }
    changes
}

/// The path in a header of a diff, without its first folder; `None` for no file.
fn name(header: &str) -> Option<String> {
    let path = header.split('\t').next().unwrap_or(header).trim_end();
    let path = path.trim_matches('"');
    (path != "/dev/null").then(|| path.split_once('/').map_or(path, |(_, rest)| rest).to_owned())
}

fn apply_part(part: &Part, here: &[Change], tree: &Path, base: &str) -> Result<(), String> {
    let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    fs::write(file.path(), &part.text).map_err(|error| error.to_string())?;
    let mut arguments =
        vec!["apply".to_owned(), "-p1".to_owned(), "--whitespace=nowarn".to_owned()];
    arguments.extend(here.iter().map(|change| format!("--include={}", change.path)));
    let mut arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    arguments.push(file.path().as_ref());
    let output = git(tree, &arguments)?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let hunks: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("error: patch failed: "))
        .map(|place| match hunk(&part.text, place) {
            Some(hunk) => format!("{hunk} (at {place})"),
            None => format!("the hunk at {place}"),
        })
        .collect();
    let why = if hunks.is_empty() { errors(&output) } else { hunks.join(", ") };
    Err(format!("{} does not apply to {base}: {why}", part.label))
}

/// The hunk that begins at `path:line` in the old file, by its number.
fn hunk(patch: &str, place: &str) -> Option<String> {
    let (path, line) = place.rsplit_once(':')?;
    let mut here = false;
    let mut number = 0;
    for text in patch.lines() {
        if let Some(before) = text.strip_prefix("--- ") {
            (here, number) = (name(before).as_deref() == Some(path), 0);
        } else if text.starts_with("@@ -") && here {
            number += 1;
            let begin = text["@@ -".len()..].split([',', ' ']).next();
            if begin == Some(line) {
                return Some(format!("hunk {number} of {path}"));
            }
        }
    }
    None
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).env("LC_ALL", "C").stdin(Stdio::null());
    // Ignore a repository that contains the folder for temporary files.
    command.env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap_or(folder));
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_PREFIX", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    command
}

fn git(folder: &Path, arguments: &[&OsStr]) -> Result<Output, String> {
    run(command(folder).args(arguments))
}

fn run(command: &mut Command) -> Result<Output, String> {
    command.output().map_err(|error| {
        format!(
            "git cannot be run: {error}. Without git, apply the patch to a tree and check the \
             tree: gpu-buddy check TREE --base KERNEL"
        )
    })
}

fn errors(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().filter_map(|line| line.strip_prefix("error: ").or(Some(line)));
    lines.filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_hunks_are_read() {
        let patch = "diff --git a/x/y.c b/x/y.c\n--- a/x/y.c\t2026\n+++ b/x/y.c\n\
                     @@ -1,3 +1,3 @@\n-a\n+b\n@@ -20 +20 @@ f\n--- c\n+++ d\n\
                     --- /dev/null\n+++ b/include/new.h\n@@ -0,0 +1 @@\n+z\n";
        let names: Vec<_> =
            changes(patch).into_iter().map(|change| (change.path, change.is_new)).collect();
        assert!(names.contains(&("x/y.c".to_owned(), false)), "{names:?}");
        assert!(names.contains(&("include/new.h".to_owned(), true)), "{names:?}");
        assert_eq!(hunk(patch, "x/y.c:20").as_deref(), Some("hunk 2 of x/y.c"));
        assert_eq!(hunk(patch, "x/y.c:5"), None);
    }
}
