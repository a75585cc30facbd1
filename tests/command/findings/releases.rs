//! The kernels that a page names, and what its trace shows on them.

use super::*;

/// A kernel that `./setup` has placed.
pub struct Placed {
    pub folder: PathBuf,
    /// Such as 7.3.4.
    pub release: String,
    /// Whether the tests have passed on it.
    pub recorded: bool,
}

impl Placed {
    pub fn all() -> Vec<Self> {
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

    /// What a page says about it: about the release itself, or an older one of its series.
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

    /// Whether the output of the finding's command shows it.
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

/// All output of a command on a trace.
pub fn output_of(command: &mut Command, trace: &str) -> String {
    use std::io::Write as _;
    use std::os::unix::process::ExitStatusExt as _;
    command.env("XDG_CACHE_HOME", crate::common::module_cache());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    child.stdin.take().expect("piped").write_all(trace.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    // As a shell says it.
    let died = if output.status.signal() == Some(11) { "Segmentation fault" } else { "" };
    text(&output.stdout) + &text(&output.stderr) + died
}

/// Claims of the pages that are wrong for these kernels. `shows` runs a trace.
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

/// The findings that a trace and the command show.
pub fn replayed(findings: Vec<Value>) -> Vec<Value> {
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

/// A wrong claim is noticed: a release that shows it or not against the page, or that the page
/// does not mention.
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

/// The promise that a page cites is there: the line is in a comment, near the function that it
/// is about.
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

/// AddressSanitizer has to report it.
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
