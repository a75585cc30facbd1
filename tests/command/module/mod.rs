//! Kernels that are compiled and loaded while the program runs: trees of each
//! generation, the cache, and what can go wrong.
//!
//! Most tests share a cache, which is empty when they begin, so that not every test compiles
//! everything.

mod cache;
mod compiling;
mod errors;
mod folders;
mod git;
mod process;
mod trees;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use crate::common::{kernel_tree, project};
use gpu_buddy::kunit::{Case, Suite};
use gpu_buddy::module::Module;
use rstest::rstest;
use tempfile::TempDir;

const ALLOCATOR: &str = "drivers/gpu/buddy.c";
const HEADER: &str = "include/linux/gpu_buddy.h";
const SUITE: &str = "drivers/gpu/tests/gpu_buddy_test.c";

/// Where `gpu_buddy_init` begins.
const INIT: &str = "gpu_buddy_init(struct gpu_buddy *mm, u64 size, u64 chunk_size)\n{\n";

/// A compiler that writes down its arguments if a variable names a file.
const RECORDER: &str =
    "#!/bin/sh\n[ -z \"$CC_LOG\" ] || echo \"$*\" >>\"$CC_LOG\"\nexec cc \"$@\"\n";

/// What the C is compiled with: most tests only load it.
const QUICK: &str = "-O0";

/// A folder that the tests share: a compiler, and a cache.
static SHARED: LazyLock<PathBuf> = LazyLock::new(|| {
    if let Some(shared) = std::env::var_os("MODULE_TEST_SHARED") {
        return shared.into();
    }
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("module");
    let _ = fs::remove_dir_all(&shared);
    fs::create_dir_all(&shared).expect("a folder");
    script(&shared.join("cc"), RECORDER);
    shared
});

fn script(path: &Path, text: &str) {
    fs::write(path, text).expect("a script");
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("permissions");
}

fn gpu_buddy<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-buddy"));
    command.args(arguments).stdin(Stdio::null()).env("CC", SHARED.join("cc"));
    command.env("XDG_CACHE_HOME", SHARED.join("cache")).env("CFLAGS", QUICK);
    command.env_remove("RUST_LOG").env_remove("CC_LOG");
    command
}

fn info(kernel: impl AsRef<OsStr>) -> Command {
    gpu_buddy([OsStr::new("info"), OsStr::new("--kernel"), kernel.as_ref()])
}

fn kunit(kernel: impl AsRef<OsStr>) -> Command {
    gpu_buddy([OsStr::new("kunit"), OsStr::new("--kernel"), kernel.as_ref()])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn output(command: &mut Command) -> Output {
    command.output().expect("the command runs")
}

/// Returns what a command prints. It must pass, and print nothing on stderr.
#[track_caller]
fn passes(command: &mut Command) -> String {
    let output = output(command);
    assert_eq!(text(&output.stderr), "", "{}", text(&output.stdout));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    text(&output.stdout)
}

/// Returns what a command prints on stderr. It must print nothing else, and exit with 2.
#[track_caller]
fn fails(command: &mut Command, says: &[&str]) -> String {
    let output = output(command);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}{}", text(&output.stdout));
    assert_eq!(text(&output.stdout), "");
    for words in says {
        assert!(stderr.contains(words), "no {words:?} in:\n{stderr}");
    }
    stderr
}

/// A copy of the tree that is compiled in.
struct Tree {
    folder: TempDir,
}

impl Tree {
    fn new() -> Self {
        let this = Self { folder: folder() };
        copy(&kernel_tree(), this.path());
        this
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path().join(file)).expect(file)
    }

    fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        write(&self.path().join(file), text);
    }

    fn prepend(&self, file: &str, lines: &str) {
        self.write(file, format!("{lines}\n{}", self.read(file)));
    }

    /// Puts a statement at the beginning of `gpu_buddy_init`.
    fn plant(&self, statement: &str) {
        let text = self.read(ALLOCATOR);
        assert!(text.contains(INIT));
        self.write(ALLOCATOR, text.replacen(INIT, &format!("{INIT}{statement}\n"), 1));
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(self.path(), arguments)
    }

    /// Makes it a repository with all files in one commit.
    fn commit(&self) {
        self.git(&["init", "-q", "-b", "main"]);
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "all"]);
    }
}

fn folder() -> TempDir {
    TempDir::new().expect("a folder")
}

fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder");
    fs::write(path, text).expect("a file");
}

/// Copies what a kernel is compiled from.
fn copy(from: &Path, to: &Path) {
    let parts = ["drivers", "include", "lib", "REVISION"].map(|part| from.join(part));
    let parts = parts.iter().filter(|part| part.exists());
    let status = Command::new("cp").arg("-r").args(parts).arg(to).status();
    assert!(status.expect("cp runs").success());
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.org"])
        .args(arguments)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

/// The tree of a series under vendor/linux, if it is there.
fn series(name: &str) -> Option<PathBuf> {
    let path = project().join("vendor/linux").join(name);
    if !path.is_dir() {
        eprintln!("NOT TESTED: there is no vendor/linux/{name}");
        return None;
    }
    Some(path)
}

/// What a command compiled, and how often it linked.
#[derive(Debug, Default, PartialEq)]
struct Work {
    units: BTreeSet<String>,
    links: usize,
}

/// Runs a command that must pass, and returns what it compiled.
#[track_caller]
fn work(command: &mut Command) -> Work {
    let log = tempfile::NamedTempFile::new().expect("a file");
    passes(command.env("CC_LOG", log.path()));
    let log = fs::read_to_string(log.path()).expect("text");
    let mut work = Work::default();
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once(" -c ") {
            work.units.insert(rest.split(' ').next().expect("a source").to_owned());
        }
        work.links += usize::from(line.contains("-shared"));
    }
    work
}

const NOTHING: Work = Work { units: BTreeSet::new(), links: 0 };

fn only(units: &[&str]) -> Work {
    Work { units: units.iter().map(|&unit| unit.to_owned()).collect(), links: 1 }
}

/// A cache that has all of the unchanged tree.
fn warm_cache() -> TempDir {
    static WARM: LazyLock<PathBuf> = LazyLock::new(|| {
        let warm = SHARED.join("warm");
        passes(info(kernel_tree()).env("XDG_CACHE_HOME", &warm));
        warm
    });
    let folder = folder();
    let ours = WARM.join("gpu-buddy");
    let status = Command::new("cp").arg("-rp").arg(ours).arg(folder.path()).status();
    assert!(status.expect("cp runs").success());
    folder
}

/// The files in a cache, those of the named ending.
fn kept(cache: &Path, ending: &str) -> Vec<PathBuf> {
    let folder = cache.join("gpu-buddy/modules");
    let files = folder.read_dir().into_iter().flatten().map(|entry| entry.expect("a file").path());
    files.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

/// Runs a test of `process.rs` in a process of its own, where it may open modules: they are
/// compiled into the cache that the tests share.
fn alone(test: &str, body: impl FnOnce()) {
    let test = &format!("module::process::{test}");
    if std::env::var("MODULE_TEST").is_ok_and(|name| name == *test) {
        return body();
    }
    let mut command = Command::new(std::env::current_exe().expect("a program"));
    command.args(["--exact", test, "--nocapture"]).env("MODULE_TEST", test);
    command.env("MODULE_TEST_SHARED", &*SHARED).env("CFLAGS", QUICK);
    command.env("CC", SHARED.join("cc")).env("XDG_CACHE_HOME", SHARED.join("cache"));
    let output = output(&mut command);
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", text(&output.stderr));
    assert!(stdout.contains("1 passed"), "{stdout}");
}

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("/proc").uid() == 0
}

/// The number of the line with these words.
fn line_of(text: &str, words: &str) -> usize {
    text.lines().position(|line| line.contains(words)).expect(words) + 1
}
