//! The builds of the two kernels that a check needs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::thread;

use gpu_buddy::module::{Build, Module, ModuleError, Object, ask_compiler};

use super::Stopped;
use super::judge::Subject;
use super::report::{Mark, Part, Step};
use super::run::{Modules, plural};
use super::target::Targets;
use crate::Failure;

/// The results of compiling.
pub struct Built {
    pub patched: PathBuf,
    pub base: PathBuf,
    /// The build with gcov counters, or why there is none.
    pub coverage: Result<PathBuf, String>,
    pub sanitized: Result<Subject, String>,
    /// The patched C with the base's suite, or why there is none; `None` if the suites are equal.
    pub old_suite: Option<Result<PathBuf, String>>,
    has_suite: [bool; 2],
    /// Why both must behave in the same way, if they must.
    pub same: Option<String>,
    new_warnings: Vec<String>,
}

impl Built {
    pub fn new(targets: &Targets, place: &Path) -> Result<Self, Stopped> {
        let Targets { patched, base, .. } = targets;
        let suite_differs = match (patched.suite(), base.suite()) {
            (Some(ours), Some(theirs)) => {
                ours.map(|path| patched.file(path)) != theirs.map(|path| base.file(path))
            }
            _ => false,
        };
        let old_suite = suite_differs.then(|| patched.with_suite_of(base)).flatten();
        let place = |name: &str| place.join(name);
        let fail = |error: ModuleError| error.to_string();
        let (plain, of_base, objects, coverage, sanitized, old_suite) = thread::scope(|scope| {
            // The two objects first: they are quick, and may be enough.
            let objects = [
                scope.spawn(|| patched.object(&place("patched.object"))),
                scope.spawn(|| base.object(&place("base.object"))),
            ];
            let plain = scope.spawn(|| patched.build(Build::Plain, &place("patched.build")));
            let of_base = scope.spawn(|| base.build(Build::Plain, &place("base.build")));
            let objects = objects.map(|thread| thread.join().expect("it does not panic"));
            let same = is_same(&objects);
            let more = |build, name: &str| {
                let folder = place(name);
                (!same).then(|| scope.spawn(move || patched.build(build, &folder)))
            };
            let coverage = more(Build::Coverage, "patched.coverage");
            let sanitized = more(Build::Sanitized, "patched.sanitized");
            let old = old_suite.as_ref().map(|tree| {
                let folder = place("patched.suite");
                scope.spawn(move || tree.build(Build::Plain, &folder))
            });
            let join = |thread: thread::ScopedJoinHandle<'_, Result<PathBuf, ModuleError>>| {
                thread.join().expect("it does not panic")
            };
            (
                join(plain),
                join(of_base),
                objects,
                coverage.map(join),
                sanitized.map(join),
                old.map(join),
            )
        });
        let plain = plain.map_err(|error| stopped(error, "patched"))?;
        let of_base = of_base.map_err(|error| stopped(error, "base"))?;
        let same = is_same(&objects).then(|| "the object code is the same".to_owned());
        let new_warnings = match &objects {
            [Ok(ours), Ok(theirs)] => new_warnings(ours, theirs),
            _ => Vec::new(),
        };
        let not_needed = || Err("not needed".to_owned());
        let sanitized = sanitized.map_or_else(not_needed, |module| module.map_err(fail));
        Ok(Self {
            patched: plain,
            base: of_base,
            coverage: coverage.map_or_else(not_needed, |module| module.map_err(fail)),
            sanitized: sanitized.and_then(with_sanitizer),
            old_suite: old_suite.map(|module| module.map_err(fail)),
            has_suite: [patched.suite().is_some(), base.suite().is_some()],
            same,
            new_warnings,
        })
    }

    pub fn step(&self) -> Step {
        let code = match &self.same {
            Some(same) => same.as_str(),
            None => "the object code differs",
        };
        let (mark, warnings) = match self.new_warnings.as_slice() {
            [] => (Mark::Passed, "no new compiler warning".to_owned()),
            new => (Mark::Changed, plural(new.len(), "new compiler warning")),
        };
        Step { part: Part::Build, mark, summary: format!("{code}; {warnings}") }
    }

    /// What only one kernel supports, and new warnings.
    pub fn notes(&self, targets: &Targets) -> Vec<String> {
        let mut notes: Vec<_> =
            self.new_warnings.iter().map(|warning| format!("new: {warning}")).collect();
        if let (Ok(patched), Ok(base)) = (Module::open(&self.patched), Module::open(&self.base)) {
            let (patched, base) = ((patched, &targets.patched), (base, &targets.base));
            for ((one, tree), (other, _)) in [(patched, base), (base, patched)] {
                let features = one.features().iter();
                let only: Vec<_> = features
                    .filter(|feature| !other.has(feature.name))
                    .map(|feature| format!("{} ({})", feature.name, feature.meaning))
                    .collect();
                if !only.is_empty() {
                    let name = tree.name();
                    notes.push(format!("not compared, only {name} has it: {}", only.join(", ")));
                }
            }
        }
        notes
    }

    pub fn modules(&self) -> Modules {
        let plain = |module: &PathBuf| Subject { module: module.clone(), environment: Vec::new() };
        Modules {
            patched: plain(self.coverage.as_ref().unwrap_or(&self.patched)),
            base: plain(&self.base),
            sanitized: self.sanitized.as_ref().ok().cloned(),
            old_suite: self.old_suite.as_ref().and_then(|suite| suite.clone().ok()),
            has_suite: self.has_suite,
        }
    }
}

fn stopped(error: ModuleError, which: &str) -> Stopped {
    match error {
        ModuleError::Compile(message) if which == "patched" => Stopped::DoesNotCompile(message),
        error => Stopped::Failure(Failure::Usage(error.to_string())),
    }
}

fn is_same(objects: &[Result<Object, ModuleError>; 2]) -> bool {
    matches!(objects, [Ok(ours), Ok(theirs)] if ours.digest == theirs.digest)
}

/// Warnings that the base does not have. Only the texts are compared, because line numbers change.
fn new_warnings(ours: &Object, theirs: &Object) -> Vec<String> {
    let text = |warning: &str| {
        let message = warning.split_once(": warning: ");
        message.map_or_else(|| warning.to_owned(), |(_, message)| message.to_owned())
    };
    let mut known = BTreeMap::<String, usize>::new();
    for warning in &theirs.warnings {
        *known.entry(text(warning)).or_default() += 1;
    }
    let is_new = |warning: &&String| match known.get_mut(&text(warning)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    ours.warnings.iter().filter(is_new).cloned().collect()
}

/// A module built with sanitizers, and the environment that a process needs to load it.
pub fn with_sanitizer(module: PathBuf) -> Result<Subject, String> {
    let library = ["libasan.so", "libclang_rt.asan-x86_64.so", "libclang_rt.asan.so"]
        .into_iter()
        .find_map(|name| ask_compiler(&format!("-print-file-name={name}")))
        .ok_or("the compiler has no AddressSanitizer library")?;
    // Each report becomes a warning of the call that causes it. A signal ends the process as it
    // does without the sanitizer.
    let options = "detect_leaks=0:halt_on_error=0:suppress_equal_pcs=0:handle_segv=0:\
                   handle_abort=0:handle_sigill=0:handle_sigfpe=0:handle_sigbus=0:\
                   allocator_may_return_null=1:log_path=/dev/null";
    let environment =
        vec![("LD_PRELOAD", library.into()), ("ASAN_OPTIONS", OsString::from(options))];
    Ok(Subject { module, environment })
}
