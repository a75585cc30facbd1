//! The crate at the edges of a program: beside a library that has functions of the
//! same names, twice in one process, before main(), in a panic hook. And the edges of finding a
//! kernel.
//!
//! The programs are in tests/builds/edges/. They are linked with the crate that this test has.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use crate::common::{
    UNOPTIMISED, WITH_EXAMPLE, copy_of_kernel, nested_cargo, nested_target, out_dir, project,
};
use serde_json::Value;

/// The prefix of the C's symbols in the linker's sight.
const PREFIX: &str = "gpu_buddy_kernel_";

/// The symbols that shared.rs exports.
const EXPORTED: [&str; 4] = ["edges_bug", "edges_hold", "edges_live", "edges_safe"];

/// Kernel functions that another C library may also have. The C of some series lacks them.
const MORE_RIVALS: [&str; 3] = ["rb_first", "rb_last", "gpu_get_buddy"];

/// The programs, and what they are linked from.
struct Built {
    folder: PathBuf,
    /// The folder of this crate's build script.
    out: PathBuf,
}

impl Built {
    fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn library(&self) -> PathBuf {
        self.folder.join("libshared.so")
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

/// This crate, as cargo has built it for this test.
fn this_crate() -> (PathBuf, PathBuf) {
    let json = [&["build", "--offline", "--message-format=json"][..], &WITH_EXAMPLE].concat();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    let messages = succeed(nested_cargo(project(), &json).arg("--target-dir").arg(target));
    let lines = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    let of_library = |message: &Value| message["target"]["name"] == "gpu_buddy";
    let library = lines.into_iter().filter(of_library).find_map(|message: Value| {
        let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
        files.map(PathBuf::from).find(|file| file.extension() == Some(OsStr::new("rlib")))
    });
    (library.expect("a library"), out_dir(&messages))
}

fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| {
        let (library, out) = this_crate();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("edges");
        fs::create_dir_all(&folder).expect("a folder");
        let rustc = |name: &str| {
            let mut command = Command::new(Path::new(env!("CARGO")).with_file_name("rustc"));
            command.args(["--edition=2024", "--out-dir"]).arg(&folder);
            command.arg("-L").arg(format!("dependency={}", parent(&library).display()));
            command.arg("--extern").arg(format!("gpu_buddy={}", library.display()));
            command.arg(project().join("tests/builds/edges").join(format!("{name}.rs")));
            command
        };
        succeed(rustc("shared").arg("--crate-type=cdylib"));
        succeed(&mut rustc("early"));
        succeed(&mut rustc("hook"));

        // The next programs link the rival library, which is built first.
        let built = Built { folder: folder.clone(), out };
        let whole = built.out.join("whole.o");
        let lines = succeed(Command::new("nm").args(["-g", "--defined-only"]).arg(&whole));
        let of_variables = lines.lines().filter(|line| !line.contains(" T "));
        let variables = of_variables.filter_map(|line| line.rsplit(' ').next()).map(str::to_owned);
        let names = built.rival_names();
        let (source, object) = (folder.join("rivals.c"), folder.join("rivals.o"));
        fs::write(&source, rivals(&names, &variables.collect())).expect("a C file");
        let compile = ["-c", "-fPIC", "-w", "-fno-builtin", "-o"];
        succeed(Command::new("cc").args(compile).arg(&object).arg(&source));
        let archive = folder.join("librivals.a");
        succeed(Command::new("ar").arg("crs").arg(&archive).arg(&object));
        // The linker searches this library first.
        let search = format!("-Lnative={}", folder.display());
        succeed(rustc("beside").args([&search, "-lstatic:-bundle=rivals"]));
        let link = format!("-Clink-arg={}", object.display());
        succeed(rustc("host").args([&link, "-Clink-arg=-rdynamic"]));
        built
    })
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("a folder")
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

/// Builds the crate, and returns what it would report about the kernel.
fn facts(kernel: &Path, target: &Path) -> Result<String, String> {
    let build = [&["build", "--offline", "--message-format=json"][..], &WITH_EXAMPLE, &UNOPTIMISED];
    let output = nested_cargo(project(), &build.concat())
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
