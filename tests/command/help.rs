//! Every example of every `--help` runs, for a user with a kernel tree in ~/linux.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::command_line::{run, text};
use crate::common::{kernel_tree, not_tested, project};
use tempfile::TempDir;

/// The content of every file `NAME.trace`.
const TRACE: &str = "\
    space size=1M chunk=4K\n\
    a = alloc 64K\nfree a cleared\nb = alloc 8K clear\nc = alloc 12K range=0..64K\n\
    lookup 4K\nd = alloc 16K topdown\ne = alloc 4K\nfree d\nf = alloc 20K contiguous\n\
    trim b 4K\nreset dirty\ng = alloc 4K\nfree c\n";

/// What the script of `gpu-buddy import` writes when an allocator is created.
const RECORDING: &str = "init 1000 1 0x1000 1048576 4096 0\n";

/// The subcommands that the help has, with the lines of its examples.
fn examples() -> Vec<(String, String)> {
    let of = |arguments: &[&str]| {
        let output = run(arguments);
        let help = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{help}");
        help
    };
    let help = of(&["--help"]);
    let (_, commands) = help.split_once("Commands:\n").expect(&help);
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let mut names: Vec<_> = commands
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    names.push("--help");
    let mut examples = Vec::new();
    for name in names {
        let help = if name == "--help" { help.clone() } else { of(&[name, "--help"]) };
        let (_, lines) = help.split_once("\nExample").unwrap_or_else(|| panic!("none: {name}"));
        let lines = lines.lines().map(|line| line.trim_start_matches(['s', ':', ' ']));
        let before = examples.len();
        let lines = lines.filter(|line| line.contains("gpu-buddy"));
        examples.extend(lines.map(|line| (name.to_owned(), line.to_owned())));
        assert!(examples.len() > before, "{name}");
    }
    examples
}

/// A user's home: a kernel tree with a history, and what the examples name.
struct Home(TempDir);

impl Home {
    /// Each tag that the examples name, such as `v7.2`, is on the first commit.
    fn new(examples: &[(String, String)]) -> Self {
        let home = Self(TempDir::new().expect("a folder"));
        let linux = home.0.path().join("linux");
        home.sh("cp -RL \"$0\" linux && cd linux && git init -q", &kernel_tree());
        let allocator = linux.join("drivers/gpu/buddy.c");
        let source = fs::read_to_string(&allocator).expect("an allocator");
        for commit in ["", "// The second.\n", "// The third.\n"] {
            fs::write(&allocator, format!("{commit}{source}")).expect("it is written");
            home.sh(
                "cd linux && git add -A && git -c user.name=a -c user.email=a@b commit -qm \"$0\"",
                Path::new("A commit"),
            );
        }
        let words = examples.iter().flat_map(|example| example.1.split([' ', '@']));
        for word in words {
            let is_tag = word.starts_with('v') && word[1..].starts_with(|c: char| c.is_numeric());
            if is_tag {
                home.sh("cd linux && git tag -f \"$0\" HEAD~2", Path::new(word));
            }
            let file = home.0.path().join(word);
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("trace") => fs::write(file, TRACE).expect("it is written"),
                Some("patch") => home.sh("git -C linux diff HEAD~2 HEAD >\"$0\"", &file),
                _ => {}
            }
        }
        fs::write(&allocator, format!("// Not committed.\n{source}")).expect("it is written");
        fs::write(home.0.path().join("recording"), RECORDING).expect("it is written");
        home.sh("ln -s \"$0\" tools", &kernel_tree().join("tools"));
        home.sh("ln -s \"$0\" vendor", &project().join("vendor"));
        home
    }

    fn command(&self, script: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_gpu-buddy"));
        let mut path = program.parent().expect("a folder").as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("HOME", self.0.path()).env("PATH", path).env_remove("RUST_LOG");
        command.env("XDG_CACHE_HOME", crate::common::module_cache());
        command
    }

    fn sh(&self, script: &str, argument: &Path) {
        let output = self.command(script).arg(argument).output().expect("a shell");
        assert!(output.status.success(), "{script}: {}", text(&output.stderr));
    }

    fn run(&self, example: &str) -> Output {
        // The folder that an example writes to.
        if let Some((_, file)) = example.split_once("> ~/") {
            let folder = self.0.path().join(file);
            fs::create_dir_all(folder.parent().expect("a folder")).expect("a folder");
        }
        // The package's copy is not executable.
        let kunit_py = "tools/testing/kunit/kunit.py";
        let example =
            shorter(example).replace(&format!("./{kunit_py}"), &format!("python3 -B {kunit_py}"));
        if example.starts_with("git bisect run") {
            let start = "cd linux && git stash -q && git bisect start -q HEAD HEAD~2 && exec ";
            return self.command(&(start.to_owned() + &example)).output().expect("a shell");
        }
        self.command(&example).output().expect("a shell")
    }
}

/// The same, in less time.
fn shorter(example: &str) -> String {
    let mut words: Vec<String> = example.split(' ').map(str::to_owned).collect();
    let mut limited = false;
    for index in 1..words.len() {
        match words[index - 1].as_str() {
            "--seconds" => words[index] = "1".into(),
            "--ops" => words[index] = "2000".into(),
            _ => continue,
        }
        limited = true;
    }
    let lasts = ["torture", "compare", "check"]
        .iter()
        .any(|name| words.windows(2).any(|pair| pair[0] == "gpu-buddy" && pair[1] == **name));
    if lasts && !limited {
        words.extend(["--seconds".into(), "1".into()]);
    }
    words.join(" ")
}

/// A series that an example names, and that is not there.
fn missing_series(example: &str) -> Option<&str> {
    let is_series = |word: &&str| {
        word.split_once('.').is_some_and(|(a, b)| {
            !a.is_empty()
                && [a, b].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        })
    };
    let mut words: Vec<_> = example.split(' ').collect();
    // The probability is no series.
    if let Some(at) = words.iter().position(|word| *word == "--faults") {
        words.drain(at..at + 2);
    }
    let place = project().join("vendor/linux");
    words.into_iter().filter(is_series).find(|series| !place.join(series).is_dir())
}

#[test]
fn the_examples_run() {
    let examples = examples();
    let home = Home::new(&examples);
    let mut failed = String::new();
    for (name, example) in &examples {
        // It takes cargo and a checkout; tests/builds/binding.rs runs it.
        if name == "binding" {
            continue;
        }
        if let Some(series) = missing_series(example) {
            not_tested(&format!("the example {example}"), &format!("{series} is not there"));
            continue;
        }
        if example.contains("kunit.py") && !kernel_tree().join("tools").is_dir() {
            not_tested(&format!("the example {example}"), "this kernel has no kunit.py");
            continue;
        }
        let output = home.run(example);
        let stderr = text(&output.stderr);
        // 1 is a finding.
        if !matches!(output.status.code(), Some(0 | 1)) || stderr.contains("error: ") {
            failed +=
                &format!("{example}: {}\n{stderr}\n{}\n", output.status, text(&output.stdout));
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

/// An example that does not run is noticed.
#[test]
fn a_wrong_example_is_noticed() {
    let home = Home::new(&[]);
    for wrong in ["gpu-buddy info --kernel ~/nowhere", "gpu-buddy frobnicate", "gpu-buddy replay x"]
    {
        assert_eq!(home.run(wrong).status.code(), Some(2), "{wrong}");
    }
}

#[test]
fn a_name_that_is_nearly_right_gets_a_hint() {
    let says = |arguments: &[&str], hint: &str| {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(hint), "{}", text(&output.stderr));
    };
    says(&["torture", "--against", "refrence"], "Did you mean reference?");
    says(&["tortur"], "'torture'");
    says(&["torture", "--sed", "1"], "'--seed'");
    let series = fs::read_dir(project().join("vendor/linux")).into_iter().flatten().next();
    let Some(series) = series else {
        not_tested("hints for a series", "none is under vendor/linux");
        return;
    };
    let series = series.expect("an entry").file_name().into_string().expect("UTF-8");
    let (wrong, hint) = (format!("{series}x"), format!("Did you mean {series}?"));
    for command in ["info", "torture", "binding"] {
        says(&[command, "--kernel", &wrong], &hint);
    }
    says(&["compare", &wrong, &series], &hint);
    let far = run(&["info", "--kernel", "nothing-like-it"]);
    assert!(!text(&far.stderr).contains("Did you mean"), "{}", text(&far.stderr));
}
