//! Reads the files of a git revision, without a checkout.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A revision of a kernel tree, read by one git process.
pub(super) struct Revision {
    /// The commit's full hash.
    pub commit: String,
    /// The tree's path in the repository: empty, or a path and a slash.
    prefix: OsString,
    git: Child,
    /// `None` after the last question.
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Revision {
    /// # Errors
    ///
    /// The reason, for the user to read.
    pub fn open(revision: &OsStr, folder: &Path) -> Result<Self, String> {
        let cannot_run = |error: io::Error| {
            format!(
                "git cannot be run: {error}. Without it, check the revision out and name its folder"
            )
        };
        let output = command(folder).args(["rev-parse", "--show-prefix"]).output();
        let output = output.map_err(cannot_run)?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let prefix = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);

        let mut git = command(folder)
            .args(["cat-file", "--batch", "--follow-symlinks"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(cannot_run)?;
        let questions = git.stdin.take();
        let answers = BufReader::new(git.stdout.take().expect("it is a pipe"));
        let prefix = OsString::from_vec(prefix.to_owned());
        let mut this = Self { commit: String::new(), prefix, git, questions, answers };
        let commit = this.ask(&[revision.as_bytes(), b"^{commit}"].concat());
        let (commit, _) = commit.map_err(|error| error.to_string())?.ok_or_else(|| {
            format!("{} has no revision {}", folder.display(), revision.to_string_lossy())
        })?;
        this.commit = commit;
        Ok(this)
    }

    /// A file's content; `None` if the revision does not have it.
    pub fn read(&mut self, file: &str) -> io::Result<Option<Vec<u8>>> {
        let object =
            [self.commit.as_bytes(), b":", self.prefix.as_bytes(), file.as_bytes()].concat();
        let fail = |error: io::Error| {
            io::Error::new(error.kind(), format!("git cannot read {file}: {error}"))
        };
        Ok(self.ask(&object).map_err(fail)?.map(|(_, content)| content))
    }

    /// The hash and the content of an object; `None` if there is none, or it is neither a file nor
    /// a commit.
    fn ask(&mut self, object: &[u8]) -> io::Result<Option<(String, Vec<u8>)>> {
        if object.contains(&b'\n') {
            return Ok(None);
        }
        let questions = self.questions.as_mut().expect("open until this is dropped");
        questions.write_all(&[object, b"\n"].concat())?;
        questions.flush()?;
        let mut answer = Vec::new();
        if self.answers.read_until(b'\n', &mut answer)? == 0 {
            return Err(io::Error::other("git has ended"));
        }
        // The answer is "hash type size" and the content; or, for a link out of the repository, a
        // type, a size and the target; or the object's name and "missing".
        let answer = String::from_utf8_lossy(&answer).trim_end().to_owned();
        if answer.ends_with(" missing") || answer.ends_with(" ambiguous") {
            return Ok(None);
        }
        let words: Vec<_> = answer.split(' ').collect();
        let size = words.last().and_then(|word| word.parse().ok());
        let size: u64 = size.ok_or_else(|| io::Error::other(format!("git says {answer:?}")))?;
        let mut content = Vec::new();
        self.answers.by_ref().take(size + 1).read_to_end(&mut content)?;
        if content.len() as u64 != size + 1 {
            return Err(io::Error::other("git has ended"));
        }
        content.pop();
        match words[..] {
            [hash, "blob" | "commit", _] => Ok(Some((hash.to_owned(), content))),
            _ => Ok(None),
        }
    }
}

impl Drop for Revision {
    fn drop(&mut self) {
        // Closing its input ends git.
        self.questions = None;
        let _ = self.git.wait();
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).stdin(Stdio::null());
    // Git sets these for hooks and `rebase --exec`, for another repository.
    for variable in
        ["GIT_DIR", "GIT_WORK_TREE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"]
    {
        command.env_remove(variable);
    }
    command
}
