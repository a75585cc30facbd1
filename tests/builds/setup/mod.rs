//! The script `setup`, run in a copy of the project that holds no more than the
//! script and the manifest. Kernel trees are made up here, and apt is replaced by
//! a stub over a folder of packages, so that nothing is fetched or installed.

mod fetching;
mod from;
mod refusals;
mod runs;

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
/// Wanted only together with `OPTIONAL`.
const PART: &str = "rust/kernel/ptr.rs";

/// Files of a tree that are not wanted: one with the name of a wanted file in another
/// folder, and the rest of the drm form in a tree of the gpu form.
const ELSEWHERE: &str = "not this one\n";
const ONLY_PRINTS: &str = "#include <linux/gpu_buddy.h>\n";

/// Plays apt on a package mirror: a folder with a folder of packages for each suite.
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

/// A package of the stub is the plain tar that the real dpkg-deb would print.
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

    /// Puts a program before the real one of this name in PATH.
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

    /// No temporary folder and no half-filled folder is left.
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

/// The part of a shared library that the search for libclang reads.
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
