//! Kernels that are compiled and loaded while the program runs: trees of each
//! generation, the cache, and what can go wrong.
//!
//! Most tests share a cache that is empty when they begin, so that not each of them
//! compiles everything.

mod common;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use common::{kernel_tree, project};
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

/// A folder with what the tests share: a compiler, and a cache.
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

/// What it printed; it must have passed without a word on stderr.
#[track_caller]
fn passes(command: &mut Command) -> String {
    let output = output(command);
    assert_eq!(text(&output.stderr), "", "{}", text(&output.stdout));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    text(&output.stdout)
}

/// What it says on stderr; it must print nothing else, and exit with 2.
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

/// What a command has compiled, and how often it linked.
#[derive(Debug, Default, PartialEq)]
struct Work {
    units: BTreeSet<String>,
    links: usize,
}

/// Runs a command that must pass, and says what it had to compile.
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

/// Runs a test in a process of its own, where it may open modules: they are compiled
/// into the cache that the tests share.
fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var("MODULE_TEST").is_ok_and(|name| name == test) {
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

// --- trees --------------------------------------------------------------------

#[rstest]
#[case("7.3")]
#[case("7.2")]
#[case("6.12")]
#[case("6.12.95")]
#[case("6.1")]
fn each_generation_passes_its_own_suite(#[case] name: &str) {
    if series(name).is_none() {
        return;
    }
    let ktap = passes(kunit(name).env_remove("CFLAGS"));
    assert!(ktap.contains(" fail:0 ") && !ktap.contains("pass:0"), "{ktap}");
    let info = passes(&mut info(name));
    assert!(info.contains(&format!("series: {name}\n")), "{info}");
}

#[test]
fn of_two_forms_the_gpu_form_is_taken() {
    let tree = Tree::new();
    tree.write("drivers/gpu/drm/drm_buddy.c", "#include <drm/drm_buddy.h>\nint only_prints;\n");
    tree.write("include/drm/drm_buddy.h", "#include <linux/gpu_buddy.h>\n");
    let info = passes(&mut info(tree.path()));
    assert!(info.contains(ALLOCATOR) && !info.contains("drm_buddy"), "{info}");
}

#[test]
fn openbsds_layout_is_known() {
    let Some(linux) = series("6.12.95") else { return };
    let tree = folder();
    for (from, to) in [
        ("drivers/gpu/drm/drm_buddy.c", "sys/dev/pci/drm/drm_buddy.c"),
        ("include/drm/drm_buddy.h", "sys/dev/pci/drm/include/drm/drm_buddy.h"),
    ] {
        write(&tree.path().join(to), fs::read(linux.join(from)).expect(from));
    }
    let info = passes(&mut info(tree.path()));
    assert!(info.contains("sys/dev/pci/drm/drm_buddy.c"), "{info}");
    let (_, lent) = info.split_once("files that the tree lacks").expect(&info);
    assert!(lent.contains("lib/rbtree.c"), "{info}");
    fails(&mut kunit(tree.path()), &["the tree has no KUnit suite"]);
}

#[test]
fn a_tree_without_suite_and_support_borrows() {
    let Some(linux) = series("6.1") else { return };
    let tree = folder();
    for file in ["drivers/gpu/drm/drm_buddy.c", "include/drm/drm_buddy.h"] {
        write(&tree.path().join(file), fs::read(linux.join(file)).expect(file));
    }
    let listed = passes(&mut info(tree.path()));
    let (files, lent) = listed.split_once("files that the tree lacks").expect(&listed);
    for file in ["lib/rbtree.c", "include/linux/rbtree.h", "lib/random32.c"] {
        assert!(lent.contains(file) && !files.contains(file), "{listed}");
    }
    assert!(files.contains("drm_buddy.c"), "{listed}");
    fails(&mut kunit(tree.path()), &[&tree.path().display().to_string(), "no KUnit suite"]);
}

#[rstest]
#[case::missing("7.0.0", &["7.0.0 is neither a series", "nor a folder, nor REV@PATH", "./setup"])]
#[case::empty("", &["neither a series"])]
#[case::file("Cargo.toml", &["Cargo.toml is a file", "./setup --from"])]
#[case::other_folder("src", &["src: it is not a kernel tree", ALLOCATOR])]
#[case::no_folder("v7.2@nowhere", &["there is no folder nowhere"])]
#[case::cache_folder("modules", &["modules is neither a series"])]
fn what_is_no_kernel_is_named(#[case] kernel: &str, #[case] says: &[&str]) {
    fails(info(kernel).current_dir(project()), says);
}

#[test]
fn a_missing_or_unreadable_file_is_named() {
    let tree = Tree::new();
    fs::remove_file(tree.path().join(HEADER)).expect("it was there");
    fails(&mut info(tree.path()), &[ALLOCATOR, &format!("no {HEADER}")]);
    // A folder cannot be read, even by root.
    fs::create_dir(tree.path().join(HEADER)).expect("a folder");
    fails(&mut info(tree.path()), &[HEADER, "cannot be read", "directory"]);
}

#[test]
fn of_the_revisions_that_setup_keeps_the_newest_is_taken() {
    let cache = folder();
    for version in ["9.9.2-1", "9.9.10-1", "9.9.9-1", ".new.1"] {
        let tree = cache.path().join("gpu-buddy/9.9").join(version);
        fs::create_dir_all(&tree).expect("a folder");
        copy(&kernel_tree(), &tree);
        write(&tree.join("REVISION"), format!("series: 9.9\nversion: {version}\n"));
    }
    let info = passes(info("9.9").env("XDG_CACHE_HOME", cache.path()));
    assert!(info.contains("version: 9.9.10-1"), "{info}");
}

// --- paths --------------------------------------------------------------------

#[rstest]
#[case::spaces(b"a  tree")]
#[case::quotes(b"it's \"quoted\" $HOME `id`")]
#[case::newline(b"two\nlines")]
#[case::at(b"me@home")]
#[case::no_utf8(b"caf\xe9")]
#[case::long(&[b'x'; 255])]
fn odd_paths_work(#[case] name: &[u8]) {
    let place = folder();
    let odd = place.path().join(OsStr::from_bytes(name));
    fs::create_dir(&odd).expect("a folder");
    let (tree, cache) = (odd.join("linux"), odd.join("cache"));
    fs::create_dir(&tree).expect("a folder");
    copy(&kernel_tree(), &tree);
    let original = fs::read(tree.join(ALLOCATOR)).expect(ALLOCATOR);
    write(&tree.join(ALLOCATOR), [b"/* ", name, b" */\n", &original[..]].concat());
    let status = Command::new("cp").arg("-r").arg(warm_cache().path()).arg(&cache).status();
    assert!(status.expect("cp runs").success());

    let mut command = kunit(&tree);
    command.args(["--filter", "*_limit"]).env("XDG_CACHE_HOME", &cache).env("TMPDIR", &odd);
    assert_eq!(work(&mut command), only(&[ALLOCATOR]));
    assert_eq!(work(&mut command), NOTHING);
}

#[test]
fn an_odd_folder_for_temporary_files_works() {
    let place = folder();
    let odd = place.path().join(OsStr::from_bytes(b"it's\n\"quoted\"\xe9"));
    fs::create_dir(&odd).expect("a folder");
    let mut command = kunit(kernel_tree());
    command.env_remove("XDG_CACHE_HOME").env_remove("HOME").env("TMPDIR", &odd);
    passes(command.args(["--filter", "*_limit"]));
    assert_eq!(odd.read_dir().expect("a folder").count(), 0, "it is left as it was");
}

#[test]
fn links_and_relative_paths_lead_to_a_tree() {
    let place = folder();
    symlink(kernel_tree(), place.path().join("link")).expect("a link");
    passes(&mut info(place.path().join("link")));
    passes(info("link").current_dir(place.path()));
    passes(info("./link/").current_dir(place.path()));
    passes(info(".").current_dir(kernel_tree()));
}

#[test]
fn a_path_that_is_too_long_is_an_error() {
    let long = "x".repeat(300);
    fails(&mut info(&long), &["File name too long"]);
    fails(&mut info(format!("/{}", "x/".repeat(3000))), &["File name too long"]);
    // What cannot be a folder is no reason to give up.
    let output = output(info(kernel_tree()).env("XDG_CACHE_HOME", format!("/tmp/{long}")));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("cannot be kept"));
}

// --- git ----------------------------------------------------------------------

#[test]
fn a_revision_is_read_without_a_checkout() {
    let tree = Tree::new();
    tree.commit();
    let first = tree.git(&["rev-parse", "HEAD"]);
    tree.git(&["tag", "-a", "v1", "-m", "one"]);
    tree.plant("BUG_ON(1);");
    tree.git(&["commit", "-q", "-a", "-m", "planted"]);
    tree.write(ALLOCATOR, "not committed");
    let before = (tree.git(&["status", "--porcelain"]), tree.git(&["rev-parse", "HEAD"]));

    let path = tree.path().display();
    for revision in ["v1", "HEAD~1", "HEAD@{1}", "@~", "main^", "HEAD^{/all}", &first] {
        let info = passes(&mut info(format!("{revision}@{path}")));
        assert!(info.contains(&format!("commit: {first}")), "{revision}: {info}");
    }
    let ktap = output(&mut kunit(format!("@@{path}")));
    assert_eq!(ktap.status.code(), Some(1));
    assert!(text(&ktap.stdout).contains(&format!("kernel BUG at {ALLOCATOR}")));
    // No shell expands a tilde there.
    let name = tree.path().file_name().expect("a name");
    let mut command = info(format!("v1@~/{}", name.display()));
    passes(command.env("HOME", tree.path().parent().expect("a parent")));
    // As in a hook of another repository.
    passes(info(format!("v1@{path}")).env("GIT_DIR", project().join("src")));

    let after = (tree.git(&["status", "--porcelain"]), tree.git(&["rev-parse", "HEAD"]));
    assert_eq!(after, before);
    assert_eq!(tree.read(ALLOCATOR), "not committed");
}

#[test]
fn a_repository_may_be_bare_or_have_the_tree_in_a_folder() {
    let place = folder();
    let inside = place.path().join("src/my linux");
    fs::create_dir_all(&inside).expect("a folder");
    copy(&kernel_tree(), &inside);
    // Beside buddy.c, and by way of a link.
    let original = fs::read_to_string(inside.join(ALLOCATOR)).expect(ALLOCATOR);
    let included = format!("#include \"inner.h\"\n{original}");
    write(&inside.join(ALLOCATOR), included);
    write(&inside.join("drivers/gpu/real.h"), "#define INNER 1\n");
    symlink("real.h", inside.join("drivers/gpu/inner.h")).expect("a link");
    git(place.path(), &["init", "-q", "-b", "main"]);
    git(place.path(), &["add", "-A"]);
    git(place.path(), &["commit", "-q", "-m", "all"]);
    let listed = passes(&mut info(format!("main@{}", inside.display())));
    assert!(listed.contains("  drivers/gpu/inner.h"), "{listed}");
    fails(&mut info(format!("main@{}", place.path().display())), &["not a kernel tree", ALLOCATOR]);

    let tree = Tree::new();
    tree.commit();
    let bare = folder();
    git(tree.path(), &["clone", "-q", "--bare", ".", &bare.path().display().to_string()]);
    passes(&mut info(format!("main@{}", bare.path().display())));
}

#[test]
fn what_is_wrong_with_a_revision_is_said() {
    let tree = Tree::new();
    tree.commit();
    let path = tree.path().display().to_string();
    for revision in ["v9", "-v9", "--help", "main:drivers", "main\nx", "$(id)"] {
        let no_revision = format!("has no revision {revision}");
        fails(&mut gpu_buddy(["info", &format!("--kernel={revision}@{path}")]), &[&no_revision]);
    }
    let other = folder();
    let name = format!("main@{}", other.path().display());
    fails(info(name).env("GIT_CEILING_DIRECTORIES", "/"), &["not a git repository"]);
    let name = format!("main@{path}");
    fails(info(name).env("PATH", other.path()), &["git cannot be run", "check the revision out"]);
}

// --- what is compiled when -----------------------------------------------------

#[test]
fn only_what_has_changed_is_compiled() {
    let cache = warm_cache();
    let tree = Tree::new();
    tree.write("drivers/gpu/inner.inc", "/* one */\n");
    let edited = tree.read(ALLOCATOR);
    tree.write(ALLOCATOR, format!("#include \"inner.inc\"\n{edited}"));
    let everything = work(info(tree.path()).env("XDG_CACHE_HOME", cache.path())).units;
    assert!(everything.len() > 5, "{everything:?}");
    let works = || work(info(tree.path()).env("XDG_CACHE_HOME", cache.path()));
    assert_eq!(works(), NOTHING);

    let edited = tree.read(ALLOCATOR);
    tree.write(ALLOCATOR, &edited);
    assert_eq!(works(), NOTHING, "touched");
    // Bytes that are no UTF-8 count as well.
    for byte in [0xe8, 0xe9] {
        tree.write(ALLOCATOR, [edited.as_bytes(), b"/* caf", &[byte], b" */\n"].concat());
        assert_eq!(works(), only(&[ALLOCATOR]), "{byte:#x}");
    }
    tree.write(ALLOCATOR, &edited);
    assert_eq!(works(), NOTHING, "as it was");
    let suite = tree.read(SUITE);
    tree.write(SUITE, format!("{suite}/* an edit */\n"));
    assert_eq!(works(), only(&["../shim/module/kunit_suite.c"]));
    tree.write(SUITE, suite);
    // It would matter to a unit that includes it.
    tree.write(ALLOCATOR, format!("#if 0\n#include \"tests/gpu_buddy_test.c\"\n#endif\n{edited}"));
    works();
    for file in [SUITE, "drivers/gpu/inner.inc", HEADER] {
        let text = tree.read(file);
        tree.write(file, format!("{text}/* an edit */\n"));
        assert_eq!(works().units, everything, "{file}");
        tree.write(file, text);
    }
}

#[test]
fn headers_from_elsewhere_are_read_each_time() {
    let place = folder();
    let header = place.path().join("linux/elsewhere.h");
    write(&header, "#define ELSEWHERE 1\n");
    let tree = Tree::new();
    tree.prepend(ALLOCATOR, "#include <linux/elsewhere.h>");
    tree.plant("BUG_ON(ELSEWHERE == 2);");
    let mut command = kunit(tree.path());
    command.args(["--filter", "*_limit"]).env("CFLAGS", format!("-I{}", place.path().display()));
    passes(&mut command);
    passes(&mut command);
    write(&header, "#define ELSEWHERE 2\n");
    let output = output(&mut command);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("kernel BUG"));
    // No kernel is built with this.
    let mut command = info(tree.path());
    fails(command.env("CPATH", place.path()), &["linux/elsewhere.h has no stand-in"]);
}

// --- compilers ----------------------------------------------------------------

#[test]
fn the_environment_names_the_compiler_and_flags() {
    let cache = warm_cache();
    let tree = Tree::new();
    tree.plant("#ifdef PLANTED\nBUG_ON(PLANTED);\n#endif");
    let run = |cc: &str, cflags: &str| {
        let mut command = kunit(tree.path());
        command.args(["--filter", "*_limit"]).env("XDG_CACHE_HOME", cache.path());
        let output = output(command.env("CC", cc).env("CFLAGS", cflags));
        assert_eq!(text(&output.stderr), "");
        output.status.code()
    };
    let cc = SHARED.join("cc").display().to_string();
    assert_eq!(run(&cc, ""), Some(0));
    // A word, and a compiler that is found by a relative path.
    fs::copy(SHARED.join("cc"), tree.path().join("mycc")).expect("a copy");
    let relative = |cflags: &str| {
        let mut command = kunit(tree.path());
        command.args(["--filter", "*_limit"]).current_dir(tree.path());
        let output = output(command.env("CC", " env  ./mycc ").env("CFLAGS", cflags));
        assert_eq!(text(&output.stderr), "");
        output.status.code()
    };
    assert_eq!(relative("-O1 -DPLANTED=1"), Some(1));
    // Another value is another module.
    assert_eq!(relative("-O1  -DPLANTED=0"), Some(0));
}

#[test]
fn a_compiler_that_changes_is_noticed() {
    let Some(small) = series("6.1") else { return };
    let (cache, place) = (folder(), folder());
    let cc = place.path().join("cc");
    for name in ["cc-1", "cc-2"] {
        let version = "[ \"$1\" != --version ] || exec cat \"${0%/*}/version\"";
        let text = RECORDER.replacen('\n', &format!("\n# {name}\n{version}\n"), 1);
        script(&place.path().join(name), &text);
    }
    let works = || {
        let mut command = info(&small);
        work(command.env("CC", &cc).env("XDG_CACHE_HOME", cache.path())).links
    };
    let version = |text: &str| write(&place.path().join("version"), text);
    version("1");
    symlink("cc-1", &cc).expect("a link");
    assert_eq!((works(), works()), (1, 0));
    // A link that leads to another one, as with Debian's alternatives.
    fs::remove_file(&cc).expect("it was there");
    symlink("cc-2", &cc).expect("a link");
    assert_eq!((works(), works()), (1, 0));
    // A wrapper around another one.
    version("2");
    assert_eq!((works(), works()), (1, 0));
}

#[test]
fn clang_compiles_it_too() {
    if Command::new("clang").arg("--version").output().is_err() {
        eprintln!("NOT TESTED: clang is not installed");
        return;
    }
    let ktap = passes(kunit(kernel_tree()).env("CC", "clang"));
    assert!(ktap.contains(" fail:0 "), "{ktap}");
    let tree = Tree::new();
    tree.prepend(ALLOCATOR, "#include <linux/nonexistent.h>");
    let says = ["linux/nonexistent.h has no stand-in", "UPGRADE.md"];
    fails(kunit(tree.path()).env("CC", "clang"), &says);
}

#[rstest]
#[case::no_such_program("nothing-like-that", "nothing-like-that: No such file")]
#[case::no_such_path("/nowhere/cc -m64", "/nowhere/cc: No such file")]
#[case::no_program("/", "/: Permission denied")]
fn a_compiler_that_is_not_there_is_named(#[case] cc: &str, #[case] says: &str) {
    let says = [says, "A C compiler is needed; the environment variable CC can name one"];
    fails(info(kernel_tree()).env("CC", cc), &says);
}

#[test]
fn without_cc_another_compiler_is_found() {
    let place = folder();
    symlink("/usr/bin/gcc", place.path().join("gcc")).expect("a link");
    // What gcc itself needs it finds by its own path.
    let Some(small) = series("6.1") else { return };
    let mut command = info(small);
    let output = output(command.env_remove("CC").env("PATH", place.path()));
    assert!(!text(&output.stderr).contains("No such file or directory (os error"), "{output:?}");
}

/// A compiler that does this instead of compiling.
fn instead(script_text: &str) -> TempDir {
    let place = folder();
    let text =
        format!("#!/bin/sh\ncase \"$*\" in *' -c '*) {script_text} ;; esac\nexec cc \"$@\"\n");
    script(&place.path().join("cc"), &text);
    place
}

#[rstest]
#[case::exit("exit 1", "gave no reason (exit status: 1)")]
#[case::signal("kill -9 $$", "gave no reason (signal: 9")]
fn a_compiler_that_fails_without_a_word_is_an_error(#[case] does: &str, #[case] says: &str) {
    let place = instead(does);
    let mut command = info(kernel_tree());
    fails(command.env("CC", place.path().join("cc")), &["does not compile", says]);
}

// What other compilers and linkers say.
#[rstest]
#[case::clang("b.c:1:10: fatal error: 'linux/x.h' file not found", "linux/x.h has no stand-in")]
#[case::clang_function("error: call to undeclared function 'f_x'; ISO C99", "have f_x.")]
#[case::clang_name("error: use of undeclared identifier 'F_X'", "have F_X.")]
#[case::gcc_14("error: implicit declaration of function 'f_x' [-W", "have f_x.")]
#[case::type_name("error: unknown type name 'x_t'", "have x_t.")]
#[case::lld("ld.lld: error: undefined symbol: f_x", "have f_x.")]
#[case::full("error: error writing to x.s: No space left on device", "TMPDIR")]
#[case::other("error: expected ';' before '}' token", "UPGRADE.md")]
fn what_a_compiler_says_is_explained(#[case] message: &str, #[case] says: &str) {
    let place = instead(&format!("echo \"{message}\" >&2; exit 1"));
    let mut command = info(kernel_tree());
    fails(command.env("CC", place.path().join("cc")), &[message, says]);
}

// --- errors -------------------------------------------------------------------

/// The number of the line with these words.
fn line_of(text: &str, words: &str) -> usize {
    text.lines().position(|line| line.contains(words)).expect(words) + 1
}

#[test]
fn a_compile_error_has_the_path_in_the_tree() {
    let tree = Tree::new();
    tree.plant("int planted = ;");
    let line = line_of(&tree.read(ALLOCATOR), "int planted");
    let name = tree.path().display();
    let stderr = fails(
        &mut kunit(tree.path()),
        &[&format!("error: {name} does not compile:"), &format!("\n{ALLOCATOR}:{line}:")],
    );
    assert!(!stderr.contains(".work-") && !stderr.contains("../"), "{stderr}");

    let tree = Tree::new();
    tree.prepend(HEADER, "int planted = ;");
    let stderr = fails(&mut kunit(tree.path()), &[&format!("{HEADER}:1:15: error")]);
    assert!(!stderr.contains(".work-") && !stderr.contains("./"), "{stderr}");
}

#[test]
fn a_header_without_a_stand_in_is_named() {
    let tree = Tree::new();
    tree.prepend(ALLOCATOR, "#include <linux/nonexistent.h>");
    let says = [
        &format!("{ALLOCATOR}:1:"),
        "linux/nonexistent.h has no stand-in under vendor/shim",
        "UPGRADE.md",
    ];
    fails(&mut kunit(tree.path()), &says);
    // Whatever the language of the machine.
    fails(kunit(tree.path()).env("LC_ALL", "de_DE.UTF-8").env("LANGUAGE", "de"), &says);
}

#[rstest]
#[case::undeclared("no_such_function(mm);")]
#[case::declared("extern int no_such_function(void *); no_such_function(mm);")]
#[case::constant("mm->size = no_such_function;")]
fn a_function_without_a_stand_in_is_named(#[case] statement: &str) {
    let tree = Tree::new();
    tree.plant(statement);
    fails(&mut kunit(tree.path()), &["gpu_buddy_init", "have no_such_function", "UPGRADE.md"]);
}

#[test]
fn a_file_of_a_patch_is_found_beside_the_allocator() {
    let tree = Tree::new();
    tree.prepend(ALLOCATOR, "#include \"buddy_internal.h\"");
    tree.plant("BUG_ON(INTERNAL != 1);");
    fails(&mut kunit(tree.path()), &["buddy_internal.h", "UPGRADE.md"]);
    tree.write("drivers/gpu/buddy_internal.h", "#include \"../more.h\"\n");
    tree.write("drivers/more.h", "#define INTERNAL 1\n");
    tree.commit();
    let filter = ["--filter", "*_limit"];
    passes(kunit(tree.path()).args(filter));
    tree.write("drivers/more.h", "#define INTERNAL 2\n");
    assert_eq!(output(kunit(tree.path()).args(filter)).status.code(), Some(1));
    passes(kunit(format!("HEAD@{}", tree.path().display())).args(filter));
}

#[rstest]
#[case::abi("{ 99 }", "the ABI number is 99, and 2 is needed")]
#[case::size("{ 2, 5 }", "the size of gpu_buddy_module is 5, and")]
fn a_module_of_another_abi_is_refused(#[case] table: &str, #[case] says: &str) {
    let place = folder();
    let cc = place.path().join("cc");
    script(
        &cc,
        &format!(
            "#!/bin/sh\ncase \"$*\" in *-shared*)\n\
             echo 'unsigned gpu_buddy_module[64] = {table};' |\n\
             cc -shared -x c -o ../module.so -; exit ;; esac\nexec {} \"$@\"\n",
            SHARED.join("cc").display()
        ),
    );
    let stderr = fails(info(kernel_tree()).env("CC", &cc), &[says]);
    assert!(stderr.contains(".so: "), "{stderr}");
}

// --- the cache ----------------------------------------------------------------

fn cut_short(path: &Path) {
    let whole = fs::read(path).expect("a file");
    fs::write(path, &whole[..whole.len() / 2]).expect("a file");
}

fn flip_a_byte(path: &Path) {
    let mut whole = fs::read(path).expect("a file");
    let middle = whole.len() / 2;
    whole[middle] ^= 1;
    fs::write(path, whole).expect("a file");
}

fn empty(path: &Path) {
    fs::write(path, "").expect("a file");
}

fn link_elsewhere(path: &Path) {
    fs::rename(path, path.with_extension("elsewhere")).expect("a new name");
    symlink(path.with_extension("elsewhere"), path).expect("a link");
}

/// What is no object, under a name that has its digest.
fn replace(path: &Path) {
    fs::write(path, "no object").expect("a file");
    let output = output(Command::new("sha256sum").arg(path));
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let (key, rest) = name.split_once('-').expect("a key and a digest");
    let (_, ending) = rest.split_once('.').expect("an ending");
    let name = format!("{key}-{}.{ending}", &text(&output.stdout)[..32]);
    fs::rename(path, path.with_file_name(name)).expect("a new name");
}

#[rstest]
#[case::cut_short(cut_short)]
#[case::flipped(flip_a_byte)]
#[case::empty(empty)]
#[case::link(link_elsewhere)]
#[case::replaced(replace)]
fn a_broken_module_is_linked_again(#[case] damage: fn(&Path)) {
    let cache = warm_cache();
    kept(cache.path(), ".so").iter().for_each(|path| damage(path));
    let mut command = kunit(kernel_tree());
    command.args(["--filter", "*_limit"]).env("XDG_CACHE_HOME", cache.path());
    assert_eq!(work(&mut command), only(&[]));
    assert_eq!(work(&mut command), NOTHING);
}

#[rstest]
#[case::flipped(flip_a_byte, 1)]
// That becomes clear as it is linked.
#[case::replaced(replace, 2)]
fn a_broken_object_is_compiled_again(#[case] damage: fn(&Path), #[case] links: usize) {
    let cache = warm_cache();
    kept(cache.path(), ".so").iter().for_each(|path| fs::remove_file(path).expect("a file"));
    kept(cache.path(), ".o").iter().for_each(|path| damage(path));
    let mut command = info(kernel_tree());
    let again = work(command.env("XDG_CACHE_HOME", cache.path()));
    assert!(again.units.contains(ALLOCATOR) && again.units.len() > 5, "{again:?}");
    assert_eq!(again.links, links);
    assert_eq!(work(&mut command), NOTHING);
}

#[test]
fn several_processes_share_a_cache() {
    let cache = folder();
    let commands: Vec<_> = (0..3)
        .map(|_| {
            let mut command = kunit(kernel_tree());
            command.args(["--filter", "*_limit"]).env("XDG_CACHE_HOME", cache.path());
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
        })
        .collect();
    for child in commands {
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(text(&output.stderr), "");
        assert_eq!(output.status.code(), Some(0));
    }
    let all = kept(cache.path(), "");
    assert_eq!(all.len(), kept(cache.path(), ".o").len() + kept(cache.path(), ".so").len());
    assert_eq!(work(info(kernel_tree()).env("XDG_CACHE_HOME", cache.path())), NOTHING);
}

#[test]
fn the_cache_is_bounded() {
    let cache = warm_cache();
    let modules = cache.path().join("gpu-buddy/modules");
    let hours = |hours: u64| SystemTime::now() - Duration::from_secs(60 * 60 * hours);
    let big = |name: &str, age| {
        let file = File::create(modules.join(name)).expect("a file");
        file.set_len(40 << 20).expect("room");
        file.set_modified(hours(age)).expect("a time");
    };
    let name = |digit: &str| format!("{0}-{0}.so", digit.repeat(32));
    // What is used stays, however old it is.
    let old = kept(cache.path(), "o");
    for path in &old {
        File::open(path).and_then(|file| file.set_modified(hours(5))).expect("a time");
    }
    let base = || work(info(kernel_tree()).env("XDG_CACHE_HOME", cache.path()));
    assert_eq!(base(), NOTHING);
    big(&name("a"), 3);
    big(&name("b"), 2);
    // Files that are not of the cache's making are not its to remove.
    big("notes.txt", 4);
    for (name, age) in [(".work-left", 2), (".work-used", 0)] {
        fs::create_dir(modules.join(name)).expect("a folder");
        write(&modules.join(name).join("tree/file"), "");
        let folder = File::open(modules.join(name)).expect("a folder");
        folder.set_modified(hours(age)).expect("a time");
    }
    let tree = Tree::new();
    tree.prepend(ALLOCATOR, "/* bounded */");
    passes(info(tree.path()).env("XDG_CACHE_HOME", cache.path()));
    let there = |name: &str| modules.join(name).exists();
    assert!(!there(&name("a")) && there(&name("b")) && there("notes.txt"));
    assert!(!there(".work-left") && there(".work-used"));
    assert!(old.iter().any(|path| !path.exists()));
    assert_eq!(base(), NOTHING);
    assert_eq!(work(info(tree.path()).env("XDG_CACHE_HOME", cache.path())), NOTHING);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("permissions");
}

#[test]
fn the_folder_is_the_users_alone() {
    // Whatever the umask, and whatever ./setup has made.
    let cache = folder();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_gpu-buddy"), "info"]);
    command.arg("--kernel").arg(kernel_tree()).env("CC", SHARED.join("cc"));
    passes(command.env("XDG_CACHE_HOME", cache.path().join("new")));
    let ours = cache.path().join("new/gpu-buddy");
    assert_eq!((mode(&ours), mode(&ours.join("modules"))), (0o700, 0o700));

    let cache = warm_cache();
    let ours = cache.path().join("gpu-buddy");
    chmod(&ours, 0o777);
    chmod(&ours.join("modules"), 0o755);
    assert_eq!(work(info(kernel_tree()).env("XDG_CACHE_HOME", cache.path())), NOTHING);
    assert_eq!((mode(&ours), mode(&ours.join("modules"))), (0o755, 0o700));

    chmod(&ours.join("modules"), 0o770);
    let says = [&*ours.join("modules").display().to_string(), "others may write", "chmod go-w"];
    fails(info(kernel_tree()).env("XDG_CACHE_HOME", cache.path()), &says);
    assert_eq!(mode(&ours.join("modules")), 0o770);
}

#[test]
fn a_folder_of_somebody_else_is_refused() {
    if !is_root() {
        eprintln!("NOT TESTED: only root can make a folder somebody else's");
        return;
    }
    let cache = warm_cache();
    let ours = cache.path().join("gpu-buddy");
    let says = ["belongs to another user", "XDG_CACHE_HOME can name a folder of your own"];
    let chown =
        |path: &Path, user| std::os::unix::fs::lchown(path, Some(user), None).expect("chown");
    for path in [&ours, &ours.join("modules")] {
        chown(path, 1);
        let name = path.display().to_string();
        let says = [&[&*name], &says[..]].concat();
        fails(info(kernel_tree()).env("XDG_CACHE_HOME", cache.path()), &says);
        chown(path, 0);
    }
    // Nor a link that somebody else has put there.
    let other = folder();
    symlink(&ours, other.path().join("gpu-buddy")).expect("a link");
    assert_eq!(work(info(kernel_tree()).env("XDG_CACHE_HOME", other.path())), NOTHING);
    chown(&other.path().join("gpu-buddy"), 1);
    fails(info(kernel_tree()).env("XDG_CACHE_HOME", other.path()), &says);
    // Nor a file.
    for path in kept(cache.path(), "o") {
        chown(&path, 1);
    }
    let again = work(info(kernel_tree()).env("XDG_CACHE_HOME", cache.path()));
    assert!(again.links == 1 && again.units.len() > 5, "{again:?}");
}

#[rstest]
#[case::nothing(None)]
#[case::relative(Some("cache"))]
fn without_a_home_it_works(#[case] cache: Option<&str>) {
    let place = folder();
    let mut command = info(kernel_tree());
    command.env_remove("HOME").env_remove("XDG_CACHE_HOME").current_dir(place.path());
    cache.map(|cache| command.env("XDG_CACHE_HOME", cache));
    passes(command.env("TMPDIR", place.path()));
    assert_eq!(place.path().read_dir().expect("a folder").count(), 0);
}

#[rstest]
#[case::no_folder("/dev/null")]
#[case::cannot_be_made("/proc/nothing")]
fn with_a_home_that_cannot_be_written_it_works(#[case] home: &str) {
    let mut command = info(kernel_tree());
    let output = output(command.env("HOME", home).env_remove("XDG_CACHE_HOME"));
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("what is compiled cannot be kept"), "{stderr}");
}

/// Runs a script in which mounts are its own. `None` where that is not allowed.
fn with_mounts(script: &str, arguments: &[&OsStr]) -> Option<Output> {
    let unshared = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script, "sh"]).args(arguments);
        command.env("CC", SHARED.join("cc")).env("CFLAGS", QUICK);
        command
    };
    let mount = "mount -t tmpfs none /tmp";
    if !unshared(mount).output().is_ok_and(|output| output.status.success()) {
        eprintln!("NOT TESTED: nothing can be mounted here");
        return None;
    }
    Some(output(&mut unshared(script)))
}

#[test]
fn on_a_home_that_is_read_only_it_works() {
    let cache = warm_cache();
    let tree = Tree::new();
    tree.prepend(ALLOCATOR, "/* read-only */");
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && \
                  XDG_CACHE_HOME=$1 \"$2\" info --kernel \"$3\" && \
                  XDG_CACHE_HOME=$1 \"$2\" info --kernel \"$4\"";
    let tree_in = kernel_tree();
    let arguments = [
        cache.path().as_os_str(),
        OsStr::new(env!("CARGO_BIN_EXE_gpu-buddy")),
        tree_in.as_os_str(),
        tree.path().as_os_str(),
    ];
    let Some(output) = with_mounts(script, &arguments) else { return };
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("cannot be kept"), "{stderr}");
}

#[rstest]
// No room in the cache: the folder for temporary files will do.
#[case::cache("60k", "1g", &[])]
#[case::both("60k", "60k", &["No space left on device", "TMPDIR"])]
// There is room for the files, and none for what is compiled.
#[case::tight("60k", "700k", &["No space left on device", "TMPDIR"])]
fn a_full_disk_is_no_puzzle(#[case] cache: &str, #[case] tmp: &str, #[case] says: &[&str]) {
    let place = folder();
    for name in ["cache", "tmp"] {
        fs::create_dir(place.path().join(name)).expect("a folder");
    }
    let script = format!(
        "cd \"$1\" && mount -t tmpfs -o size={cache} none cache && \
         mount -t tmpfs -o size={tmp} none tmp && \
         XDG_CACHE_HOME=$1/cache TMPDIR=$1/tmp \"$2\" kunit --filter '*_limit' --kernel \"$3\""
    );
    let tree = kernel_tree();
    let binary = OsStr::new(env!("CARGO_BIN_EXE_gpu-buddy"));
    let arguments = [place.path().as_os_str(), binary, tree.as_os_str()];
    let Some(output) = with_mounts(&script, &arguments) else { return };
    let stderr = text(&output.stderr);
    let expected = if says.is_empty() { Some(0) } else { Some(2) };
    assert_eq!(output.status.code(), expected, "{stderr}");
    for words in says {
        assert!(stderr.contains(words), "no {words:?} in:\n{stderr}");
    }
}

#[test]
fn where_code_cannot_be_loaded_that_is_said() {
    let place = folder();
    let script = "mount -t tmpfs -o noexec none \"$1\" && \
                  XDG_CACHE_HOME=$1 \"$2\" info --kernel \"$3\"";
    let tree = kernel_tree();
    let binary = OsStr::new(env!("CARGO_BIN_EXE_gpu-buddy"));
    let arguments = [place.path().as_os_str(), binary, tree.as_os_str()];
    let Some(output) = with_mounts(script, &arguments) else { return };
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("XDG_CACHE_HOME can name a folder on another"), "{stderr}");
}

#[test]
fn the_bare_program_needs_a_compiler_and_nothing_else() {
    let place = folder();
    let path = |name: &str| place.path().join(name);
    for name in ["home", "empty", "linux"] {
        fs::create_dir(path(name)).expect("a folder");
    }
    fs::copy(env!("CARGO_BIN_EXE_gpu-buddy"), path("empty/gpu-buddy")).expect("a copy");
    copy(&kernel_tree(), &path("linux"));
    let mut command = Command::new(path("empty/gpu-buddy"));
    command.arg("kunit").arg("--kernel").arg(path("linux")).current_dir(path("empty"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let ktap = passes(command.env("HOME", path("home")));
    assert!(ktap.contains(" fail:0 "), "{ktap}");
    assert!(path("home/.cache/gpu-buddy/modules").is_dir());
    assert_eq!(path("empty").read_dir().expect("a folder").count(), 1);
}

// --- several modules in one process -------------------------------------------

/// The case of a suite that makes one allocator.
fn limit(module: Module) -> Case {
    let cases = Suite::of(module).expect("a suite").cases();
    cases.into_iter().find(|case| case.name().ends_with("_limit")).expect("the case")
}

fn log(module: Module) -> String {
    let result = limit(module).run(Some(1));
    assert!(result.passed(), "{:?}", result.failures);
    result.log.iter().map(|line| format!("{line}\n")).collect()
}

const COUNTS: &str = "static int calls; pr_info(\"call %d\\n\", ++calls);";

#[test]
fn each_module_has_its_own_state() {
    alone("each_module_has_its_own_state", || {
        let (one, two) = (Tree::new(), Tree::new());
        one.plant(COUNTS);
        two.plant(COUNTS);
        two.prepend(ALLOCATOR, "/* Another digest. */");
        let (first, second) = (Module::open(one.path()), Module::open(two.path()));
        let (first, second) = (first.expect("a module"), second.expect("a module"));
        assert!(log(first).contains("call 1\n"));
        assert!(log(second).contains("call 1\n"));
        assert!(log(first).contains("call 2\n"));
        assert!(log(first).contains("call 3\n"));
        assert!(log(second).contains("call 2\n"));
        assert!(!log(Module::compiled_in()).contains("call"));
    });
}

/// Whether two are one and the same.
fn same(one: Module, two: Module) -> bool {
    one.files().as_ptr() == two.files().as_ptr()
}

#[test]
fn what_is_open_is_not_loaded_again() {
    alone("what_is_open_is_not_loaded_again", || {
        let tree = Tree::new();
        tree.plant(COUNTS);
        let open = |path: &Path| Module::open(path).expect("a module");
        let first = open(tree.path());
        assert!(log(first).contains("call 1\n"));
        assert!(same(first, open(tree.path())));
        // By another name it is the same code, with the same state.
        let place = folder();
        let link = place.path().join("link");
        symlink(tree.path(), &link).expect("a link");
        let other = open(&link);
        assert_eq!(other.name(), link.display().to_string());
        assert!(log(other).contains("call 2\n"));
        assert!(same(other, open(&link)) && same(first, open(tree.path())));

        // A tree that has changed is another module, and the old one stays.
        let before = tree.read(ALLOCATOR);
        tree.write(ALLOCATOR, before.replace("call %d", "edited %d"));
        let edited = open(tree.path());
        assert!(log(edited).contains("edited 1\n"));
        assert_ne!(edited.files(), first.files());
        assert!(log(first).contains("call 3\n"));
        tree.write(ALLOCATOR, before);
        assert!(same(first, open(tree.path())));
    });
}

#[test]
fn threads_that_open_one_tree_get_one_module() {
    alone("threads_that_open_one_tree_get_one_module", || {
        let tree = Tree::new();
        tree.prepend(ALLOCATOR, "/* threads */");
        let modules: Vec<Module> = std::thread::scope(|scope| {
            let open = || Module::open(tree.path()).expect("a module");
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(modules.iter().all(|&module| same(module, modules[0])));
        log(modules[0]);
    });
}

#[test]
fn a_bug_is_caught() {
    alone("a_bug_is_caught", || {
        let tree = Tree::new();
        tree.plant("BUG_ON(size);");
        let line = line_of(&tree.read(ALLOCATOR), "BUG_ON(size);");
        let module = Module::open(tree.path()).expect("a module");
        for _ in 0..2 {
            let failures = limit(module).run(Some(1)).failures.join("\n");
            let expected = format!("kernel BUG at {ALLOCATOR}:{line}");
            assert!(failures.contains(&expected), "{failures}");
        }
        log(Module::compiled_in());
        log(Module::open(kernel_tree()).expect("a module"));
    });
}

#[test]
fn a_failed_expectation_has_the_path_in_the_tree() {
    let tree = Tree::new();
    let suite = tree.read(SUITE);
    let case = "gpu_test_buddy_alloc_limit(struct kunit *test)\n{\n";
    assert!(suite.contains(case));
    tree.write(SUITE, suite.replacen(case, &format!("{case}KUNIT_FAIL(test, \"planted\");\n"), 1));
    let output = output(kunit(tree.path()).args(["--filter", "*_limit"]));
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains(&format!(" at {SUITE}:")), "{stdout}");
}
