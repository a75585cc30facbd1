//! The pages of docs/findings/ are true: each trace shows what its page says, on the kernels that
//! the page names and on no others.

mod pictures;
mod releases;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::command_line::{assert_wrong_usage, command, run, text};
use crate::common::{not_tested, project};
use gpu_buddy::diff::KNOWN;
use gpu_buddy::module::{Build, Tree, ask_compiler};
use serde_json::Value;

/// A line of a mail.
const WIDTH: usize = 72;

fn passes(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    text(&output.stdout)
}

fn findings() -> Vec<Value> {
    serde_json::from_str(&passes(&["finding", "--json"])).expect("an array")
}

fn word<'a>(finding: &'a Value, key: &str) -> &'a str {
    finding[key].as_str().unwrap_or_default()
}

fn words<'a>(finding: &'a Value, key: &str) -> Vec<&'a str> {
    finding[key].as_array().expect("an array").iter().filter_map(Value::as_str).collect()
}

fn versions<'a>(finding: &'a Value, key: &str) -> Vec<&'a str> {
    let releases = finding[key].as_array().expect("an array").iter();
    releases.filter_map(|release| release["version"].as_str()).collect()
}

#[test]
fn the_command_has_each_page() {
    let names = |text: &str| -> BTreeSet<String> {
        text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    };
    let pages = fs::read_dir(project().join("docs/findings")).expect("a folder");
    let pages = pages.map(|entry| entry.expect("an entry").path());
    let pages: BTreeSet<String> = pages
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(names(&passes(&["finding"])), pages);
    assert_eq!(findings().len(), pages.len());
}

#[test]
fn each_known_breach_has_a_page() {
    let findings = findings();
    for known in KNOWN {
        let finding = findings.iter().find(|finding| finding["name"] == known.name);
        let finding = finding.unwrap_or_else(|| panic!("no page of {}", known.name));
        assert_eq!(finding["breaks"], known.promises[0].name(), "{}", known.name);
        assert!(finding["trace"].is_string(), "{}", known.name);
    }
}

#[test]
fn each_page_is_a_mail() {
    for finding in findings() {
        let name = word(&finding, "name");
        let page = passes(&["finding", name]);
        for line in page.lines() {
            assert!(line.chars().count() <= WIDTH && line.is_ascii(), "{name}: {line}");
            assert_eq!(line, line.trim_end(), "{name}");
        }
        assert!(!page.contains("\n\n\n") && !page.contains("```"), "{page}");
        let sections = finding["sections"].as_array().expect("sections").iter();
        let sections: Vec<_> = sections.map(|section| word(section, "title")).collect();
        let shown = match (finding["trace"].as_str(), finding["code"].as_str()) {
            (Some(trace), _) => Some(("Trace", trace)),
            (_, Some(code)) => Some(("Code", code)),
            _ => None,
        };
        if let Some((_, text)) = shown {
            assert!(text.lines().all(|line| page.contains(&format!("    {line}\n"))), "{page}");
        }
        let title = shown.map(|shown| shown.0);
        let expected =
            [Some("Promised"), title, Some("What happens"), Some("Expected"), Some("Fix")];
        assert_eq!(sections, expected.into_iter().flatten().collect::<Vec<_>>(), "{name}");
        assert_eq!(finding["run"].is_string(), shown.is_some(), "{name}");
        assert_eq!(finding["run"].is_string(), !words(&finding, "shows").is_empty(), "{name}");
        let nowhere = versions(&finding, "shown_by").is_empty();
        assert_eq!(nowhere, finding["history"].is_string(), "{name}");
        assert!(!words(&finding, "rests_on").is_empty(), "{name}");
    }
}

#[test]
fn a_trace_alone_is_one_to_replay() {
    let trace = passes(&["finding", "top-down-fallback", "--trace"]);
    let parsed: gpu_buddy::diff::Trace = trace.parse().expect("a trace");
    assert_eq!(parsed.operations.len(), 2);
    assert_wrong_usage(&["finding", "binding-size-is-as-asked", "--trace"], "has no trace");
}

#[test]
fn another_name_gets_a_hint() {
    assert_wrong_usage(
        &["finding", "contiguous-free-list"],
        "similar value exists: 'contiguous-frees-list'",
    );
}

/// The table of docs/findings.md.
fn overview(findings: &[Value]) -> String {
    let mut table = String::from("| name | what | series | kind |\n| --- | --- | --- | --- |\n");
    for finding in findings {
        let name = word(finding, "name");
        let releases = versions(finding, "shown_by");
        let series = match (&releases[..], finding["not_by"].as_array().map_or(0, Vec::len)) {
            ([], _) => "none".to_owned(),
            (_, 0) => "all".to_owned(),
            _ => releases.join(", "),
        };
        let sure = word(finding, "sure").replace('-', " ");
        table += &format!(
            "| [`{name}`](findings/{name}.md) | {} | {series} | {}, {sure} |\n",
            word(finding, "title"),
            word(finding, "kind"),
        );
    }
    table
}

/// With BLESS=1 it is written anew.
#[test]
fn the_overview_has_each_finding() {
    let file = project().join("docs/findings.md");
    let page = fs::read_to_string(&file).expect("a page");
    let table = overview(&findings());
    if page.contains(&table) {
        return;
    }
    let is_row = |line: &&str| line.starts_with('|');
    let before: Vec<_> = page.lines().take_while(|line| !is_row(line)).collect();
    let after: Vec<_> = page.lines().skip(before.len()).skip_while(is_row).collect();
    assert!(
        std::env::var_os("BLESS").is_some(),
        "docs/findings.md is old; BLESS=1 cargo test --test command findings:: writes it"
    );
    fs::write(file, format!("{}\n{table}{}\n", before.join("\n"), after.join("\n")))
        .expect("it is");
}
