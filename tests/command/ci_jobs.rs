//! The jobs of docs/ci/, as far as they go without their services: a parser reads them, and
//! their scripts run in a fresh clone. `cargo build` puts the command in place that is tested
//! here; tests/builds/package.rs and .ci/run build in a clone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{copy_of_kernel, edit_allocator, not_tested, project};
use tempfile::TempDir;
use yaml_rust2::{Yaml, YamlLoader};

fn read(file: &str) -> Yaml {
    let text = fs::read_to_string(project().join("docs/ci").join(file)).expect(file);
    let mut documents = YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(documents.len(), 1, "{file}");
    documents.remove(0)
}

fn text(yaml: &Yaml) -> &str {
    yaml.as_str().unwrap_or_else(|| panic!("text is expected: {yaml:?}"))
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=A", "-c", "user.email=a@b"])
        .args(arguments)
        .output()
        .expect("git");
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

/// What a job has around it: a kernel tree with a change, and a clone of this project.
struct Service {
    folder: TempDir,
    base: String,
}

impl Service {
    /// The kernel goes to `linux`, and this project to `clone`, each where the job wants it. The
    /// change puts one text in place of another.
    fn new(
        linux: &str,
        clone: Option<&str>,
        (after, from, to): (&str, &str, &str),
    ) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let kernel = copy_of_kernel();
        git(kernel.path(), &["init", "-q"]);
        git(kernel.path(), &["add", "."]);
        git(kernel.path(), &["commit", "-qm", "base"]);
        if !edit_allocator(kernel.path(), after, from, to) {
            return None;
        }
        git(kernel.path(), &["commit", "-qam", "change"]);
        let base = git(kernel.path(), &["rev-parse", "HEAD^"]);
        let at = |name: &str| folder.path().join(name).display().to_string();
        git(folder.path(), &["clone", "-q", &kernel.path().display().to_string(), &at(linux)]);
        if let Some(clone) = clone {
            let project = project().display().to_string();
            git(folder.path(), &["clone", "-q", &project, &at(clone)]);
        }
        let service = Self { folder, base };
        let cargo = service.path("bin/cargo");
        fs::create_dir_all(cargo.parent().expect("a folder")).expect("a folder");
        // The kernel files have to be placed by then.
        let script = format!(
            "#!/bin/sh\nset -e\ntest \"$*\" = 'build --release'\nls vendor/linux/*/drivers/gpu/buddy.c\n\
             mkdir -p target/release\nln -s {} target/release/gpu-buddy\n",
            env!("CARGO_BIN_EXE_gpu-buddy")
        );
        fs::write(&cargo, script).expect("it is written");
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("its mode");
        Some(service)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a script in a folder. A minute's check is a quick one here.
    fn run(
        &self,
        script: &str,
        folder: &str,
        options: &[&str],
        environment: &[(&str, String)],
    ) -> i32 {
        assert!(script.contains("--seconds 60") || !script.contains("check "), "{script}");
        let path = std::env::var("PATH").expect("a path");
        let output = Command::new("bash")
            .args(options)
            .args(["-c", &script.replace("--seconds 60", "--quick --seed 1")])
            .current_dir(self.path(folder))
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("HOME", self.folder.path())
            .env_remove("GPU_BUDDY_KERNEL")
            .env("XDG_CACHE_HOME", self.path("cache"))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .expect("bash");
        println!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output.status.code().expect("an exit code")
    }
}

/// A change, the exit code of its check, and what that says.
type Case = ((&'static str, &'static str, &'static str), i32, &'static str);

const COMMENT: Case = (("", "#include", "/* A comment. */\n#include"), 0, "**same behaviour");
const BROKEN: Case =
    (("__gpu_buddy_free(", "!gpu_buddy_block_is_free(buddy)", "1"), 1, "breaks a promise");

fn is_clone() -> bool {
    let is_clone = project().join(".git").exists();
    if !is_clone {
        not_tested("the jobs of docs/ci", "this is no clone");
    }
    is_clone
}

#[test]
fn the_job_of_github_runs() {
    if !is_clone() {
        return;
    }
    let job = read("github.yml")["jobs"]["check"].clone();
    let steps = job["steps"].as_vec().expect("steps");
    let (mut linux, mut clone, mut scripts) = (None, None, Vec::new());
    for step in steps {
        let with = &step["with"];
        match (step["uses"].as_str(), with["repository"].as_str()) {
            (Some("actions/checkout@v4"), None) => {
                assert_eq!(with["fetch-depth"].as_i64(), Some(0), "the base has to be there");
                linux = Some(text(&with["path"]));
            }
            (Some("actions/checkout@v4"), Some(repository)) => {
                assert_eq!(repository, "${{ vars.GPU_BUDDY_REPOSITORY }}");
                clone = Some(text(&with["path"]));
            }
            (Some(uses), _) => assert_eq!(uses, "actions/cache@v4"),
            (None, _) => {
                let folder = step["working-directory"].as_str().unwrap_or(".");
                scripts.push((text(&step["run"]), folder));
            }
        }
    }
    assert_eq!(scripts.len(), 2, "{scripts:?}");
    for (change, code, says) in [COMMENT, BROKEN] {
        let Some(service) = Service::new(linux.expect("a path"), clone, change) else { return };
        let summary = service.path("summary");
        let environment = [("GITHUB_STEP_SUMMARY", summary.display().to_string())];
        let mut codes = Vec::new();
        for (script, folder) in &scripts {
            let base = "${{ github.event.pull_request.base.sha }}";
            let script = script.replace(base, &service.base);
            assert!(!script.contains("${{"), "{script}");
            codes.push(service.run(&script, folder, &["-e"], &environment));
        }
        let summary = fs::read_to_string(summary).expect("a summary");
        assert_eq!(codes, [0, code], "{summary}");
        assert!(summary.contains(says), "{summary}");
    }
}

#[test]
fn the_job_of_gitlab_runs() {
    if !is_clone() {
        return;
    }
    let job = read("gitlab.yml")["gpu-buddy"].clone();
    let lines: Vec<_> = job["script"].as_vec().expect("a script").iter().map(text).collect();
    assert_eq!(job["variables"]["GIT_DEPTH"].as_i64(), Some(0), "the base has to be there");
    let artifacts = job["artifacts"]["paths"].as_vec().expect("paths");
    for (change, code, says) in [COMMENT, BROKEN] {
        let Some(service) = Service::new("linux", None, change) else { return };
        let environment = [
            ("GPU_BUDDY_REPOSITORY", format!("file://{}", project().display())),
            ("CI_MERGE_REQUEST_DIFF_BASE_SHA", service.base.clone()),
        ];
        let ended =
            service.run(&lines.join("\n"), "linux", &["-e", "-o", "pipefail"], &environment);
        for artifact in artifacts {
            let artifact = service.path("linux").join(text(artifact));
            let report = fs::read_to_string(&artifact).expect("an artifact");
            assert!(report.contains(says), "{report}");
        }
        assert_eq!(ended, code);
    }
}
