//! Output that cannot be written, and users who do not want to wait: each command says so, and
//! leaves nothing behind.

use std::fs::{self, File};
use std::io::pipe;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::command_line::{assert_wrong_usage, command, text};
use crate::common::{kernel_tree, not_tested, with_statement};
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const TRACE: &str = "\
space size=64K chunk=4K
a = alloc 16K range=0..16K
reset dirty
b = alloc 4K
free a
";

/// Files of a test, and a folder for temporary files that has to be empty at the end.
struct Place {
    files: TempDir,
    temporary: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = || tempfile::tempdir().expect("a folder");
        let place = Self { files: folder(), temporary: folder() };
        fs::write(place.path("some.trace"), TRACE).expect("it is written");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// The command in the folder of the files, with the words of a line.
    fn command(&self, line: &str) -> Command {
        let mut command = command(&[]);
        command
            .args(line.replace("SERIES", gpu_buddy::KERNEL.series).split(' '))
            .current_dir(self.files.path())
            .env("XDG_CACHE_HOME", crate::common::module_cache())
            .env("TMPDIR", self.temporary.path())
            .stderr(Stdio::piped());
        command
    }

    fn assert_clean(&self) {
        let left: Vec<_> = self.temporary.path().read_dir().expect("a folder").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[rstest]
#[case("binding --help")]
#[case("check --help")]
#[case("compare SERIES SERIES some.trace")]
#[case("finding")]
#[case("finding contiguous-frees-list")]
#[case("finding --json")]
#[case("generate --ops 5000")]
#[case("info")]
#[case("import --script")]
#[case("kunit --list")]
#[case("map some.trace")]
#[case("map some.trace --layout hilbert")]
#[case("map some.trace -o some.svg --at 1")]
#[case("plot some.trace")]
#[case("replay some.trace")]
#[case("replay --cost some.trace")]
#[case("report some.trace -o some.html")]
#[case("torture --ops 1000 --json")]
#[case("torture --ops 1000 --coverage")]
#[case("completions bash")]
fn a_reader_that_leaves_is_no_error_and_a_full_disk_is_one(#[case] line: &str) {
    let place = Place::new();
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let Output { status, stderr, .. } =
        place.command(line).stdout(writer).output().expect("it runs");
    assert_eq!((text(&stderr).as_str(), status.code()), ("", Some(0)), "{line}");

    let full = File::options().write(true).open("/dev/full").expect("a device");
    let Output { status, stderr, .. } = place.command(line).stdout(full).output().expect("it runs");
    let stderr = text(&stderr);
    // A picture in a file says nothing on the standard output; the help is clap's.
    if !line.contains(".svg") && !line.contains("--help") {
        assert_eq!(status.code(), Some(2), "{line}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains("No space left"), "{stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
    place.assert_clean();
}

#[rstest]
#[case("map FILE -o FULL.svg")]
#[case("plot FILE -o FULL.svg")]
#[case("report FILE -o FULL.html")]
#[case("compare SERIES SERIES FILE --html FULL.html")]
fn a_file_that_cannot_be_written_is_named(#[case] line: &str) {
    let place = Place::new();
    let (file, nowhere) = (place.path("some.trace"), place.path("no/folder"));
    for (full, says) in
        [("/dev/full", "No space left"), (nowhere.to_str().expect("UTF-8"), "No such file")]
    {
        // The name ends as it has to.
        let link = place.path("link");
        let ending = line.rsplit('.').next().expect("an ending");
        let link = link.with_extension(ending);
        let output = if full == "/dev/full" {
            std::os::unix::fs::symlink(full, &link).expect("a link");
            link.display().to_string()
        } else {
            format!("{full}.{ending}")
        };
        let line = line
            .replace("FILE", file.to_str().expect("UTF-8"))
            .replace(&format!("FULL.{ending}"), &output);
        let Output { status, stderr, .. } = place.command(&line).output().expect("it runs");
        let stderr = text(&stderr);
        assert_eq!(status.code(), Some(2), "{line}: {stderr}");
        assert!(stderr.contains(&output) && stderr.contains(says), "{line}: {stderr}");
        place.assert_clean();
    }
}

#[rstest]
#[case::map(&["map"])]
#[case::plot(&["plot"])]
#[case::report(&["report", "-o", "never.html"])]
#[case::replay(&["replay"])]
#[case::compare(&["compare", "SERIES", "SERIES"])]
fn a_trace_that_cannot_be_read_is_named(#[case] arguments: &[&str]) {
    let place = Place::new();
    let series = gpu_buddy::KERNEL.series;
    let arguments: Vec<_> =
        arguments.iter().map(|&word| if word == "SERIES" { series } else { word }).collect();
    fs::write(place.path("empty.trace"), "").expect("it is written");
    fs::write(place.path("binary.trace"), [0xff, 0xfe, 0]).expect("it is written");
    for (file, says) in [
        ("nothing.trace", "nothing.trace: No such file"),
        ("empty.trace", "empty.trace: line 1, column 1: expected the space first"),
        ("binary.trace", "binary.trace: "),
        (".", ".: Is a directory"),
    ] {
        let path =
            if file == "." { file.to_owned() } else { place.path(file).display().to_string() };
        assert_wrong_usage(&[&arguments[..], &[&path]].concat(), says);
        assert!(!Path::new("never.html").exists());
    }
}

/// One column is not enough for anything, and is no reason to fail.
#[rstest]
#[case("map some.trace")]
#[case("map some.trace --layout hilbert")]
#[case("plot some.trace")]
fn any_width_will_do(#[case] line: &str) {
    let place = Place::new();
    for columns in ["1", "2", "7", "0", "100000", "none"] {
        let output = place.command(line).env("COLUMNS", columns).output().expect("it runs");
        assert_eq!(
            (text(&output.stderr).as_str(), output.status.code()),
            ("", Some(0)),
            "{columns}"
        );
        assert!(output.stdout.len() > 100, "{columns}");
    }
}

/// A kernel whose reset of the clear state does not end.
fn that_hangs() -> Option<TempDir> {
    with_statement("void gpu_buddy_reset_clear(", "for (;;) ;")
}

/// What it was at is said, and the exit code is that of an interrupt.
#[rstest]
#[case::map("map some.trace", "interrupted, in operation 2 of 4 (line 3: reset dirty)", "")]
#[case::plot("plot some.trace", "interrupted, in operation 2 of 4 (line 3: reset dirty)", "")]
#[case::report("report some.trace -o some.html", "", "interrupted, 3 calls not run")]
#[case::torture("torture --ops 100000000", "", "interrupted")]
#[case::keep_going("torture --seconds 60 --keep-going", "", "interrupted")]
#[case::compare("compare SERIES TREE --seconds 60", "", "interrupted")]
#[case::traces("compare SERIES TREE some.trace", "", "traces replayed: 1, interrupted")]
fn an_interrupt_ends_it(#[case] line: &str, #[case] stderr: &str, #[case] stdout: &str) {
    let place = Place::new();
    let Some(tree) = that_hangs() else { return };
    let is_compared = line.starts_with("compare");
    let other = if is_compared && !line.contains(".trace") {
        kernel_tree()
    } else {
        tree.path().to_owned()
    };
    let mut command = place.command(&line.replace("TREE", other.to_str().expect("UTF-8")));
    if !is_compared && !line.starts_with("torture") {
        command.arg("--kernel").arg(tree.path());
    }
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    sleep(Duration::from_secs(2));
    let process = Pid::from_raw(child.id() as i32).expect("a process");
    assert!(child.try_wait().expect("it runs").is_none(), "it runs still");
    kill_process(process, Signal::INT).expect("it runs");
    let begun = Instant::now();
    let output = child.wait_with_output().expect("it ends");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let said = (text(&output.stderr), text(&output.stdout));
    assert_eq!(output.status.code(), Some(130), "{said:?}");
    assert!(said.0.contains(stderr) && said.1.contains(stdout), "{said:?}");
    place.assert_clean();
}

/// What a command shows on a terminal while it works, and nowhere else.
#[rstest]
#[case::compare("compare SERIES SERIES --seconds 2 --html some.html", "comparing ")]
#[case::map("map some.trace --patience 2 --kernel TREE", "running 4 operations")]
fn a_terminal_shows_what_is_being_done(#[case] line: &str, #[case] shows: &str) {
    if Command::new("script").arg("--version").output().is_err() {
        return not_tested("progress on a terminal", "there is no script(1)");
    }
    let place = Place::new();
    let Some(tree) = that_hangs() else { return };
    let line = line.replace("SERIES", kernel_tree().to_str().expect("UTF-8"));
    let line = line.replace("TREE", tree.path().to_str().expect("UTF-8"));
    let program = env!("CARGO_BIN_EXE_gpu-buddy");
    let output = Command::new("script")
        .args(["-qec", &format!("{program} {line}"), "/dev/null"])
        .current_dir(place.files.path())
        .env("XDG_CACHE_HOME", crate::common::module_cache())
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains(shows), "{shown}");
}
