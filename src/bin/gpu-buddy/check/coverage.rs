//! Which changed lines were executed: `gcov` counts, and a diff of the two sources finds the
//! changed lines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gpu_buddy::module::{Tree, ask_compiler};
use serde::Deserialize;

use super::report::{Mark, Part, Step};

#[derive(Deserialize)]
struct Gcov {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    file: String,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    line_number: usize,
    count: i64,
    #[serde(default)]
    branches: Vec<Branch>,
}

#[derive(Deserialize)]
struct Branch {
    /// gcov computes some counts from others. In a call that hangs they may not add up, and the
    /// result may be negative.
    count: i64,
    throw: bool,
}

/// The counts of one line.
#[derive(Default)]
struct Counted {
    executed: bool,
    branches: usize,
    taken: usize,
}

/// Lines by file and number.
type Counts = BTreeMap<(String, usize), Counted>;

/// The lines of a file that are not in the base: number and text.
pub fn changed_lines(
    patched: &Tree,
    base: &Tree,
    file: &str,
    base_file: &str,
) -> Vec<(usize, String)> {
    let text = |tree: &Tree, file| {
        String::from_utf8_lossy(tree.file(file).unwrap_or_default()).into_owned()
    };
    let (old, new) = (text(base, base_file), text(patched, file));
    let of_new = diff::lines(&old, &new).into_iter().filter_map(|line| match line {
        diff::Result::Left(_) => None,
        diff::Result::Both(..) => Some(None),
        diff::Result::Right(text) => Some(Some(text.trim().to_owned())),
    });
    (1..).zip(of_new).filter_map(|(number, text)| Some((number, text?))).collect()
}

/// Counts the changed lines and branches that ran, and lists those that did not. `module` was built
/// with counters, or is the reason why there is none.
pub fn step(patched: &Tree, base: &Tree, module: Result<&Path, String>) -> (Step, Vec<String>) {
    let of_part = |mark, summary: String| Step { part: Part::Coverage, mark, summary };
    let files = [(patched.allocator(), base.allocator()), (patched.header(), base.header())];
    let changed: Vec<_> = files
        .iter()
        .flat_map(|&(file, base_file)| {
            let lines = changed_lines(patched, base, file, base_file);
            lines.into_iter().map(move |(number, text)| (file, number, text))
        })
        .collect();
    let folder = module.map(|module| module.parent().unwrap_or(module));
    let counts = match folder.and_then(counts) {
        Ok(counts) => counts,
        Err(reason) => {
            let reason = reason.lines().last().unwrap_or_default();
            return (of_part(Mark::NotRun, format!("not measured: {reason}")), Vec::new());
        }
    };
    let mut missed = Vec::new();
    let (mut lines, mut executed, mut branches, mut taken) = (0, 0, 0, 0);
    for (file, number, text) in &changed {
        let Some(counted) = counts.get(&((*file).to_owned(), *number)) else { continue };
        lines += 1;
        executed += usize::from(counted.executed);
        branches += counted.branches;
        taken += counted.taken;
        if !counted.executed {
            missed.push(format!("{file}:{number} not executed: {text}"));
        } else if counted.taken < counted.branches {
            let left = counted.branches - counted.taken;
            let what = format!("{left} of {} branches not taken", counted.branches);
            missed.push(format!("{file}:{number} {what}: {text}"));
        }
    }
    if lines == 0 {
        let summary = match changed.len() {
            0 => "the patch only removes lines".to_owned(),
            _ => "the patch changes no executable line".to_owned(),
        };
        return (of_part(Mark::Passed, summary), Vec::new());
    }
    let mark = if missed.is_empty() { Mark::Passed } else { Mark::Changed };
    let branches = if branches > 0 {
        format!(", {taken} of {branches} branches taken")
    } else {
        String::new()
    };
    let summary = format!("{executed} of {lines} changed lines executed{branches}");
    (of_part(mark, summary), missed)
}

/// Runs gcov in the folder that the module was compiled in.
fn counts(folder: &Path) -> Result<Counts, String> {
    let data = folder.join("buddy.gcda");
    if !data.is_file() {
        return Err("no run finished and wrote its counters".to_owned());
    }
    let tool = tool();
    let output = Command::new(&tool)
        .args(["--json-format", "--branch-probabilities", "--stdout"])
        .arg(&data)
        .current_dir(folder.join("tree"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", tool.display()))?;
    read(&String::from_utf8_lossy(&output.stdout))
        .map_err(|error| format!("the output of {} has a mistake: {error}", tool.display()))
}

/// Reads the output of gcov: a line of JSON for each file.
fn read(text: &str) -> Result<Counts, serde_json::Error> {
    let report: Gcov = serde_json::from_str(text.lines().next().unwrap_or_default())?;
    let mut counts = Counts::new();
    for File { file, lines } in report.files {
        let file = file.strip_prefix("./").unwrap_or(&file).to_owned();
        for Line { line_number, count, branches } in lines {
            let counted = counts.entry((file.clone(), line_number)).or_default();
            counted.executed |= count > 0;
            for branch in ordinary(&branches) {
                counted.branches += 1;
                counted.taken += usize::from(branch.count > 0);
            }
        }
    }
    Ok(counts)
}

/// The branches in the source. For the compiler, a call that may unwind is also a pair of branches:
/// to the next instruction and to the cleanup.
fn ordinary(branches: &[Branch]) -> impl Iterator<Item = &Branch> {
    branches.chunks(2).filter(|pair| !pair.iter().any(|branch| branch.throw)).flatten()
}

/// The gcov of the compiler.
fn tool() -> PathBuf {
    ask_compiler("-print-prog-name=gcov").unwrap_or_else(|| PathBuf::from("gcov"))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn counts_that_do_not_add_up_are_read() {
        let text = r#"{"files": [{"file": "./buddy.c", "lines": [
            {"line_number": 7, "count": 2, "branches": [
                {"count": -1, "throw": false}, {"count": 3, "throw": false}]}]}]}"#;
        let counts = read(&text.replace('\n', "")).expect("valid output");
        let counted = &counts[&("buddy.c".to_owned(), 7)];
        assert!(counted.executed);
        assert_eq!((counted.branches, counted.taken), (2, 1));
    }
}
