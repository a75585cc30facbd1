//! Another crate depends on this one by git, as the README says. There `./setup` has not
//! run, and a user of the library pays for nothing that only the command needs. And one in which
//! panics abort.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::common::{
    is_recorded, kernel_line, kernel_tree, locked_folder, nested_cargo, not_tested, project,
};
use gpu_buddy::KERNEL;

const MAIN: &str = "\
use gpu_buddy::{GpuBuddy, GpuBuddyParams, Alignment, sizes::SZ_4K};

fn main() -> gpu_buddy::Result<()> {
    let chunk_size = Alignment::new::<SZ_4K>();
    let buddy = GpuBuddy::new(GpuBuddyParams { base_offset: 0, size: 1 << 20, chunk_size })?;
    println!(\"{} has {} bytes\", gpu_buddy::KERNEL.series, buddy.avail());
    Ok(())
}
";

const SIGABRT: i32 = 6;

/// A crate that depends on a repository with what git tracks of the project, as it is now.
///
/// Its folder is the same on every run, and so are the dependencies that were built there.
struct Dependent {
    folder: PathBuf,
    _lock: File,
}

impl Dependent {
    /// The one that all tests use.
    fn get() -> Option<&'static Self> {
        static DEPENDENT: OnceLock<Option<Dependent>> = OnceLock::new();
        DEPENDENT.get_or_init(Self::new).as_ref()
    }

    fn new() -> Option<Self> {
        let mut list = Command::new("git");
        list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listed =
            list.current_dir(project()).output().ok().filter(|output| output.status.success());
        let Some(listed) = listed else {
            not_tested("a git dependency", "this is no git repository");
            return None;
        };
        let (folder, lock) = locked_folder("dependent");
        for made in ["repository", "dependent", "cargo", "cache"] {
            let _ = fs::remove_dir_all(folder.join(made));
        }
        let dependent = Self { folder, _lock: lock };
        let repository = dependent.path("repository");
        for file in String::from_utf8(listed.stdout).expect("UTF-8").split_terminator('\0') {
            let (from, to) = (project().join(file), repository.join(file));
            // git lists deleted files until the deletion is committed.
            if from.is_file() {
                fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
                fs::copy(from, to).expect("a copy");
            }
        }
        let commit = ["-c", "user.name=n", "-c", "user.email=e", "commit", "--quiet", "-m", "all"];
        for arguments in [&["init", "--quiet"][..], &["add", "--all"], &commit] {
            let mut git = Command::new("git");
            succeed(git.current_dir(&repository).args(arguments));
        }

        let manifest = format!(
            "[package]\nname = \"dependent\"\nedition = \"2024\"\ndefault-run = \"dependent\"\n\n\
             [workspace]\n\n[dependencies]\n\
             gpu-buddy = {{ git = \"file://{}\", default-features = false }}\n",
            repository.display()
        );
        let write = |file: &str, text: &str| {
            fs::create_dir_all(dependent.path(file).parent().expect("a folder")).expect("a folder");
            fs::write(dependent.path(file), text).expect("a file");
        };
        write("dependent/Cargo.toml", &manifest);
        write("dependent/src/main.rs", MAIN);
        let read = |file| fs::read_to_string(project().join("tests/builds/edges").join(file));
        for (file, to) in [("abort.rs", "main.rs"), ("raw.rs", "raw.rs")] {
            write(&format!("dependent/src/bin/abort/{to}"), &read(file).expect("a file"));
        }
        fs::copy(project().join("Cargo.lock"), dependent.path("dependent/Cargo.lock"))
            .expect("a lock file");
        dependent.cargo_home();
        // Offline, cargo does not even clone from this machine. All else is locked.
        let tree = ["tree", "--quiet"];
        succeed(dependent.cargo(&tree).env("CARGO_NET_OFFLINE", "false"));
        Some(dependent)
    }

    /// The user's cargo home, without the checkouts of git dependencies.
    fn cargo_home(&self) {
        let home = self.path("cargo");
        fs::create_dir(&home).expect("a folder");
        let users = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let users = users.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")));
        for entry in users.and_then(|users| users.read_dir().ok()).into_iter().flatten() {
            let entry = entry.expect("an entry");
            if entry.file_name() != "git" {
                symlink(entry.path(), home.join(entry.file_name())).expect("a link");
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = nested_cargo(&self.path("dependent"), arguments);
        command
            .env_remove("GPU_BUDDY_KERNEL")
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TARGET_DIR", self.path("target"))
            .env("CARGO_HOME", self.path("cargo"))
            .env("XDG_CACHE_HOME", self.path("cache"));
        command
    }

    /// A copy of the kernel that is compiled in, as `./setup` leaves it for other clones.
    fn copy_of_kernel(&self, version: &str) -> PathBuf {
        let copy = self.path("cache/gpu-buddy").join(KERNEL.series).join(version);
        for file in KERNEL.files.iter().map(|file| file.path).chain(["REVISION"]) {
            let to = copy.join(file);
            fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            fs::copy(kernel_tree().join(file), to).expect("a copy");
        }
        copy
    }
}

fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("UTF-8")
}

fn fail(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().expect("it starts");
    let stderr = String::from_utf8(stderr).expect("UTF-8");
    assert!(!status.success(), "{command:?}: {stderr}");
    stderr
}

fn default_series() -> String {
    let manifest = fs::read_to_string(project().join("vendor/manifest.toml")).expect("a manifest");
    let line = manifest.lines().find_map(|line| line.strip_prefix("default = \""));
    line.expect("a default").trim_end_matches('"').to_owned()
}

#[test]
fn a_git_dependency_finds_its_kernel() {
    let Some(dependent) = Dependent::get() else { return };
    let run = || dependent.cargo(&["run", "--quiet"]);

    // No kernel is there: the message names the ways that work.
    let message = fail(&mut run());
    let cache = dependent.path("cache/gpu-buddy");
    let cache = format!("a copy in {}", cache.display());
    for way in ["In a clone of gpu-buddy, run: ./setup", &cache, "path = ", "GPU_BUDDY_KERNEL to"] {
        assert!(message.contains(way), "no {way:?} in: {message}");
    }
    let message = fail(run().env("GPU_BUDDY_KERNEL", "9.9"));
    assert!(message.contains("run: ./setup --series 9.9"), "{message}");

    // With a kernel tree it builds.
    let output = succeed(run().env("GPU_BUDDY_KERNEL", kernel_tree()));
    assert_eq!(output, format!("{} has 1048576 bytes\n", KERNEL.series));

    if !is_recorded() || KERNEL.series != default_series() {
        not_tested("kernel files from the cache", "the kernel is not that of a plain ./setup");
        return;
    }
    // A changed copy is ignored; the right one beside it is used.
    let changed = dependent.copy_of_kernel("99.1-1");
    let file = changed.join("lib/rbtree.c");
    let text = fs::read_to_string(&file).expect("a file");
    fs::write(&file, text + "#error \"changed\"\n").expect("a file");
    let message = fail(&mut run());
    assert!(message.contains(&cache), "{message}");
    dependent.copy_of_kernel("1.1-1");
    let output = succeed(&mut run());
    assert_eq!(output, format!("{} has 1048576 bytes\n", KERNEL.series));

    // It is not built again each time.
    let again = dependent.cargo(&["build", "--bin", "dependent"]).output().expect("cargo starts");
    let message = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success() && !message.contains("Compiling"), "{message}");
}

/// The crate's own panics are not caught there, nor is a BUG.
#[test]
fn a_bug_prints_its_place_before_the_process_aborts() {
    let Some(dependent) = Dependent::get() else { return };
    let build = ["build", "--bin", "abort", "--config", "profile.dev.panic=\"abort\""];
    succeed(dependent.cargo(&build).env("GPU_BUDDY_KERNEL", kernel_tree()));
    let program = dependent.path("target/debug/abort");
    let output = Command::new(program).output().expect("it starts");
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
    assert_eq!((output.status.signal(), stdout.as_str()), (Some(SIGABRT), "before\n"), "{stderr}");
    let lines: Vec<_> = stderr.lines().collect();
    // The C printed this before the BUG; nobody can read it later.
    assert!(lines[0].starts_with("gpu-buddy: chunk_size: 4KiB"), "{stderr}");
    let bug = lines.last().expect("a line");
    let file = "drivers/gpu/buddy.c";
    let rest = bug.strip_prefix(&format!("gpu-buddy: kernel BUG at {file}:")).expect(bug);
    let (line, rest) = rest.split_once(": ").expect(bug);
    let text = kernel_line(file, line.parse().expect(bug));
    assert!(text.contains("BUG_ON("), "{bug}: {text}");
    assert!(rest.ends_with("; with panic = \"abort\", the process ends here"), "{bug}");
}

/// Dependencies of the command or the tests alone.
#[test]
fn a_library_user_gets_no_dependencies_of_the_command() {
    let Some(dependent) = Dependent::get() else { return };
    let tree = ["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    let tree = succeed(&mut dependent.cargo(&tree));
    let names: Vec<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"gpu-buddy") && names.contains(&"parking_lot"), "{tree}");
    let needless = "clap ctrlc env_logger glob indicatif libloading rustix serde_json sha2 tempfile \
                    proptest arbitrary range-alloc offset-allocator rlsf talc rstest";
    for name in needless.split_whitespace() {
        assert!(!names.contains(&name), "{name} in: {tree}");
    }
}
