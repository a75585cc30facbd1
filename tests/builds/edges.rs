//! The crate at the edges of a program: beside a library that has functions of the
//! same names, twice in one process, before main(), in a panic hook, with panics that
//! abort. And the edges of finding a kernel.
//!
//! The programs are in tests/builds/edges/. They are one package, which is built once.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use crate::common::{copy_of_kernel, kernel_line, nested_target, out_dir, project};

/// The prefix of the C's symbols in the linker's sight.
const PREFIX: &str = "gpu_buddy_kernel_";

/// The symbols that shared.rs exports.
const EXPORTED: [&str; 4] = ["edges_bug", "edges_hold", "edges_live", "edges_safe"];

const PROGRAMS: [&str; 5] = ["abort", "beside", "early", "hook", "host"];

/// Kernel functions that another C library may also have. The C of some series lacks them.
const MORE_RIVALS: [&str; 3] = ["rb_first", "rb_last", "gpu_get_buddy"];

const SIGABRT: i32 = 6;

/// Where the programs are.
struct Built {
    folder: PathBuf,
    /// The folder of this crate's build script in that build.
    out: PathBuf,
}

impl Built {
    fn program(&self, name: &str) -> PathBuf {
        self.folder.join(format!("edges-{name}"))
    }

    fn library(&self) -> PathBuf {
        self.folder.join("libedges_shared.so")
    }

    /// The C's names before they are prefixed.
    fn kernel_names(&self) -> BTreeSet<String> {
        global(&["-g"], &self.out.join("whole.o"))
    }

    /// Those, and the other names in the rival library.
    fn rival_names(&self) -> BTreeSet<String> {
        &self.kernel_names() | &MORE_RIVALS.map(str::to_owned).into()
    }
}

fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    assert!(status.success(), "{command:?}: {status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("UTF-8")
}

/// Runs a program, whose last line is `done`.
fn runs(command: &mut Command) -> String {
    let stdout = succeed(command);
    assert!(stdout.ends_with("done\n"), "{command:?}: {stdout}");
    stdout
}

/// The global names of a file, from nm.
fn global(options: &[&str], file: &Path) -> BTreeSet<String> {
    let listed = succeed(Command::new("nm").args(options).arg("--defined-only").arg(file));
    let names = listed.lines().filter_map(|line| line.split_whitespace().nth(2));
    // A version of a symbol stands behind an @.
    names.map(|name| name.split('@').next().unwrap_or(name).to_owned()).collect()
}

fn manifest() -> String {
    let sources = project().join("tests/builds/edges");
    let mut text = format!(
        "[package]\nname = \"gpu-buddy-edges\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [workspace]\n\n\
         [dependencies]\ngpu-buddy = {{ path = {:?}, default-features = false }}\n\n\
         [lib]\nname = \"edges_shared\"\ncrate-type = [\"cdylib\"]\npath = {:?}\n",
        project(),
        sources.join("shared.rs")
    );
    for name in PROGRAMS {
        let source = sources.join(format!("{name}.rs"));
        text += &format!("\n[[bin]]\nname = \"edges-{name}\"\npath = {source:?}\n");
    }
    text
}

/// C code with each of the names, as functions that abort and as variables.
fn rivals(names: &BTreeSet<String>, variables: &BTreeSet<String>) -> String {
    let mut text = "void abort(void); int dprintf(int, const char *, ...);\n".to_owned();
    for name in names {
        text += &if variables.contains(name) {
            format!("char {name}[4096] = {{ [0 ... 4095] = 0x55 }};\n")
        } else {
            format!("void {name}(void) {{ dprintf(2, \"a rival's {name}\\n\"); abort(); }}\n")
        };
    }
    text + &format!("int rivals(void) {{ return {}; }}\n", names.len())
}

fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = nested_target();
        let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("edges");
        fs::create_dir_all(&package).expect("a folder");
        fs::write(package.join("Cargo.toml"), manifest()).expect("a manifest");
        fs::copy(project().join("Cargo.lock"), package.join("Cargo.lock")).expect("a lock file");
        let cargo = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO"));
            command.current_dir(&package).args(arguments);
            command.args(["--offline", "--target-dir"]).arg(target.path());
            command
        };
        let programs = ["--lib", "--bin=edges-early", "--bin=edges-hook"];
        let json = "--message-format=json";
        let messages = succeed(cargo(&["build", json]).args(programs));
        let folder = target.path().join("debug");
        let built = Built { folder, out: out_dir(&messages) };

        // The next programs link the rival library, which is built first.
        let whole = built.out.join("whole.o");
        let lines = succeed(Command::new("nm").args(["-g", "--defined-only"]).arg(&whole));
        let of_variables = lines.lines().filter(|line| !line.contains(" T "));
        let variables = of_variables.filter_map(|line| line.rsplit(' ').next()).map(str::to_owned);
        let names = built.rival_names();
        let (source, object) = (package.join("rivals.c"), package.join("rivals.o"));
        fs::write(&source, rivals(&names, &variables.collect())).expect("a C file");
        let compile = ["-c", "-fPIC", "-w", "-fno-builtin", "-o"];
        succeed(Command::new("cc").args(compile).arg(&object).arg(&source));
        let archive = package.join("librivals.a");
        succeed(Command::new("ar").arg("crs").arg(&archive).arg(&object));
        let rustc = |program| cargo(&["rustc", program]);
        // The linker searches this library first.
        let library = format!("-Lnative={}", package.display());
        succeed(rustc("--bin=edges-beside").args(["--", &library, "-lstatic:-bundle=rivals"]));
        let link = format!("-Clink-arg={}", object.display());
        succeed(rustc("--bin=edges-host").args(["--", &link, "-Clink-arg=-rdynamic"]));

        let abort = ["--config", "profile.dev.panic=\"abort\"", "--bin=edges-abort"];
        succeed(cargo(&["build"]).args(abort));
        built
    })
}

#[test]
fn only_names_of_this_crate_can_be_seen() {
    let built = built();
    let kernel = built.kernel_names();
    for name in ["rb_next", "__rb_erase_color", "gpu_buddy_init", "shim_printk", "shim_runtime"] {
        assert!(kernel.contains(name), "{kernel:?}");
    }

    // What is linked into programs, and into static libraries of others.
    let archive = global(&["-g"], &built.out.join("libgpu_buddy_kernel.a"));
    assert!(archive.contains(&format!("{PREFIX}gpu_buddy_init")), "{archive:?}");
    let foreign: Vec<_> = archive.iter().filter(|name| !name.starts_with(PREFIX)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");

    let library = built.library();
    assert_eq!(global(&["-D"], &library), EXPORTED.map(str::to_owned).into());
    for file in [library, built.program("early")] {
        for options in [&["-g"], &["-D"]] {
            let names = global(options, &file);
            let foreign: Vec<_> = names.intersection(&kernel).collect();
            assert!(foreign.is_empty(), "{}: {foreign:?}", file.display());
        }
    }
}

#[test]
fn functions_of_the_same_names_are_not_called() {
    let built = built();
    let stdout = runs(&mut Command::new(built.program("beside")));
    let rivals = built.rival_names().len();
    assert!(stdout.starts_with(&format!("{rivals} rivals\n")), "{stdout}");
}

/// The program that loads them has functions of the same names, too.
#[test]
fn two_copies_in_a_process_are_apart() {
    let built = built();
    let host = built.program("host");
    assert!(global(&["-D"], &host).contains("rb_next"), "the program does not export it");
    let folder = tempfile::tempdir().expect("a folder");
    let copies = ["one.so", "two.so"].map(|name| folder.path().join(name));
    for copy in &copies {
        fs::copy(built.library(), copy).expect("a copy");
    }
    runs(Command::new(host).args(copies));
}

#[test]
fn an_allocator_is_made_before_main() {
    let stdout = runs(&mut Command::new(built().program("early")));
    assert!(stdout.starts_with("before main\n"), "{stdout}");
}

#[test]
fn a_bug_in_a_panic_hook_hurts_nothing_else() {
    runs(&mut Command::new(built().program("hook")));
}

#[test]
fn a_bug_prints_its_place_before_the_process_aborts() {
    let output = Command::new(built().program("abort")).output().expect("it starts");
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

/// Builds the crate, and returns what it would report about the kernel.
fn facts(kernel: &Path, target: &Path) -> Result<String, String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(project())
        .args(["check", "--lib", "--no-default-features", "--offline", "--message-format=json"])
        .arg("--target-dir")
        .arg(target)
        .env("GPU_BUDDY_KERNEL", kernel)
        .output()
        .expect("cargo starts");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let out = out_dir(&String::from_utf8(output.stdout).expect("UTF-8"));
    Ok(fs::read_to_string(out.join("facts.rs")).expect("facts.rs"))
}

/// Makes all files older than any build.
fn age(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            age(&path);
        } else {
            let hour_ago = SystemTime::now() - Duration::from_secs(3600);
            let file = fs::File::options().append(true).open(&path).expect("a file");
            file.set_modified(hour_ago).expect("a time");
        }
    }
}

/// The tree is named by a link that later points to another tree. Both trees claim the
/// same revision.
#[test]
fn a_link_to_another_tree_and_an_edited_tree_are_noticed() {
    let (original, edited) = (copy_of_kernel(), copy_of_kernel());
    for file in ["drivers/gpu/buddy.c", "lib/rbtree.c"] {
        let path = edited.path().join(file);
        let text = fs::read_to_string(&path).expect(file);
        fs::write(path, format!("{text}\n/* edited */\n")).expect(file);
    }
    age(original.path());
    age(edited.path());
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("linux");
    let changed = "changed since:";

    let target = nested_target();
    symlink(original.path(), &link).expect("a link");
    let facts_before = facts(&link, target.path()).expect("it builds");
    assert!(!facts_before.contains(changed), "{facts_before}");

    fs::remove_file(&link).expect("the link");
    symlink(edited.path(), &link).expect("a link");
    let facts_after = facts(&link, target.path()).expect("it builds");
    let expected = format!("{changed} drivers/gpu/buddy.c, lib/rbtree.c\"");
    assert!(facts_after.contains(&expected), "{facts_after}");
}

#[test]
fn a_path_that_is_not_utf8_is_refused() {
    let target = nested_target();
    let path = Path::new(OsStr::from_bytes(b"/tmp/linux-\xff"));
    // Cargo treats a value that is not UTF-8 as unset. Another value first, so that it
    // sees a change.
    let _ = facts(Path::new("/no/such/tree"), target.path());
    let message = facts(path, target.path()).expect_err("refused");
    assert!(message.contains("GPU_BUDDY_KERNEL: the path /tmp/linux-"), "{message}");
    assert!(message.contains("is not UTF-8. Use one that is."), "{message}");
}
