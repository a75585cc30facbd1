//! Kernels that are compiled and loaded at run time, as a user runs them.

#[path = "common/command.rs"]
mod command_line;
mod common;

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use command_line::{command, text};
use common::{kernel_tree, project};
use rstest::rstest;
use tempfile::TempDir;

const ALLOCATOR: &str = "drivers/gpu/buddy.c";

/// A user's home, and the trees in it.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a folder") }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// A copy of a tree's C.
    fn tree(&self, name: &str) -> PathBuf {
        let tree = self.at(name);
        copy(&kernel_tree(), &tree);
        tree
    }

    /// Replaces a text of the allocator.
    fn edit(tree: &Path, text: &str, by: &str) {
        let file = tree.join(ALLOCATOR);
        let source = fs::read_to_string(&file).expect("the allocator");
        assert!(source.contains(text), "there is no {text}");
        fs::write(file, source.replacen(text, by, 1)).expect("it is written");
    }

    fn command(&self, arguments: &[&dyn AsRef<OsStr>]) -> Command {
        let mut command = command(&[]);
        command.env("HOME", self.folder.path()).env("XDG_CACHE_HOME", self.at("cache"));
        command.current_dir(self.folder.path());
        arguments.iter().for_each(|argument| _ = command.arg(argument));
        command
    }

    fn kunit(&self, kernel: &dyn AsRef<OsStr>) -> Output {
        self.command(&[&"kunit", &"--filter", &"*limit*", &"--kernel", kernel])
            .output()
            .expect("it runs")
    }

    fn passes(&self, kernel: &dyn AsRef<OsStr>) -> String {
        let output = self.kunit(kernel);
        let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{all}");
        all
    }

    /// It exits with 2 and says this.
    fn fails(&self, kernel: &dyn AsRef<OsStr>, says: &[&str]) {
        let output = self.kunit(kernel);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert_eq!(text(&output.stdout), "");
        says.iter().for_each(|says| assert!(stderr.contains(says), "no {says:?} in: {stderr}"));
    }

    /// The modules in the cache.
    fn modules(&self) -> Vec<PathBuf> {
        let entries = self.at("cache/gpu-buddy/modules").read_dir().expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "so")).collect()
    }
}

/// Copies the files of a tree that a module may be made of.
fn copy(from: &Path, to: &Path) {
    let folders = [
        "drivers/gpu",
        "drivers/gpu/tests",
        "drivers/gpu/drm",
        "drivers/gpu/drm/tests",
        "drivers/gpu/drm/lib",
        "include/linux",
        "include/drm",
        "lib",
    ];
    for folder in folders.into_iter().filter(|folder| from.join(folder).is_dir()) {
        fs::create_dir_all(to.join(folder)).expect("a folder");
        for entry in from.join(folder).read_dir().expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_file()
                && ["buddy", "rbtree", "random"].iter().any(|part| name.contains(part))
            {
                fs::copy(&path, to.join(folder).join(name)).expect("it is copied");
            }
        }
    }
}

/// The series under vendor/linux.
fn series() -> Vec<String> {
    let Ok(entries) = project().join("vendor/linux").read_dir() else { return Vec::new() };
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
    names.filter_map(Result::ok).filter(|name| !name.starts_with('.')).collect()
}

/// Each kernel that `./setup` has placed passes its own suite.
#[test]
fn every_series_passes_its_own_suite() {
    let home = Home::new();
    for name in series() {
        let mut command = home.command(&[&"kunit", &"--kernel", &name]);
        // Where the series are.
        let output = command.current_dir(project()).output().expect("it runs");
        let stdout = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{name}: {stdout}{}", text(&output.stderr));
        assert!(stdout.contains(" fail:0 skip:0"), "{name}: {stdout}");
    }
}

/// The shims and the adapter are in the binary: it needs a tree and a C compiler.
#[test]
fn the_bare_binary_is_enough() {
    let home = Home::new();
    let tree = home.tree("linux");
    let binary = home.at("gpu-buddy");
    fs::copy(env!("CARGO_BIN_EXE_gpu-buddy"), &binary).expect("it is copied");
    let output = Command::new(&binary)
        .args(["kunit", "--filter", "*limit*", "--kernel"])
        .arg(&tree)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").expect("a path"))
        .env("HOME", home.folder.path())
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(home.at(".cache/gpu-buddy/modules").is_dir());
}

/// What was compiled is taken again, unless an input or a flag has changed.
#[test]
fn a_module_is_kept_until_something_changes() {
    let home = Home::new();
    let tree = home.tree("linux");
    home.passes(&tree);
    let first = home.modules();
    assert_eq!(first.len(), 1);
    // A compiler that cannot be run is not asked for.
    let modified = || first[0].metadata().expect("a file").len();
    let before = modified();
    home.passes(&tree);
    assert_eq!((home.modules(), modified()), (first.clone(), before));

    Home::edit(&tree, "#include", "/* Another comment. */\n#include");
    home.passes(&tree);
    assert_eq!(home.modules().len(), 2);
    let flags =
        home.command(&[&"kunit", &"--list", &"--kernel", &tree]).env("CFLAGS", "-O1").output();
    assert_eq!(flags.expect("it runs").status.code(), Some(0));
    assert_eq!(home.modules().len(), 3);
    // What is in the tree is all that counts, not where it is.
    fs::rename(&tree, home.at("moved")).expect("it moves");
    home.passes(&home.at("moved"));
    assert_eq!(home.modules().len(), 3);
}

/// Every module is cut short, emptied, or has some bytes changed.
#[rstest]
#[case::cut(|text: &mut Vec<u8>| text.truncate(5000))]
#[case::empty(|text: &mut Vec<u8>| text.clear())]
#[case::changed(|text: &mut Vec<u8>| text[3000..3200].fill(0x5a))]
fn a_broken_module_is_made_again(#[case] damage: fn(&mut Vec<u8>)) {
    let home = Home::new();
    let tree = home.tree("linux");
    home.passes(&tree);
    let path = home.modules().remove(0);
    let whole = fs::read(&path).expect("a module");
    let mut broken = whole.clone();
    damage(&mut broken);
    fs::write(&path, broken).expect("it is written");
    home.passes(&tree);
    assert_eq!(fs::read(&path).expect("a module"), whole);
}

#[test]
fn the_cache_is_the_users_alone() {
    let home = Home::new();
    let tree = home.tree("linux");
    home.passes(&tree);
    let folder = home.at("cache/gpu-buddy/modules");
    let mode = || folder.metadata().expect("a folder").permissions().mode() & 0o777;
    assert_eq!(mode(), 0o700);
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("it is set");
    home.fails(&tree, &["modules", "may be written by others"]);
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("it is set");
    home.passes(&tree);
    assert_eq!(mode(), 0o700);
    // Code in a folder that somebody else owns is not loaded either.
    if std::os::unix::fs::chown(&folder, Some(1), Some(1)).is_ok() {
        home.fails(&tree, &["modules", "belongs to another user"]);
    }
}

#[test]
fn the_cache_is_bounded() {
    let home = Home::new();
    let tree = home.tree("linux");
    home.passes(&tree);
    let folder = home.at("cache/gpu-buddy/modules");
    for number in 0..10 {
        let file = folder.join(format!("old-{number}.so"));
        fs::write(&file, vec![0; 8 << 20]).expect("it is written");
        let file = fs::File::open(file).expect("a file");
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("it is set");
    }
    Home::edit(&tree, "#include", "/* Another comment. */\n#include");
    home.passes(&tree);
    let entries = folder.read_dir().expect("a folder");
    let bytes: u64 =
        entries.map(|entry| entry.expect("an entry").metadata().expect("a file").len()).sum();
    assert!(bytes <= 64 << 20, "{bytes}");
    assert!(home.modules().len() >= 2);
}

#[test]
fn many_processes_may_compile_the_same_at_once() {
    let home = Home::new();
    let tree = home.tree("linux");
    let start = || {
        let mut command = home.command(&[&"kunit", &"--filter", &"*limit*", &"--kernel", &tree]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let children: Vec<_> = (0..4).map(|_| start()).collect();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
}

/// Without a home there is no cache, but it works.
#[test]
fn no_home_is_no_error() {
    let home = Home::new();
    let tree = home.tree("linux");
    let mut command = home.command(&[&"kunit", &"--filter", &"*limit*", &"--kernel", &tree]);
    let output = command.env_remove("HOME").env_remove("XDG_CACHE_HOME").output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

fn git(folder: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"];
    let output = Command::new("git").arg("-C").arg(folder).args(identity).args(arguments).output();
    let output = output.expect("git runs");
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
}

/// A revision is taken from git, and the checkout is left alone.
#[test]
fn a_revision_is_taken_from_git() {
    let home = Home::new();
    let tree = home.tree("linux");
    git(&tree, &["init", "--quiet"]);
    git(&tree, &["add", "."]);
    git(&tree, &["commit", "--quiet", "-m", "good"]);
    Home::edit(&tree, "#include", "#error not this one\n#include");
    let of = |revision: &str| format!("{revision}@{}", tree.display());
    home.fails(&tree, &["drivers/gpu/buddy.c:", "not this one"]);
    home.passes(&of("HEAD"));
    git(&tree, &["commit", "--quiet", "-am", "bad"]);
    home.passes(&of("HEAD~1"));
    home.fails(&of("HEAD"), &["not this one"]);
    home.fails(&of("no-such"), &["has no revision no-such"]);
    let option = format!("--kernel={}", of("--help"));
    let output = home.command(&[&"kunit", &option]).output().expect("it runs");
    assert!(text(&output.stderr).contains("no REV@PATH"), "{}", text(&output.stderr));
    let bare = home.at("bare");
    git(home.folder.path(), &["clone", "--quiet", "--bare", "linux", "bare"]);
    home.passes(&format!("HEAD~1@{}", bare.display()));
    let output = home.command(&[&"info", &"--kernel", &of("HEAD~1")]).output().expect("it runs");
    assert!(text(&output.stdout).contains("commit: "), "{}", text(&output.stdout));
    // Nothing of the work tree has changed.
    let status = Command::new("git").arg("-C").arg(&tree).args(["status", "--short"]).output();
    assert_eq!(text(&status.expect("git runs").stdout), "");
}

/// A file beside the allocator that it includes.
#[test]
fn a_file_that_is_included_is_found() {
    let home = Home::new();
    let tree = home.tree("linux");
    Home::edit(&tree, "#include", "#include \"buddy_internal.h\"\n#include");
    fs::write(tree.join("drivers/gpu/buddy_internal.h"), "#define INTERNAL 1\n").expect("written");
    home.passes(&tree);
    git(&tree, &["init", "--quiet"]);
    git(&tree, &["add", "."]);
    git(&tree, &["commit", "--quiet", "-m", "all"]);
    home.passes(&format!("HEAD@{}", tree.display()));
    fs::write(tree.join("drivers/gpu/buddy_internal.h"), "#error changed\n").expect("written");
    home.fails(&tree, &["changed"]);
}

#[test]
fn errors_say_what_is_missing() {
    let home = Home::new();
    home.fails(&"7.99", &["7.99 is no series", "no folder", "no REV@PATH"]);
    fs::create_dir(home.at("empty")).expect("a folder");
    home.fails(&home.at("empty"), &["drivers/gpu/buddy.c", "drivers/gpu/drm/drm_buddy.c"]);
    fs::write(home.at("tarball.tar"), "").expect("it is written");
    home.fails(&home.at("tarball.tar"), &["is a file", "./setup --from"]);
    home.fails(&format!("HEAD@{}", home.at("nowhere").display()), &["there is no folder"]);
    let tree = home.tree("linux");
    fs::remove_file(tree.join("include/linux/gpu_buddy.h")).expect("it is removed");
    home.fails(&tree, &["include/linux/gpu_buddy.h"]);

    let tree = home.tree("new-header");
    Home::edit(&tree, "#include", "#include <linux/no_such_header.h>\n#include");
    home.fails(&tree, &["no_such_header.h", "UPGRADE.md"]);
    let tree = home.tree("new-function");
    Home::edit(
        &tree,
        "list_del(&block->link);",
        "list_del(&block->link); no_such_function(block);",
    );
    home.fails(&tree, &["no_such_function"]);
    let tree = home.tree("compiler");
    let mut command = home.command(&[&"kunit", &"--kernel", &tree]);
    let output = command.env("CC", "no-such-compiler").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no-such-compiler"), "{}", text(&output.stderr));
}

/// A tree of today's form may carry a file of the older name that only prints.
#[test]
fn todays_form_counts_where_both_are_there() {
    let home = Home::new();
    let tree = home.tree("linux");
    for path in ["drivers/gpu/drm/drm_buddy.c", "include/drm/drm_buddy.h"] {
        fs::create_dir_all(tree.join(path).parent().expect("a folder")).expect("a folder");
        fs::write(tree.join(path), "#error not this one\n").expect("it is written");
    }
    home.passes(&tree);
}

/// Other systems carry the allocator elsewhere, and have neither the tree nor the suite of
/// Linux: what is lacking is lent by the kernel that is compiled in.
#[rstest]
#[case::drm_kmod("drivers/gpu/drm/drm_buddy.c", "include/drm/drm_buddy.h")]
#[case::openbsd("sys/dev/pci/drm/drm_buddy.c", "sys/dev/pci/drm/include/drm/drm_buddy.h")]
fn other_systems_layouts_are_known(#[case] allocator: &str, #[case] header: &str) {
    let from = project().join("vendor/linux/6.12.95");
    if !from.is_dir() {
        eprintln!("NOT TESTED: ./setup --series 6.12.95 brings the older form");
        return;
    }
    let home = Home::new();
    let tree = home.at("bsd");
    for (path, name) in
        [(allocator, "drivers/gpu/drm/drm_buddy.c"), (header, "include/drm/drm_buddy.h")]
    {
        fs::create_dir_all(tree.join(path).parent().expect("a folder")).expect("a folder");
        fs::copy(from.join(name), tree.join(path)).expect("it is copied");
    }
    home.fails(&tree, &["no KUnit suite"]);
    let output = home.command(&[&"info", &"--kernel", &tree]).output().expect("it runs");
    assert!(text(&output.stdout).contains("lib/rbtree.c"), "{}", text(&output.stdout));
    let mut command = home.command(&[&"generate", &"--ops", &"100", &"--kernel", &tree]);
    assert_eq!(command.output().expect("it runs").status.code(), Some(0));
}

/// Names with blanks and quotes.
#[test]
fn odd_names_are_taken() {
    let home = Home::new();
    let tree = home.tree("a tree's \"name\"");
    fs::create_dir(home.at("a 'tmp'")).expect("a folder");
    let mut command = home.command(&[&"kunit", &"--filter", &"*limit*", &"--kernel", &tree]);
    let output = command.env("TMPDIR", home.at("a 'tmp'")).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let left: Vec<_> = home.at("a 'tmp'").read_dir().expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}
