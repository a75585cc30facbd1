//! The script `setup`, run in a copy of the project that holds no more than the
//! script and the manifest. Kernel trees are made up here, and apt is replaced by
//! a stub over a folder of packages, so that nothing is fetched or installed.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rstest::rstest;
use tempfile::TempDir;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");
const OPTIONAL: &str = "rust/kernel/gpu/buddy.rs";
/// Is wanted only beside that.
const PART: &str = "rust/kernel/ptr.rs";

/// Files that a tree has and that are not wanted: one of a wanted file's name in
/// another folder, and what is left of the drm form in a tree of the gpu form.
const ELSEWHERE: &str = "not this one\n";
const ONLY_PRINTS: &str = "#include <linux/gpu_buddy.h>\n";

/// Answers for one package mirror: a folder with a folder of packages per suite.
const APT_GET: &str = r#"#!/usr/bin/env bash
echo "$0 $*" >>"$MIRROR/calls"
if [[ $1 == -c ]]; then conf=${2%/*}; shift 2; fi
while [[ $1 == -q* ]]; do shift; done
suite=$(awk '{ print $(NF - 1) }' "$conf/sources.list" 2>/dev/null)
case $1 in
indextargets)
  echo 'stub:/mirror oldstable main Debian'
  echo 'stub:/security oldstable-security main Debian-Security' ;;
update)
  if [[ -e $MIRROR/offline ]]; then echo "E: Failed to fetch $suite  Could not resolve 'mirror'" >&2; exit 100; fi
  if [[ -e $MIRROR/$suite/unsigned ]]; then echo "E: The repository '$suite' is not signed." >&2; exit 100; fi
  if [[ ! -d $MIRROR/$suite ]]; then echo "E: The repository '$suite' does not have a Release file." >&2; exit 100; fi ;;
download) cp "$MIRROR/$suite/${2/=/_}.deb" . ;;
*) exit 1 ;;
esac
"#;

const APT_CACHE: &str = r#"#!/usr/bin/env bash
suite=$(awk '{ print $(NF - 1) }' "${2%/*}/sources.list")
cd "$MIRROR/$suite" || exit
case $3 in
madison)
  ls | sed -n "s/^$4_\(.*\)\.deb$/\1/p" | sort -rV | sed "s/.*/ $4 | & | $suite/" ;;
pkgnames) ls | sed -n 's/_.*\.deb$//p' ;;
esac
"#;

/// The packages of the stub are the plain tar that a real one would give.
const DPKG_DEB: &str = "#!/usr/bin/env bash\nexec cat \"$2\"\n";

/// The series that a clone knows. They are not those of the project, which change with
/// Debian; only the table of files is the same.
const DEFAULT: &str = "7.3";
const SERIES: [&str; 5] = ["7.3", "7.2", "6.12.95", "6.12", "6.1"];

fn manifest() -> String {
    let manifest = fs::read_to_string(format!("{PROJECT}/vendor/manifest.toml")).unwrap();
    let (_, files) = manifest.split_once("[files]\n").unwrap();
    let (files, _) = files.split_once("\n[[revision]]\n").unwrap();
    let mut text = format!("default = \"{DEFAULT}\"\n\n[files]\n{files}");
    for series in SERIES {
        text += &format!(
            "\n[[revision]]\nseries = \"{series}\"\nversion = \"{series}\"\n\n[revision.sha256]\n"
        );
    }
    text
}

struct Clone {
    folder: TempDir,
}

impl Clone {
    fn new() -> Self {
        let clone = Self { folder: TempDir::new().unwrap() };
        for folder in ["a clone/vendor", "tmp", "home", "mirror", "bin", "lib"] {
            fs::create_dir_all(clone.at(folder)).unwrap();
        }
        fs::copy(format!("{PROJECT}/setup"), clone.at("a clone/setup")).unwrap();
        fs::write(clone.manifest(), manifest()).unwrap();
        fs::write(clone.at("lib/libclang.so"), elf()).unwrap();
        clone.stub("apt-get", APT_GET);
        clone.stub("apt-cache", APT_CACHE);
        clone.stub("dpkg-deb", DPKG_DEB);
        clone
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn manifest(&self) -> PathBuf {
        self.at("a clone/vendor/manifest.toml")
    }

    fn vendored(&self, path: &str) -> PathBuf {
        self.at("a clone/vendor/linux").join(path)
    }

    fn revision(&self, series: &str) -> String {
        fs::read_to_string(self.vendored(series).join("REVISION")).unwrap()
    }

    /// A program that goes before the real one of this name.
    fn stub(&self, name: &str, text: &str) {
        let path = self.at("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        // A test run in the background has SIGINT ignored, and a shell leaves it so.
        let mut command = Command::new("/usr/bin/env");
        command
            .args(["--default-signal=INT,HUP,TERM"])
            .arg(self.at("a clone/setup"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{}", self.at("bin").display(), std::env::var("PATH").unwrap()))
            .env("HOME", self.at("home"))
            .env("XDG_CACHE_HOME", self.at("home/cache"))
            .env("TMPDIR", self.at("tmp"))
            .env("MIRROR", self.at("mirror"))
            .env("LIBCLANG_PATH", self.at("lib"))
            .env_remove("GPU_BUDDY_MIRROR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the script; its exit code, and what it printed to both streams.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        result(&self.command(arguments).output().unwrap())
    }

    fn succeeds(&self, arguments: &[&str]) -> String {
        let (code, text) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {text}");
        self.left_nothing();
        text
    }

    fn fails(&self, arguments: &[&str], words: &[&str]) -> String {
        let (code, text) = self.run(arguments);
        assert_eq!(code, 1, "{arguments:?}: {text}");
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
        self.left_nothing();
        text
    }

    /// No scratch folder, and none that is half filled.
    fn left_nothing(&self) {
        assert_eq!(names(&self.at("tmp")), [""; 0]);
        for folder in [self.vendored(""), self.at("home/cache/gpu-buddy/7.3")] {
            assert!(names(&folder).iter().all(|name| !name.starts_with('.')), "{folder:?}");
        }
    }

    /// A tree of the gpu form; its text is the same for equal `salt`.
    fn tree(&self, salt: &str) -> BTreeMap<String, String> {
        let mut tree = self.tree_of_form("gpu", "7.3.4", salt);
        for path in ["drivers/gpu/drm/drm_buddy.c", "include/drm/drm_buddy.h"] {
            tree.insert(path.into(), ONLY_PRINTS.into());
        }
        tree
    }

    fn drm_tree(&self, salt: &str) -> BTreeMap<String, String> {
        self.tree_of_form("drm", "6.12.95", salt)
    }

    fn tree_of_form(&self, form: &str, version: &str, salt: &str) -> BTreeMap<String, String> {
        let manifest = fs::read_to_string(self.manifest()).unwrap();
        let (_, files) = manifest.split_once("[files]\n").unwrap();
        let mut tree: BTreeMap<_, _> = files
            .lines()
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.strip_prefix('"')?.split_once('"'))
            .filter(|(_, facts)| {
                !facts.contains("form = ") || facts.contains(&format!("form = \"{form}\""))
            })
            .map(|(path, _)| (path.to_owned(), format!("made up for {path}, {salt}\n")))
            .collect();
        let numbers: Vec<_> = version.split('.').collect();
        let [version, patchlevel, sublevel] = numbers[..] else { panic!("{version}") };
        tree.insert(
            "Makefile".into(),
            format!(
                "VERSION = {version}\nPATCHLEVEL = {patchlevel}\nSUBLEVEL = {sublevel}\n\
                 EXTRAVERSION =\nNAME = Made Up\n"
            ),
        );
        tree.insert("tools/lib/rbtree.c".into(), ELSEWHERE.into());
        tree.insert("tools/include/linux/rbtree.h".into(), ELSEWHERE.into());
        tree
    }

    /// Puts a package into the stub's mirror.
    fn package(&self, suite: &str, series: &str, version: &str, tree: &BTreeMap<String, String>) {
        let name = format!("linux-source-{series}");
        let folder = self.at("package/usr/src");
        write_tree(&folder.join(&name), tree);
        tar(&folder, "cJf", &folder.join(format!("{name}.tar.xz")), &[&name]);
        let mirror = self.at("mirror").join(suite);
        fs::create_dir_all(&mirror).unwrap();
        let package = mirror.join(format!("{name}_{version}.deb"));
        tar(&self.at("package"), "cf", &package, &[&format!("./usr/src/{name}.tar.xz")]);
        fs::remove_dir_all(self.at("package")).unwrap();
    }

    fn downloads(&self) -> usize {
        let calls = fs::read_to_string(self.at("mirror/calls")).unwrap_or_default();
        calls.lines().filter(|line| line.contains(" download ")).count()
    }

    /// Lists what is vendored as a tested revision.
    fn accept(&self, series: &str) {
        let mut manifest = fs::read_to_string(self.manifest()).unwrap();
        manifest += "\n[[revision]]\nseries = \"7.3\"\nversion = \"0\"\n\n[revision.sha256]\n";
        for line in self.revision(series).lines().filter(|line| line.starts_with("sha256 ")) {
            let words: Vec<_> = line.split_whitespace().collect();
            manifest += &format!("\"{}\" = \"{}\"\n", words[2], words[1]);
        }
        fs::write(self.manifest(), manifest).unwrap();
    }

    /// Whether exactly the wanted files of the tree are vendored, unchanged.
    fn assert_holds(&self, series: &str, tree: &BTreeMap<String, String>) {
        for (path, text) in tree {
            let found = fs::read_to_string(self.vendored(series).join(path)).ok();
            assert_eq!(found.as_ref(), is_wanted(path, text).then_some(text), "{path}");
        }
    }
}

fn is_wanted(path: &str, text: &str) -> bool {
    path != "Makefile" && ![ELSEWHERE, ONLY_PRINTS].contains(&text)
}

fn result(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8(text).unwrap())
}

/// As much of a shared library as the search for libclang reads.
fn elf() -> [u8; 5] {
    [0x7f, b'E', b'L', b'F', if cfg!(target_pointer_width = "64") { 2 } else { 1 }]
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![] };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn write_tree(folder: &Path, tree: &BTreeMap<String, String>) {
    for (path, text) in tree {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn tar(folder: &Path, mode: &str, tarball: &Path, members: &[&str]) {
    let run =
        Command::new("tar").arg(mode).arg(tarball).arg("-C").arg(folder).args(members).status();
    assert!(run.unwrap().success());
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

#[rstest]
#[case::tree("", "linux-7.3", ".")]
#[case::tar("cf", "linux-7.3", "linux-7.3")]
#[case::tar_gz("czf", "linux-7.3", "linux-7.3")]
#[case::tar_xz("cJf", "linux-7.3", "linux-7.3")]
#[case::dot_folder("cf", "linux-7.3", "./linux-7.3")]
#[case::no_folder("cf", "", ".")]
fn takes_a_tree_or_a_tarball(#[case] mode: &str, #[case] top: &str, #[case] member: &str) {
    let clone = Clone::new();
    let tree = clone.tree("one");
    write_tree(&clone.at("from here").join(top), &tree);
    let mut from = clone.at("from here").join(top);
    if !mode.is_empty() {
        from = clone.at("kernel:1.tarball");
        tar(&clone.at("from here"), mode, &from, &[member]);
    }
    let from = from.to_str().unwrap();

    let text = clone.succeeds(&["--from", from]);
    assert!(text.contains("NOTICE"), "{text}");
    clone.assert_holds("7.3", &tree);
    let revision = clone.revision("7.3");
    let header = format!("series: 7.3\nversion: 7.3.4\nfrom: {from}\nsha256 ");
    assert!(revision.starts_with(&header), "{revision}");
    let wanted = tree.iter().filter(|(path, text)| is_wanted(path, text)).count();
    assert_eq!(revision.lines().filter(|line| line.starts_with("sha256 ")).count(), wanted);

    assert_eq!(clone.succeeds(&[]), "");
    assert!(!clone.at("home/cache").exists());
}

/// A series may have either form, as 6.12 does.
#[rstest]
#[case::tree(false)]
#[case::tarball(true)]
fn takes_the_drm_form(#[case] tarball: bool) {
    let clone = Clone::new();
    let tree = clone.drm_tree("one");
    write_tree(&clone.at("k/linux-6.12.95"), &tree);
    let mut from = "k/linux-6.12.95";
    if tarball {
        tar(&clone.at("k"), "cJf", &clone.at("k.tar.xz"), &["linux-6.12.95"]);
        from = "k.tar.xz";
    }
    let text = clone.succeeds(&["--from", from]);
    let notice = "NOTICE: cargo cannot compile in vendor/linux/6.12, which has the allocator in its \
                  older form, drivers/gpu/drm/drm_buddy.c; use it with --kernel vendor/linux/6.12\n";
    assert!(text.contains(notice), "{text}");
    assert!(!text.contains("absent"), "{text}");
    clone.assert_holds("6.12", &tree);
    assert!(!clone.revision("6.12").contains("absent"));
    assert!(!clone.succeeds(&["--from", from]).contains("vendor/linux/6.12 is"));
    assert_eq!(clone.succeeds(&["--series", "6.12"]), "");

    fs::write(clone.vendored("6.12/drivers/gpu/drm/drm_buddy.c"), "changed\n").unwrap();
    assert!(clone.succeeds(&["--from", from]).contains("vendor/linux/6.12 is"));
    clone.assert_holds("6.12", &tree);
}

#[rstest]
#[case::gpu("gpu", &["drivers/gpu/buddy.c", "include/linux/gpu_buddy.h"])]
#[case::drm("drm", &["drivers/gpu/drm/drm_buddy.c", "include/drm/drm_buddy.h"])]
fn takes_an_allocator_alone(#[case] form: &str, #[case] allocator: &[&str]) {
    let clone = Clone::new();
    let mut tree = clone.tree_of_form(form, "7.3.4", "one");
    let whole = tree.clone();
    tree.retain(|path, _| allocator.contains(&path.as_str()));
    write_tree(&clone.at("k"), &tree);
    let text = clone.succeeds(&["--from", "k"]);
    assert!(text.contains("vendor/linux/local is of an unknown version from /"), "{text}");
    clone.assert_holds("local", &tree);

    let notice = text.lines().find(|line| line.contains("cargo cannot compile in")).unwrap();
    let revision = clone.revision("local");
    for (path, text) in whole.iter().filter(|(path, text)| is_wanted(path, text)) {
        let absent = !tree.contains_key(path);
        let line = format!("absent: {path}\n");
        assert_eq!(revision.contains(&line), absent, "{path} {text}");
        if path.ends_with(".c") || path.ends_with(".h") {
            let named =
                notice.contains(&format!(" {path} ")) || notice.contains(&format!(" {path};"));
            assert_eq!(named, absent, "{path}: {notice}");
        }
    }
    let rust = if form == "gpu" { " rust/kernel/gpu/buddy.rs" } else { "" };
    let absent = format!(
        "absent there, and not needed:{rust} COPYING LICENSES/preferred/ tools/testing/kunit/\n"
    );
    assert!(text.contains(&absent), "{text}");
    assert_eq!(clone.succeeds(&["--from", "k"]), "");
    assert_eq!(clone.succeeds(&["--series", "local"]), "");
}

/// A file that is absent is no difference to what was tested.
#[rstest]
fn takes_a_part_of_a_tested_tree() {
    let clone = Clone::new();
    let mut tree = clone.tree("one");
    write_tree(&clone.at("whole"), &tree);
    clone.succeeds(&["--from", "whole"]);
    clone.accept("7.3");

    tree.retain(|path, _| path.ends_with(".c") || path.ends_with(".h") || path == "Makefile");
    tree.insert("tools/testing/kunit/kunit.py".into(), "made up, other\n".into());
    write_tree(&clone.at("k"), &tree);
    clone.fails(&["--locked", "--from", "k"], &["the tested 0 in: tools/testing/kunit/kunit.py\n"]);
    fs::remove_dir_all(clone.at("k/tools/testing")).unwrap();
    tree.remove("tools/testing/kunit/kunit.py");

    let text = clone.succeeds(&["--locked", "--from", "k"]);
    assert!(!text.contains("NOTICE"), "{text}");
    clone.assert_holds("7.3", &tree);
    assert_eq!(clone.succeeds(&["--locked"]), "");

    fs::remove_file(clone.at("k/lib/rbtree.c")).unwrap();
    let text = clone.succeeds(&["--locked", "--from", "k"]);
    assert!(
        text.contains("cargo cannot compile in vendor/linux/7.3, which lacks lib/rbtree.c;"),
        "{text}"
    );
    assert!(!text.contains("not passed"), "{text}");
}

/// A plain run promises that cargo can compile in the default series.
#[rstest]
#[case::part_of_the_gpu_form("gpu", "lacks lib/rbtree.c; placing it again")]
#[case::drm_form("drm", "drivers/gpu/drm/drm_buddy.c; placing it again")]
fn replaces_a_default_that_cargo_cannot_compile_in(#[case] form: &str, #[case] message: &str) {
    let clone = Clone::new();
    let tree = clone.tree("one");
    clone.package("sid", "7.3", "7.3.4-1", &tree);
    let mut other = clone.tree_of_form(form, "7.3.1", "other");
    if form == "gpu" {
        other.remove("lib/rbtree.c");
    }
    write_tree(&clone.at("k"), &other);
    clone.succeeds(&["--from", "k"]);
    assert_eq!(clone.succeeds(&["--series", "7.3"]), "");
    clone.assert_holds("7.3", &other);

    let text = clone.succeeds(&[]);
    assert!(text.contains(message), "{text}");
    clone.assert_holds("7.3", &tree);
}

#[rstest]
fn names_the_series() {
    let clone = Clone::new();
    let mut tree = clone.tree("one");
    write_tree(&clone.at("k"), &tree);
    clone.succeeds(&["--from=k", "--series=mine"]);
    clone.assert_holds("mine", &tree);

    tree.insert("Makefile".into(), "VERSION = ../..\nPATCHLEVEL = 3\n".into());
    write_tree(&clone.at("k"), &tree);
    clone.succeeds(&["--from", "k"]);
    clone.assert_holds("local", &tree);
    let mut found = names(&clone.vendored(""));
    found.sort();
    assert_eq!(found, ["local", "mine"]);
}

#[rstest]
fn replaces_other_content() {
    let clone = Clone::new();
    let mut tree = clone.tree("one");
    write_tree(&clone.at("k"), &tree);
    clone.succeeds(&["--from", "k"]);
    assert_eq!(clone.succeeds(&["--from", "k"]), "");

    fs::remove_file(clone.at("k").join(OPTIONAL)).unwrap();
    tree.remove(OPTIONAL);
    clone.succeeds(&["--from", "k"]);
    assert!(!clone.vendored("7.3").join(OPTIONAL).exists());
    assert!(clone.revision("7.3").contains(&format!("absent: {OPTIONAL}\n")));
    tree.retain(|path, _| !path.starts_with("rust/"));
    clone.assert_holds("7.3", &tree);
    assert_eq!(clone.succeeds(&[]), "");
}

/// Older trees have some of the files that the binding is compiled with.
#[rstest]
fn takes_the_parts_of_the_binding_only_beside_it() {
    let clone = Clone::new();
    let mut tree = clone.tree("one");
    let part = tree.remove(PART).unwrap();
    clone.package("sid", "7.3", "7.3.4-1", &tree);
    clone.succeeds(&[]);
    clone.assert_holds("7.3", &tree);
    assert!(clone.revision("7.3").contains(&format!("\nabsent: {PART}\n")));
    assert_eq!(clone.succeeds(&[]), "");
    write_tree(&clone.at("k"), &tree);
    let text = clone.succeeds(&["--from", "k"]);
    assert!(text.contains(&format!("absent there, and not needed: {PART}\n")), "{text}");

    tree.insert(PART.into(), part);
    tree.remove(OPTIONAL);
    clone.package("sid", "7.2", "7.2.1-1", &tree);
    clone.succeeds(&["--series", "7.2"]);
    assert!(!clone.vendored("7.2/rust").exists());
    assert!(clone.revision("7.2").contains(&format!("\nabsent: {PART}\n")));
    assert_eq!(clone.succeeds(&["--series", "7.2"]), "");
    fs::remove_dir_all(clone.at("k")).unwrap();
    write_tree(&clone.at("k"), &tree);
    let text = clone.succeeds(&["--from", "k"]);
    assert!(text.contains(&format!("absent there, and not needed: {OPTIONAL}\n")), "{text}");
}

#[rstest]
fn locked_takes_tested_revisions_only() {
    let clone = Clone::new();
    write_tree(&clone.at("k"), &clone.tree("one"));
    clone.fails(&["--locked", "--from", "k"], &["--locked refuses", "drivers/gpu/buddy.c"]);
    assert!(!clone.vendored("7.3").exists());

    clone.succeeds(&["--from", "k"]);
    clone.fails(&["--locked"], &["--locked refuses vendor/linux/7.3"]);
    clone.accept("7.3");
    assert_eq!(clone.succeeds(&["--locked"]), "");
    assert_eq!(clone.succeeds(&["--locked", "--from", "k"]), "");

    fs::write(clone.at("k/lib/rbtree.c"), "changed\n").unwrap();
    let text = clone.fails(&["--locked", "--from", "k"], &["from the tested 0 in: lib/rbtree.c"]);
    assert!(!text.contains("drivers/gpu/buddy.c"), "{text}");
    assert_eq!(clone.succeeds(&["--locked"]), "");
}

#[rstest]
#[case(&["--sereis", "7.3"], "unknown option or argument: --sereis")]
#[case(&["7.3"], "unknown option or argument: 7.3")]
#[case(&["--series"], "--series needs a value")]
#[case(&["--from", ""], "--from needs a value")]
#[case(&["--series", "../7.3"], "not a series name")]
#[case(&["--all", "--series", "7.3"], "exclude each other")]
#[case(&["--from", "k", "--all"], "--from takes one --series")]
fn explains_wrong_usage(#[case] arguments: &[&str], #[case] message: &str) {
    let clone = Clone::new();
    let (code, text) = clone.run(arguments);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains(message), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!clone.vendored("").exists());
}

#[rstest]
fn prints_help() {
    let text = Clone::new().succeeds(&["--help"]);
    for word in [
        "--series",
        "--all",
        "--from",
        "--locked",
        "--refresh",
        "(default: 7.3)",
        "7.3 7.2 6.12.95 6.12 6.1\n",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[rstest]
#[case::nothing_there("gone", "there is no gone")]
#[case::empty_folder(
    "empty",
    "empty has neither drivers/gpu/buddy.c nor drivers/gpu/drm/drm_buddy.c"
)]
#[case::no_header("short", "short lacks include/linux/gpu_buddy.h\n")]
#[case::no_drm_header("drm", "drm lacks include/drm/drm_buddy.h\n")]
#[case::no_allocator(
    "prints",
    "prints has no drivers/gpu/buddy.c, and its drivers/gpu/drm/drm_buddy.c only"
)]
#[case::no_tarball("k/Makefile", "damaged or not a tar file")]
#[case::empty_file("nothing", "damaged or not a tar file")]
#[case::device("/dev/null", "damaged or not a tar file")]
#[case::tarball_without("other.tar", "other.tar has neither drivers/gpu/buddy.c nor")]
#[case::truncated_tar("cut.tar", "damaged")]
#[case::truncated_gz("cut.tar.gz", "damaged")]
#[case::truncated_xz("cut.tar.xz", "damaged")]
#[case::changed_xz("bad.tar.xz", "damaged")]
fn refuses_a_bad_source(#[case] from: &str, #[case] message: &str) {
    let clone = Clone::new();
    let mut tree = clone.tree("one");
    write_tree(&clone.at("k"), &tree);
    clone.succeeds(&["--from", "k"]);
    let before = clone.revision("7.3");

    fs::create_dir(clone.at("empty")).unwrap();
    fs::write(clone.at("nothing"), "").unwrap();
    tar(&clone.at("k"), "cf", &clone.at("other.tar"), &["Makefile"]);
    // Damage beyond the last wanted file must be seen too.
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    fs::write(clone.at("k/zzz"), noise.take(60_000).collect::<Vec<_>>()).unwrap();
    for (mode, name) in [("cf", "tar"), ("czf", "tar.gz"), ("cJf", "tar.xz")] {
        tar(clone.folder.path(), mode, &clone.at("whole"), &["--sort=name", "k"]);
        let mut bytes = fs::read(clone.at("whole")).unwrap();
        fs::write(clone.at(&format!("cut.{name}")), &bytes[..bytes.len() - 15_000]).unwrap();
        let end = bytes.len() - 15_000;
        bytes[end..end + 9].fill(0x55);
        fs::write(clone.at(&format!("bad.{name}")), &bytes).unwrap();
    }
    tree.remove("include/linux/gpu_buddy.h");
    write_tree(&clone.at("short"), &tree);
    tree.remove("drivers/gpu/buddy.c");
    write_tree(&clone.at("prints"), &tree);
    tree = clone.drm_tree("one");
    tree.remove("include/drm/drm_buddy.h");
    write_tree(&clone.at("drm"), &tree);

    clone.fails(&["--from", from], &[message]);
    assert_eq!(clone.revision("7.3"), before);
    assert_eq!(clone.succeeds(&[]), "");
}

#[rstest]
fn respects_permissions() {
    if is_root() {
        return; // root may write anywhere
    }
    let clone = Clone::new();
    write_tree(&clone.at("k"), &clone.tree("one"));
    let mode = |path: &str, mode| {
        fs::set_permissions(clone.at(path), Permissions::from_mode(mode)).unwrap();
    };
    mode("k/lib/rbtree.c", 0);
    clone.fails(&["--from", "k"], &["Permission denied", "lib/rbtree.c"]);
    mode("k/lib/rbtree.c", 0o644);
    mode("k", 0);
    clone.fails(&["--from", "k"], &["cannot read k"]);
    mode("k", 0o755);
    mode("a clone/vendor/linux", 0o555);
    clone.fails(&["--from", "k"], &["cannot write in"]);
    mode("a clone/vendor/linux", 0o755);
    mode("tmp", 0o555);
    clone.fails(&["--from", "k"], &["set TMPDIR"]);
    mode("tmp", 0o755);
}

#[rstest]
#[case::while_unpacking("tar")]
#[case::while_copying("install")]
fn explains_a_full_disk(#[case] program: &str) {
    let clone = Clone::new();
    write_tree(&clone.at("k"), &clone.tree("one"));
    tar(&clone.at("k"), "cf", &clone.at("k.tar"), &["."]);
    clone.stub(program, "#!/bin/sh\necho \"$0: x: No space left on device\" >&2; exit 2\n");
    clone.fails(&["--from", "k.tar"], &["the disk is full"]);
    assert!(!clone.vendored("7.3").exists());
}

#[rstest]
fn fetches_from_the_first_suite_that_has_it() {
    let clone = Clone::new();
    let tree = clone.tree("one");
    let other = clone.tree("other");
    clone.package("sid", "7.3", "7.3~rc2-1", &other);
    clone.package("sid", "7.3", "7.3.4-1", &tree);
    clone.package("sid", "7.3", "7.3.3-1", &other);
    clone.package("forky", "7.3", "7.3.5-1", &other);
    clone.package("sid", "7.2", "7.2~rc3-1", &other);
    clone.package("oldstable-security", "6.12", "6.12.1-1~deb1", &tree);

    let text = clone.succeeds(&[]);
    assert!(text.contains("downloading linux-source-7.3 7.3.4-1 from sid"), "{text}");
    assert!(text.contains("NOTICE"), "{text}");
    clone.assert_holds("7.3", &tree);
    let header = "series: 7.3\npackage: linux-source-7.3\nversion: 7.3.4-1\nsuite: sid\nsha256 ";
    assert!(clone.revision("7.3").starts_with(header));
    assert_eq!(clone.succeeds(&[]), "");

    clone.package("bookworm-backports", "6.12", "6.12.95-1~bpo12+1", &clone.drm_tree("one"));
    clone.package("bookworm", "6.1", "6.1.9-1", &clone.drm_tree("one"));
    clone.succeeds(&["--all"]);
    assert!(clone.revision("6.12.95").contains("suite: bookworm-backports\n"));
    assert!(clone.revision("6.1").contains("suite: bookworm\n"));
    assert!(clone.revision("7.2").contains("version: 7.2~rc3-1\nsuite: sid\n"));
    assert!(clone.revision("6.12").contains("suite: oldstable-security\n"));
    assert_eq!(clone.downloads(), 5);

    clone.package("sid", "7.3", "7.3.6-1", &other);
    assert_eq!(clone.succeeds(&[]), "");
    clone.succeeds(&["--refresh"]);
    clone.assert_holds("7.3", &other);
    assert!(clone.succeeds(&["--refresh"]).contains("up to date"));
    assert_eq!(clone.downloads(), 6);
}

/// Debian keeps kernels of the drm form in suites that are older than the
/// machine's own.
#[rstest]
fn fetches_the_drm_form() {
    let clone = Clone::new();
    let tree = clone.drm_tree("one");
    clone.package("bookworm", "6.1", "6.1.9-1", &tree);
    clone.package("oldstable-security", "6.1", "6.1.9-1", &tree);
    let text = clone.succeeds(&["--series", "6.1"]);
    assert!(text.contains("NOTICE: cargo cannot compile in vendor/linux/6.1, which"), "{text}");
    clone.assert_holds("6.1", &tree);
    let header = "series: 6.1\npackage: linux-source-6.1\nversion: 6.1.9-1\n\
                  suite: oldstable-security\nsha256 ";
    assert!(clone.revision("6.1").starts_with(header));
    assert_eq!(clone.downloads(), 1);

    fs::write(clone.at("mirror/offline"), "").unwrap();
    assert_eq!(clone.succeeds(&["--series", "6.1"]), "");
    fs::remove_dir_all(clone.vendored("6.1")).unwrap();
    clone.succeeds(&["--series", "6.1"]);
    clone.assert_holds("6.1", &tree);
}

/// cargo has to be able to compile in what stands in for the default.
#[rstest]
fn takes_no_drm_form_for_the_default() {
    let clone = Clone::new();
    let tree = clone.tree("one");
    clone.package("sid", "7.4", "7.4.1-1", &clone.drm_tree("one"));
    clone.package("trixie", "7.2", "7.2.1-1", &tree);
    let text = clone.succeeds(&[]);
    let message = "7.4.1-1 in sid has the allocator in its older form, drivers/gpu/drm/drm_buddy.c";
    assert!(text.contains(message), "{text}");
    assert_eq!(names(&clone.vendored("")), ["7.2"]);
    clone.assert_holds("7.2", &tree);
}

#[rstest]
fn fetches_the_release_that_three_numbers_name() {
    let clone = Clone::new();
    let tree = clone.drm_tree("one");
    let other = clone.tree("other");
    clone.package("trixie", "6.12", "6.12.117-1", &other);
    clone.package("trixie", "6.12", "6.12.9-1", &other);
    clone.package("bookworm-backports", "6.12", "6.12.96-1~bpo12+1", &other);
    clone.package("bookworm-backports", "6.12", "6.12.95-2~bpo12+1", &tree);
    clone.package("bookworm-backports", "6.12", "6.12.95-1~bpo12+1", &other);
    clone.package("bookworm-backports", "6.12", "6.12.9-1~bpo12+1", &other);

    clone.succeeds(&["--series", "6.12.95"]);
    clone.assert_holds("6.12.95", &tree);
    let header = "series: 6.12.95\npackage: linux-source-6.12\nversion: 6.12.95-2~bpo12+1\n\
                  suite: bookworm-backports\nsha256 ";
    assert!(clone.revision("6.12.95").starts_with(header), "{}", clone.revision("6.12.95"));
    assert_eq!(names(&clone.vendored("")), ["6.12.95"]);
    assert_eq!(clone.downloads(), 1);
    assert_eq!(clone.succeeds(&["--series", "6.12.95"]), "");

    // Again from the cache, where it is kept under this name.
    fs::remove_dir_all(clone.vendored("")).unwrap();
    clone.succeeds(&["--series", "6.12.95"]);
    clone.assert_holds("6.12.95", &tree);
    assert_eq!(clone.downloads(), 1);

    clone.succeeds(&["--series", "6.12", "--series", "6.12.9"]);
    assert!(clone.revision("6.12").contains("version: 6.12.117-1\nsuite: trixie\n"));
    assert!(clone.revision("6.12.9").contains("version: 6.12.9-1\nsuite: trixie\n"));
}

#[rstest]
fn a_second_clone_needs_no_network() {
    let clone = Clone::new();
    let tree = clone.tree("one");
    clone.package("sid", "7.3", "7.3.4-1", &tree);
    clone.succeeds(&[]);
    fs::write(clone.at("mirror/offline"), "").unwrap();
    let before = clone.revision("7.3");

    fs::remove_dir_all(clone.vendored("")).unwrap();
    clone.succeeds(&[]);
    assert_eq!(clone.revision("7.3"), before);
    fs::write(clone.vendored("7.3/lib/rbtree.c"), "changed\n").unwrap();
    assert!(clone.succeeds(&[]).contains("was changed"));
    clone.assert_holds("7.3", &tree);
    assert_eq!(clone.downloads(), 1);

    fs::remove_dir_all(clone.vendored("")).unwrap();
    clone.fails(&["--locked"], &["Check the network"]);
}

#[rstest]
#[case::changed("lib/rbtree.c", Some("changed\n"))]
#[case::removed("lib/rbtree.c", None)]
#[case::no_revision("REVISION", None)]
#[case::empty_revision("REVISION", Some(""))]
#[case::other_revision("REVISION", Some("series: 7.2\n"))]
fn fetches_again_after_a_damaged_cache(#[case] path: &str, #[case] text: Option<&str>) {
    let clone = Clone::new();
    let tree = clone.tree("one");
    clone.package("sid", "7.3", "7.3.4-1", &tree);
    clone.succeeds(&[]);
    fs::remove_dir_all(clone.vendored("")).unwrap();
    let path = clone.at("home/cache/gpu-buddy/7.3/7.3.4-1").join(path);
    match text {
        Some(text) => fs::write(path, text).unwrap(),
        None => fs::remove_file(path).unwrap(),
    }

    assert!(clone.succeeds(&[]).contains("damaged or incomplete; removing it"));
    clone.assert_holds("7.3", &tree);
    assert_eq!(clone.downloads(), 2);
    fs::remove_dir_all(clone.vendored("")).unwrap();
    clone.succeeds(&[]);
    assert_eq!(clone.downloads(), 2);
}

#[rstest]
fn a_cache_that_cannot_be_written_is_no_error() {
    let clone = Clone::new();
    clone.package("sid", "7.3", "7.3.4-1", &clone.tree("one"));
    fs::write(clone.at("home/cache"), "in the way").unwrap();
    assert!(clone.succeeds(&[]).contains("could not keep a copy"));
    assert_eq!(clone.succeeds(&[]), "");
}

#[rstest]
fn says_what_to_do_without_network() {
    let clone = Clone::new();
    fs::write(clone.at("mirror/offline"), "").unwrap();
    clone.fails(&[], &["cannot read the index of trixie-backports", "--from PATH"]);
    clone.fails(&["--series", "9.9"], &["Could not resolve"]);
    assert!(names(&clone.vendored("")).is_empty());
}

#[rstest]
fn lists_the_series_there_are() {
    let clone = Clone::new();
    let tree = clone.tree("one");
    clone.package("sid", "7.1", "7.1.9-1", &tree);
    clone.package("forky", "6.99", "6.99-1", &tree);
    clone.fails(&["--series", "9.9"], &["no suite has linux-source-9.9; there are: 7.1 6.99\n"]);
    clone.fails(&["--series", "9.9.1"], &["no suite has linux-source-9.9; there are: 7.1 6.99\n"]);
    clone.package("forky", "7.1", "7.1.10-1", &tree);
    clone.fails(
        &["--series", "7.1.1"],
        &["no suite has linux-source-7.1 in a version that begins 7.1.1-; there are: 7.1.10-1 7.1.9-1\n"],
    );
    assert_eq!(clone.downloads(), 0);
}

/// What a package lacks is said, and the same version is not fetched from another
/// suite.
#[rstest]
fn says_what_a_package_lacks() {
    let clone = Clone::new();
    let mut tree = clone.drm_tree("one");
    tree.remove("include/linux/rbtree.h");
    tree.remove("drivers/gpu/drm/tests/drm_buddy_test.c");
    clone.package("oldstable", "6.1", "6.1.9-1", &tree);
    clone.package("bookworm", "6.1", "6.1.9-1", &tree);
    let lacks = "lacks include/linux/rbtree.h drivers/gpu/drm/tests/drm_buddy_test.c";
    clone.fails(
        &["--series", "6.1"],
        &[
            &format!("linux-source-6.1 6.1.9-1 in oldstable {lacks}; looking further\n"),
            &format!("no linux-source-6.1 can be used: 6.1.9-1 in oldstable {lacks}\n"),
        ],
    );
    assert_eq!(clone.downloads(), 1);
    assert!(names(&clone.vendored("")).is_empty());

    tree.remove("drivers/gpu/drm/drm_buddy.c");
    clone.package("bookworm", "6.1", "6.1.8-1", &tree);
    fs::remove_file(clone.at("mirror/bookworm/linux-source-6.1_6.1.9-1.deb")).unwrap();
    let neither = "has neither drivers/gpu/buddy.c nor drivers/gpu/drm/drm_buddy.c";
    clone.fails(
        &["--series", "6.1"],
        &[&format!("can be used: 6.1.9-1 in oldstable {lacks}; 6.1.8-1 in bookworm {neither}\n")],
    );
    // A package that is there and of no use is no series that Debian has dropped.
    clone.package("sid", "7.3", "7.3.4-1", &clone.tree("one"));
    clone.fails(&["--all"], &["no linux-source-6.1 can be used", "NOTICE: passing over 7.2"]);
    clone.assert_holds("7.3", &clone.tree("one"));
}

#[rstest]
fn passes_over_a_series_that_debian_has_dropped() {
    let clone = Clone::new();
    let tree = clone.tree("one");
    clone.package("sid", "7.3", "7.3.4-1", &tree);
    clone.package("trixie", "6.12", "6.12.117-1", &tree);
    let text = clone.succeeds(&["--all"]);
    for message in [
        "NOTICE: passing over 7.2: no suite has linux-source-7.2; there are: 7.3 6.12\n",
        "NOTICE: passing over 6.12.95: no suite has linux-source-6.12 in a version that begins \
         6.12.95-; there are: 6.12.117-1\n",
        "NOTICE: passing over 6.1: no suite has linux-source-6.1; there are: 7.3 6.12\n",
    ] {
        assert!(text.contains(message), "{text}");
    }
    let mut found = names(&clone.vendored(""));
    found.sort();
    assert_eq!(found, ["6.12", "7.3"]);

    // By name, it is a failure.
    clone.fails(&["--series", "7.2"], &["no suite has linux-source-7.2"]);
    // It is not known to be dropped where a suite or the network is not there.
    fs::create_dir(clone.at("mirror/forky")).unwrap();
    fs::write(clone.at("mirror/forky/unsigned"), "").unwrap();
    clone.fails(
        &["--all"],
        &["no suite has linux-source-7.2; there are: 7.3 6.12; not read: forky\n"],
    );
    fs::write(clone.at("mirror/offline"), "").unwrap();
    clone.fails(&["--all"], &["Check the network"]);
}

#[rstest]
fn a_mirror_without_any_series_is_a_failure() {
    let clone = Clone::new();
    clone.fails(&["--all"], &["no series in vendor/manifest.toml is in any suite of the mirror"]);
    clone.fails(&["--series", "7.3"], &["no suite has linux-source-7.3; there are: none\n"]);
}

#[rstest]
#[case::nothing_there(&[])]
#[case::there_already(&["--series", "7.10"])]
fn takes_the_newest_series_when_the_default_is_gone(#[case] before: &[&str]) {
    let clone = Clone::new();
    let mut tree = clone.tree("one");
    clone.package("trixie", "7.10", "7.10.2-1", &tree);
    clone.package("trixie", "7.9", "7.9.2-1", &tree);
    tree.remove("drivers/gpu/buddy.c");
    clone.package("trixie", "7.11", "7.11.1-1", &tree);
    if !before.is_empty() {
        clone.succeeds(before);
    }
    let text = clone.succeeds(&[]);
    assert!(text.contains("NOTICE: linux-source-7.3 is in no suite any more"), "{text}");
    assert!(text.contains("7.11.1-1 in trixie has no drivers/gpu/buddy.c"), "{text}");
    assert_eq!(names(&clone.vendored("")), ["7.10"]);
    assert!(clone.revision("7.10").contains("instead-of: 7.3\n"));
    assert_eq!(clone.succeeds(&[]), "");
}

/// Where `tar` would unpack, a stub says so and goes on until the test is over.
fn start_to_unpack(clone: &Clone) -> std::process::Child {
    clone.stub("tar", "#!/bin/sh\ntouch \"$MIRROR/unpacking\"\nwhile [ -e \"$MIRROR/unpacking\" ]; do sleep 0.1; done\n");
    let child = clone.command(&["--from", "k.tar"]).spawn().unwrap();
    let start = Instant::now();
    while !clone.at("mirror/unpacking").exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "did not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

#[rstest]
#[case("INT", Some(130))]
#[case("TERM", Some(143))]
#[case("HUP", Some(129))]
#[case("KILL", None)]
fn an_interrupted_run_leaves_nothing_half_done(#[case] signal: &str, #[case] code: Option<i32>) {
    let clone = Clone::new();
    let tree = clone.tree("one");
    write_tree(&clone.at("k"), &tree);
    clone.succeeds(&["--from", "k"]);
    let before = clone.revision("7.3");
    tar(&clone.at("k"), "cf", &clone.at("k.tar"), &["."]);

    let mut child = start_to_unpack(&clone);
    let start = Instant::now();
    let kill = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), code);
    assert!(start.elapsed() < Duration::from_secs(5));
    if code.is_some() {
        let mut text = String::new();
        child.stderr.unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "setup: interrupted; run ./setup again to finish\n");
        clone.left_nothing();
    }
    assert_eq!(clone.revision("7.3"), before);
    fs::remove_file(clone.at("bin/tar")).unwrap();
    assert_eq!(result(&clone.command(&[]).output().unwrap()), (0, String::new()));
}

#[rstest]
fn mends_what_a_kill_left_between_the_renames() {
    let clone = Clone::new();
    let tree = clone.tree("one");
    write_tree(&clone.at("k"), &tree);
    clone.succeeds(&["--from", "k"]);
    fs::rename(clone.vendored("7.3"), clone.vendored(".old.7.3")).unwrap();
    fs::create_dir(clone.vendored(".new.1")).unwrap();
    assert_eq!(clone.succeeds(&["--from", "k"]), "");
    clone.assert_holds("7.3", &tree);
}

#[rstest]
fn runs_side_by_side() {
    let clone = Clone::new();
    let trees = ["one", "other"].map(|salt| clone.tree(salt));
    let mut runs = vec![];
    for (name, tree) in ["one", "other"].iter().zip(&trees) {
        write_tree(&clone.at(name), tree);
    }
    for name in ["one", "other", "one", "other"] {
        runs.push(clone.command(&["--from", name]).spawn().unwrap());
    }
    for run in runs {
        let (code, text) = result(&run.wait_with_output().unwrap());
        assert_eq!(code, 0, "{text}");
    }
    clone.left_nothing();
    assert_eq!(clone.succeeds(&[]), "");
}

#[rstest]
#[case("libclang.so", true)]
#[case("libclang.so.19", true)]
#[case("libclang-19.so", true)]
#[case("libclang-14.so.14.0.6", true)]
#[case("libclang-cpp.so.19", false)]
#[case("libclang-cpp.so", false)]
#[case("libclang.a", false)]
#[case("libclang.txt", false)]
fn finds_libclang(#[case] name: &str, #[case] found: bool) {
    let clone = Clone::new();
    write_tree(&clone.at("k"), &clone.tree("one"));
    fs::remove_file(clone.at("lib/libclang.so")).unwrap();
    fs::write(clone.at("lib").join(name), elf()).unwrap();
    if found {
        clone.succeeds(&["--from", "k"]);
        fs::write(clone.at("lib").join(name), "no library").unwrap();
    }
    clone.fails(&[], &["LIBCLANG_PATH", "no libclang is there"]);
}

/// What the script asks of the manifest.
#[rstest]
fn the_manifest_is_in_order() {
    let manifest = fs::read_to_string(format!("{PROJECT}/vendor/manifest.toml")).unwrap();
    // Path and form of what a package has to have.
    let mut required = vec![];
    let mut revisions: Vec<Vec<&str>> = vec![];
    for line in manifest.lines() {
        let Some((path, value)) = line.strip_prefix('"').and_then(|line| line.split_once("\" = "))
        else {
            if line == "[[revision]]" {
                revisions.push(vec![]);
            }
            continue;
        };
        if let Some(facts) = value.strip_prefix("{ license = \"") {
            let form = facts.split_once("\", form = \"").map(|(_, rest)| &rest[..3]);
            assert!(form.is_none_or(|form| ["gpu", "drm"].contains(&form)), "{line}");
            if !value.contains("optional = true") {
                required.push((path, form));
            }
        } else {
            let hash = value.trim_matches('"');
            assert!(
                hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{line}"
            );
            revisions.last_mut().unwrap().push(path);
        }
    }
    assert!(!revisions.is_empty());
    for revision in &revisions {
        let of = if revision.contains(&"drivers/gpu/buddy.c") { "gpu" } else { "drm" };
        for (path, form) in &required {
            assert_eq!(revision.contains(path), form.is_none_or(|form| form == of), "{path}");
        }
    }
}
