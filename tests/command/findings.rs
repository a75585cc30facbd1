//! What docs/findings/ says is true: each trace shows what its page says, on the kernels that
//! the page says and on no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
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

/// A kernel that `./setup` has placed.
struct Placed {
    folder: PathBuf,
    /// Such as 7.3.4.
    release: String,
    /// The tests have passed on it.
    recorded: bool,
}

impl Placed {
    fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir(project().join("vendor/linux")) else { return Vec::new() };
        let manifest = fs::read_to_string(project().join("vendor/manifest.toml")).expect("one");
        let mut all: Vec<_> = entries
            .filter_map(|entry| {
                let folder = entry.expect("an entry").path();
                let revision = fs::read_to_string(folder.join("REVISION")).ok()?;
                let version = revision.lines().find_map(|line| line.strip_prefix("version: "))?;
                let release = version.split('-').next()?.to_owned();
                let allocators = ["drivers/gpu/buddy.c", "drivers/gpu/drm/drm_buddy.c"];
                let is_allocator = |line: &&str| allocators.iter().any(|file| line.ends_with(file));
                let line = revision.lines().find(is_allocator)?;
                let recorded = manifest.contains(line.split(' ').nth(1)?);
                Some(Self { folder, release, recorded })
            })
            .collect();
        all.sort_by_key(|placed| placed.release.clone());
        all
    }

    fn name(&self) -> String {
        self.folder.file_name().expect("a name").to_string_lossy().into_owned()
    }

    /// What a page says of it: of the release itself, or of an older one of its series.
    fn claim(&self, finding: &Value, all: &[Self]) -> Option<bool> {
        let (series, _) = self.release.rsplit_once('.')?;
        let is_of_series = |version: &str| {
            version.rsplit_once('.').is_some_and(|(other, _)| other == series)
                && !all.iter().any(|placed| placed.release == version)
        };
        let is_said =
            |key: &str, is: &dyn Fn(&str) -> bool| versions(finding, key).into_iter().any(is);
        let itself = |version: &str| version == self.release;
        for is in [&itself as &dyn Fn(&str) -> bool, &is_of_series] {
            match (is_said("shown_by", is), is_said("not_by", is)) {
                (false, false) => {}
                (shown, not) => {
                    assert!(shown != not, "{}: {} twice", finding["name"], self.release);
                    return Some(shown);
                }
            }
        }
        None
    }

    /// Whether the output of the finding's command has what it should.
    fn shows(&self, finding: &Value) -> bool {
        let mut command = match word(finding, "run") {
            "replay" => command(&["replay", "--strict", "--against", "contract", "-"]),
            "cost" => command(&["replay", "--cost", "-"]),
            other => panic!("{other}"),
        };
        command.arg("--kernel").arg(&self.folder);
        is_in(&output_of(&mut command, word(finding, "trace")), finding)
    }
}

fn is_in(output: &str, finding: &Value) -> bool {
    words(finding, "shows").iter().any(|shows| output.contains(shows))
}

/// All that a command says of a trace.
fn output_of(command: &mut Command, trace: &str) -> String {
    use std::io::Write as _;
    use std::os::unix::process::ExitStatusExt as _;
    command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("modules"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    child.stdin.take().expect("piped").write_all(trace.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    // As a shell says it.
    let died = if output.status.signal() == Some(11) { "Segmentation fault" } else { "" };
    text(&output.stdout) + &text(&output.stderr) + died
}

/// What is wrong with what the pages say of the kernels that are there. `shows` runs a trace.
fn wrong_claims(
    findings: &[Value],
    kernels: &[Placed],
    shows: impl Fn(&Placed, &Value) -> bool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for finding in findings {
        let name = word(finding, "name");
        for kernel in kernels {
            let release = &kernel.release;
            match kernel.claim(finding, kernels) {
                None if kernel.recorded => {
                    wrong.push(format!("docs/findings/{name}.md does not mention {release}"));
                }
                None => not_tested(
                    &format!("findings of {}", kernel.name()),
                    &format!("docs/findings/ does not mention {release}"),
                ),
                Some(claim) if claim != shows(kernel, finding) => {
                    let says =
                        if claim { "shows it and does not" } else { "does not and shows it" };
                    wrong.push(format!("docs/findings/{name}.md says that {release} {says}"));
                }
                Some(_) => {}
            }
        }
    }
    wrong
}

/// Those that a trace and the command show.
fn replayed(findings: Vec<Value>) -> Vec<Value> {
    let is_replayed = |finding: &Value| ["replay", "cost"].contains(&word(finding, "run"));
    findings.into_iter().filter(is_replayed).collect()
}

#[test]
fn each_kernel_shows_what_the_pages_say_and_nothing_else() {
    let kernels = Placed::all();
    if kernels.is_empty() {
        not_tested("findings", "there is no kernel under vendor/linux");
    }
    let wrong = wrong_claims(&replayed(findings()), &kernels, Placed::shows);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A release that is said to show something and does not, or the other way round, or that is
/// not mentioned, is noticed.
#[test]
fn a_wrong_release_is_noticed() {
    let kernels = Placed::all();
    let Some(kernel) = kernels.iter().find(|kernel| kernel.recorded) else {
        not_tested("wrong findings", "there is no recorded kernel under vendor/linux");
        return;
    };
    let mut finding = replayed(findings()).remove(0);
    let mentioned = serde_json::json!([{ "version": kernel.release, "why": null }]);
    for (shown_by, not_by, says) in [
        (mentioned.clone(), serde_json::json!([]), Some("shows it and does not")),
        (serde_json::json!([]), mentioned, None),
        (serde_json::json!([]), serde_json::json!([]), Some("does not mention")),
    ] {
        (finding["shown_by"], finding["not_by"]) = (shown_by, not_by);
        let kernels = Placed::all().into_iter().filter(|other| other.release == kernel.release);
        let kernels: Vec<_> = kernels.collect();
        let wrong = wrong_claims(std::slice::from_ref(&finding), &kernels, |_, _| false);
        match says {
            Some(says) => assert!(wrong.len() == 1 && wrong[0].contains(says), "{wrong:?}"),
            None => assert_eq!(wrong, [""; 0]),
        }
    }
}

/// What a page rests on is there: the line is one of a comment, near to what it is about.
#[test]
fn promises_are_where_the_pages_say() {
    let kernels = Placed::all();
    for finding in findings() {
        let name = word(&finding, "name");
        let releases = [versions(&finding, "shown_by"), versions(&finding, "not_by")].concat();
        let kernel = kernels.iter().find(|kernel| kernel.release == releases[0]);
        let Some(kernel) = kernel.filter(|kernel| kernel.recorded) else {
            not_tested(
                &format!("what findings of {} rest on", releases[0]),
                "that release is not under vendor/linux",
            );
            continue;
        };
        for place in words(&finding, "rests_on") {
            let (file, rest) = place.split_once(':').expect("FILE:LINE IDENTIFIER");
            let (line, identifier) = rest.split_once(' ').expect("LINE IDENTIFIER");
            let line: usize = line.parse().expect("a number");
            let text = fs::read_to_string(kernel.folder.join(file)).expect(file);
            let lines: Vec<_> = text.lines().collect();
            let said = lines[line - 1].trim_start();
            let is_comment = ["*", "//"].iter().any(|begin| said.starts_with(begin));
            let begin = (1..line).rev().find(|&at| lines[at - 1].trim().is_empty()).unwrap_or(1);
            let near = &lines[begin - 1..(line + 16).min(lines.len())];
            assert!(is_comment, "{name}: {place} of {}: {said}", kernel.release);
            let named = near.iter().any(|line| line.contains(identifier));
            assert!(named, "{name}: {place} of {}", kernel.release);
        }
    }
}

/// What AddressSanitizer has to report.
#[test]
fn a_contiguous_request_reads_what_it_has_freed() {
    let findings = findings();
    let findings: Vec<_> =
        findings.into_iter().filter(|finding| finding["run"] == "sanitizer").collect();
    assert_eq!(findings.len(), 1);
    let Some(library) = ask_compiler("-print-file-name=libasan.so") else {
        not_tested("a use after free", "the compiler has no library of the address sanitizer");
        return;
    };
    let options = "detect_leaks=0:halt_on_error=0:allocator_may_return_null=1:handle_segv=0:\
                   log_path=/dev/null";
    let wrong = wrong_claims(&findings, &Placed::all(), |kernel, finding| {
        let folder = tempfile::tempdir().expect("a folder");
        let tree = Tree::find(&kernel.folder).expect("a tree");
        let module = tree.build(Build::Sanitized, folder.path()).expect("it compiles");
        let mut command = command(&["replay", "--strict", "--against", "contract", "-"]);
        command.arg("--kernel").arg(module);
        command.env("LD_PRELOAD", &library).env("ASAN_OPTIONS", options);
        is_in(&output_of(&mut command, word(finding, "trace")), finding)
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each trace has a map of what it leaves behind, on the first release that shows it, unless
/// the process dies of it. With BLESS=1 they are drawn anew.
#[test]
fn pictures_are_of_what_the_traces_leave() {
    let kernels = Placed::all();
    let mut old = Vec::new();
    for finding in replayed(findings()) {
        let name = word(&finding, "name");
        let place = project().join(format!("docs/findings/{name}.svg"));
        let Some(release) = versions(&finding, "shown_by").first().copied() else { continue };
        if words(&finding, "shows").contains(&"Segmentation fault") {
            continue;
        }
        let page = fs::read_to_string(place.with_extension("md")).expect("a page");
        assert!(page.contains(&format!("({name}.svg)")), "{name} does not show its picture");
        let kernel = kernels.iter().find(|kernel| kernel.release == release);
        let Some(kernel) = kernel.filter(|kernel| kernel.recorded) else {
            not_tested(
                &format!("pictures of findings of {release}"),
                "that release is not under vendor/linux",
            );
            continue;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let [trace, svg] = ["trace", "svg"].map(|end| folder.path().join(name).with_extension(end));
        fs::write(&trace, word(&finding, "trace")).expect("it is written");
        let mut command = command(&["map", "--labels", "-o"]);
        command.arg(&svg).arg(trace).arg("--kernel").arg(&kernel.folder);
        let said = output_of(&mut command, "");
        let drawn =
            fs::read_to_string(&svg).unwrap_or_else(|error| panic!("{name}: {error}: {said}"));
        assert!(drawn.len() < 20_000, "{name}: {} bytes", drawn.len());
        if fs::read_to_string(&place).ok().as_ref() != Some(&drawn) {
            old.push(name.to_owned());
            if std::env::var_os("BLESS").is_some() {
                fs::write(place, drawn).expect("it is written");
            }
        }
    }
    assert!(
        old.is_empty() || std::env::var_os("BLESS").is_some(),
        "old: {old:?}; BLESS=1 cargo test --test findings draws them"
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
        "docs/findings.md is old; BLESS=1 cargo test --test findings writes it"
    );
    fs::write(file, format!("{}\n{table}{}\n", before.join("\n"), after.join("\n")))
        .expect("it is");
}
