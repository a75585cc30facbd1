//! `gpu-buddy completions`: what bash completes, and the man pages.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::command_line::{assert_wrong_usage, run, text};
use crate::common::not_tested;
use rstest::rstest;
use tempfile::TempDir;

fn passes(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)));
    text(&output.stdout)
}

/// What bash offers for the last of these words.
fn completed(words: &[&str]) -> Option<BTreeSet<String>> {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("script");
    fs::write(&file, passes(&["completions", "bash"])).expect("it is written");
    let script = "source \"$0\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1))
        complete=$(complete -p gpu-buddy); complete=${complete#* -F }
        ${complete%% *} \"$1\" \"${@: -1}\" \"${@: -2:1}\" && printf '%s\\n' \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", script]).arg(file).args(words).output();
    let Ok(output) = output else {
        not_tested("completions", "bash is not installed");
        return None;
    };
    assert_eq!(text(&output.stderr), "");
    Some(text(&output.stdout).lines().map(str::to_owned).collect())
}

#[rstest]
#[case::a_subcommand(&["gpu-buddy", "compl"], "completions")]
#[case::an_option(&["gpu-buddy", "torture", "--see"], "--seed")]
#[case::a_finding(&["gpu-buddy", "finding", "top-down-f"], "top-down-fallback")]
#[case::a_shell(&["gpu-buddy", "completions", "zs"], "zsh")]
fn bash_completes(#[case] words: &[&str], #[case] expected: &str) {
    let Some(completed) = completed(words) else { return };
    assert_eq!(completed, BTreeSet::from([expected.to_owned()]));
}

#[rstest]
#[case("elvish")]
#[case("fish")]
#[case("powershell")]
#[case("zsh")]
fn other_shells_have_a_script(#[case] shell: &str) {
    let script = passes(&["completions", shell]);
    assert!(script.contains("torture") && script.contains("seed"), "{script}");
}

/// The subcommands and options that the help hides are for the command itself.
#[rstest]
fn hidden_words_are_not_completed(
    #[values("bash", "elvish", "fish", "powershell", "zsh")] shell: &str,
) {
    let script = passes(&["completions", shell]);
    for hidden in ["all-or-nothing", "supervised", "patience", "replay-episode"] {
        assert!(!script.contains(hidden), "{shell} completes {hidden}");
    }
}

#[test]
fn bash_completes_no_hidden_subcommand() {
    let Some(completed) = completed(&["gpu-buddy", "re"]) else { return };
    assert_eq!(completed, BTreeSet::from(["replay", "report"].map(str::to_owned)));
}

/// There is a page for each subcommand of the help, and man can show each.
#[test]
fn man_pages_are_those_of_the_help() {
    let folder = TempDir::new().expect("a folder");
    let man = folder.path().join("share/man1");
    assert_eq!(passes(&["completions", "--man", &man.display().to_string()]), "");
    let help = passes(&["--help"]);
    let (_, commands) = help.split_once("Commands:\n").expect(&help);
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.split_whitespace().next());
    let names = names.filter(|name| *name != "help").map(|name| format!("gpu-buddy-{name}.1"));
    let expected: BTreeSet<_> = names.chain(["gpu-buddy.1".to_owned()]).collect();
    let files = fs::read_dir(&man).expect("a folder").map(|entry| entry.expect("an entry"));
    let files: BTreeSet<_> =
        files.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
    assert_eq!(files, expected);

    let page = fs::read_to_string(man.join("gpu-buddy-finding.1")).expect("a page");
    assert!(page.contains("Examples") && page.contains("\\-\\-trace"), "{page}");
    for file in files {
        let mut groff = Command::new("groff");
        groff.args(["-k", "-man", "-Tutf8", "-ww", "-z"]).arg(man.join(&file));
        match groff.output() {
            Ok(output) => assert_eq!(text(&output.stderr), "", "{file}"),
            Err(_) => not_tested("man pages", "groff is not installed"),
        }
    }
}

#[rstest]
#[case::nothing(&["completions"], "SHELL|--man")]
#[case::both(&["completions", "bash", "--man", "x"], "cannot be used with")]
#[case::another_shell(&["completions", "bsh"], "'bash'")]
#[case::a_file(&["completions", "--man", "Cargo.toml"], "Cargo.toml")]
fn wrong_usage_says_why(#[case] arguments: &[&str], #[case] says: &str) {
    assert_wrong_usage(arguments, says);
}
