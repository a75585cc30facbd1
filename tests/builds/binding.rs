//! The kernel's own Rust binding passes, and mistakes planted in a copy of it are found.
//!
//! One copy has them all, so that it is compiled once; at run time the environment says
//! which of them is there. With none of them the copy is the kernel's code.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::command_line::{self, text};
use crate::common::{self, kernel_tree, not_tested};
use tempfile::TempDir;

/// Names the mistake that is there, by its place in the table, counted from 1.
const VARIABLE: &str = "GPU_BUDDY_PLANTED";

const BINDING: &str = "rust/kernel/gpu/buddy.rs";
const HEADER: &str = "include/linux/gpu_buddy.h";

/// A trace is short if it has no more operations than this.
const SHORT: usize = 4;

/// A mistake: after `place`, the first `from` becomes `to`. In `to`, `HERE` is true if this
/// mistake is chosen.
struct Mistake {
    name: &'static str,
    place: &'static str,
    from: &'static str,
    to: &'static str,
    shows: Shows,
}

/// How a mistake comes to light.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shows {
    /// With a short trace.
    InTrace,
    /// At creation and in drops, or in initialisers.
    AtEnds,
    /// As a race that ThreadSanitizer reports.
    AsRace,
}
use Shows::{AsRace, AtEnds, InTrace};

const fn mistake(
    name: &'static str,
    place: &'static str,
    from: &'static str,
    to: &'static str,
    shows: Shows,
) -> Mistake {
    Mistake { name, place, from, to, shows }
}

const INNER_DROP: &str = "PinnedDrop for GpuBuddyInner";
const DROP: &str = "PinnedDrop for AllocatedBlocks";
const ALLOC: &str = "pub fn alloc_blocks";
const AVAIL: &str = "pub fn avail";
const NEW: &str = "fn new(params";

/// Edits that make the mistakes possible, and are none themselves.
const PREPARE: &[(&str, &str, &str)] = &[
    ("struct GpuBuddyGuard", "MutexGuard<'a, ()>", "Option<MutexGuard<'a, ()>>"),
    ("fn lock(", "self.lock.lock()", "Some(self.lock.lock())"),
    (INNER_DROP, "let guard", "let mut guard"),
    (DROP, "let guard", "let mut guard"),
    (ALLOC, "let guard", "let mut guard"),
    (AVAIL, "let guard", "let mut guard"),
];

#[rustfmt::skip]
const MISTAKES: &[Mistake] = &[
    mistake("the lock is not held to allocate", ALLOC,
        "buddy.lock();", "buddy.lock(); if HERE { guard._guard = None; }", AtEnds),
    mistake("the lock is not held to free", DROP,
        "self.buddy.lock();", "self.buddy.lock(); if HERE { guard._guard = None; }", AtEnds),
    mistake("the lock is taken twice", ALLOC,
        "let mut guard", "let _first = HERE.then(|| buddy.lock()); let mut guard", AtEnds),
    mistake("avail is read without the lock", AVAIL,
        "self.0.lock();", "self.0.lock(); if HERE { guard._guard = None; }", AsRace),
    mistake("torn down twice", INNER_DROP,
        "unsafe {", "unsafe { if HERE { bindings::gpu_buddy_fini(guard.as_raw()); }", AtEnds),
    mistake("never torn down", INNER_DROP, "unsafe {", "if !HERE { unsafe {", AtEnds),
    mistake("the first block is freed twice", DROP,
        "unsafe {", "unsafe { if HERE { free_first(guard.as_raw(), self.list.as_raw()) }", AtEnds),
    mistake("not freed", DROP, "unsafe {", "if !HERE { unsafe {", InTrace),
    mistake("creation fails after the C has succeeded", NEW,
        "to_result(", "fails(HERE, ", AtEnds),
    mistake("a field after the allocator fails", NEW,
        "            params,\n", "            params,\n_: { if HERE { Err::<(), Error>(ENOMEM)? } },\n", AtEnds),
    mistake("an allocation fails after the C has succeeded", ALLOC,
        "to_result(", "fails(HERE, ", InTrace),
    mistake("an error is swallowed", ALLOC, "fails(", "swallows(HERE, ", InTrace),
    mistake("an error has another number", ALLOC, "swallows(", "renumbers(HERE, ", InTrace),
    mistake("the base is added twice", "fn offset(&self) -> u64 {\n        self.blocks",
        "base_offset +", "base_offset * if HERE { 2 } else { 1 } +", InTrace),
    mistake("the base is not added", "fn offset(&self) -> u64 {\n        self.blocks",
        "self.blocks", "(if HERE { 0 } else { 1 }) * self.blocks", InTrace),
    mistake("order and size are mixed up", "pub fn size(&self) -> u64 {\n        (self.blocks",
        "<<", ">> if HERE { 1 } else { 0 } <<", InTrace),
    mistake("the wrong flag for a mode", "fn as_flags",
        "Self::TopDown => ", "Self::TopDown if HERE => 0, Self::TopDown => ", InTrace),
    mistake("the modifier flags are lost", ALLOC,
        "| usize::from(modifier_flags)", "| if HERE { 0 } else { usize::from(modifier_flags) }", InTrace),
    mistake("an empty range is let through", ALLOC,
        "range.is_empty()", "range.is_empty() && !HERE", InTrace),
    mistake("the range is turned round", "fn range(",
        "(range.start, range.end)", "if HERE { (range.end, range.start) } else { (range.start, range.end) }", InTrace),
    mistake("the base is added to the range", ALLOC,
        "mode.range();", "mode.range(); let base = if HERE && end > 0 { self.base_offset() } else { 0 }; \
         let (start, end) = (start.wrapping_add(base), end.wrapping_add(base));", InTrace),
    mistake("freed as cleared", DROP,
        "self.list.as_raw(), 0", "self.list.as_raw(), if HERE { bindings::GPU_BUDDY_CLEARED as u32 } else { 0 }", InTrace),
    mistake("the alignment is lost", ALLOC,
        "min_block_size.as_usize()", "(if HERE { self_chunk } else { min_block_size }).as_usize()", InTrace),
    mistake("a block is forgotten", "pub fn iter(",
        ".iter()", ".iter().skip(if HERE { 1 } else { 0 })", InTrace),
    mistake("avail is that of clear memory", AVAIL,
        ".avail }", ".avail * if HERE { 0 } else { 1 } }", InTrace),
    mistake("the allocator goes before its allocations", "pub struct GpuBuddy(",
        "pub struct GpuBuddy(Arc<GpuBuddyInner>);", "pub struct GpuBuddy(Arc<GpuBuddyInner>);\n\
         impl Drop for GpuBuddy { fn drop(&mut self) { if HERE {\n\
         unsafe { bindings::gpu_buddy_fini(self.0.lock().as_raw()) } } } }", AtEnds),
];

/// Functions that the copy has in addition.
const HELPERS: &str = "
fn planted(number: usize) -> bool {
    static PLANTED: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let read = || std::env::var(\"GPU_BUDDY_PLANTED\").ok()?.parse().ok();
    *PLANTED.get_or_init(|| read().unwrap_or(0)) == number
}
fn fails(here: bool, error: i32) -> Result {
    to_result(error).and_then(|()| if here { Err(ENOMEM) } else { Ok(()) })
}
fn swallows(here: bool, other: bool, error: i32) -> Result {
    if here { Ok(()) } else { fails(other, error) }
}
fn renumbers(here: bool, other: bool, others: bool, error: i32) -> Result {
    swallows(other, others, error).map_err(|error| if here && error == ENOSPC { ENOMEM } else { error })
}
unsafe fn free_first(mm: *mut bindings::gpu_buddy, list: *mut bindings::list_head) {
    let first = unsafe { (*list).next };
    if first != list {
        let offset = core::mem::offset_of!(bindings::gpu_buddy_block, __bindgen_anon_1);
        unsafe { bindings::gpu_buddy_free_block(mm, first.byte_sub(offset).cast()) };
    }
}
";

/// The binding with all mistakes in it.
fn planted(binding: &str) -> String {
    let mut text = binding.to_owned();
    let mut edit = |place: &str, from: &str, to: &str| {
        let start = text.find(place).unwrap_or_else(|| panic!("there is no {place:?}"));
        let at = text[start..].find(from).unwrap_or_else(|| panic!("no {from:?} in {place:?}"));
        text.replace_range(start + at..start + at + from.len(), to);
    };
    for (place, from, to) in PREPARE {
        edit(place, from, to);
    }
    for (number, mistake) in (1..).zip(MISTAKES) {
        let here = format!("crate::gpu::buddy::planted({number})");
        edit(mistake.place, mistake.from, &mistake.to.replace("HERE", &here));
    }
    // Some mistakes open a block before a call; it is closed here.
    edit(INNER_DROP, "};", "}};");
    edit(DROP, "        }\n", "        }}\n");
    edit(ALLOC, "let mode_flags", "let self_chunk = self.chunk_size();\n        let mode_flags");
    text + HELPERS
}

/// The command uses one folder for all of its runs.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn judge(tree: &Path, planted: usize, arguments: &[&str]) -> Output {
    let mut command: Command = command_line::command(&["binding", "--seed", "1", "--kernel"]);
    command.arg(kernel_tree()).arg("--binding").arg(tree).args(arguments);
    command.env(VARIABLE, planted.to_string()).output().expect("the command runs")
}

fn binding() -> Option<String> {
    let found = fs::read_to_string(kernel_tree().join(BINDING)).ok();
    if found.is_none() {
        not_tested("the binding", "this kernel has none");
    }
    found
}

#[test]
fn the_binding_passes_and_mistakes_in_it_are_found() {
    let Some(binding) = binding() else { return };
    let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = TempDir::new().unwrap();
    copy(&kernel_tree().join("rust"), &folder.path().join("rust"));
    fs::write(folder.path().join(BINDING), planted(&binding)).unwrap();

    let output = judge(folder.path(), 0, &["--seconds", "2"]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("4 of the binding's own examples"));
    if common::is_recorded() {
        assert_eq!(findings_in(&text(&output.stdout)), findings_that_are_told());
    }

    let mut unseen = Vec::new();
    for (number, mistake) in (1..).zip(MISTAKES).filter(|(_, mistake)| mistake.shows != AsRace) {
        let output = judge(folder.path(), number, &["--seconds", "10"]);
        let said = text(&output.stdout);
        let trace: Vec<_> = said.lines().skip_while(|line| !line.starts_with("space ")).collect();
        let trace = trace.iter().skip(1).take_while(|line| !line.starts_with("FAILED")).count();
        let shown = match mistake.shows {
            InTrace => said.contains("\nspace ") && trace <= SHORT,
            AtEnds | AsRace => true,
        };
        let finding = said.lines().skip_while(|line| !line.contains("FAILED")).nth(2);
        println!("{}: {} ({trace} operations)", mistake.name, finding.unwrap_or_default());
        if output.status.code() != Some(1) || !shown {
            unseen.push(format!("{}: {}\n{said}", mistake.name, output.status));
        }
    }
    assert!(unseen.is_empty(), "{}", unseen.join("\n"));
}

/// The monitor sees calls of the C, and not what a binding reads by itself.
#[test]
#[ignore = "for ci/sanitize, which builds C and Rust with ThreadSanitizer"]
fn a_read_without_the_lock_is_a_race() {
    let binding = binding().expect("this kernel has a binding");
    let folder = TempDir::new().unwrap();
    copy(&kernel_tree().join("rust"), &folder.path().join("rust"));
    fs::write(folder.path().join(BINDING), planted(&binding)).unwrap();
    for (number, _) in (1..).zip(MISTAKES).filter(|(_, mistake)| mistake.shows == AsRace) {
        let said = text_of(&judge(folder.path(), number, &["--seconds", "30"]));
        assert!(said.contains("ThreadSanitizer: data race"), "{said}");
    }
}

/// The findings that the judge reports.
fn findings_in(said: &str) -> Vec<&str> {
    let found = said.lines().filter_map(|line| line.strip_prefix("finding "));
    found.filter_map(|line| line.strip_suffix(": there")).collect()
}

/// The findings that docs/findings/ lists for this kernel's binding.
fn findings_that_are_told() -> Vec<String> {
    let json = text(&command_line::run(&["finding", "--json"]).stdout);
    let findings: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    let revision = fs::read_to_string(kernel_tree().join("REVISION")).unwrap_or_default();
    let is_this = |release: &serde_json::Value| {
        revision.contains(&format!("version: {}-", release["version"].as_str().unwrap()))
    };
    let told = findings.iter().filter(|finding| {
        finding["run"] == "binding" && finding["shown_by"].as_array().unwrap().iter().any(is_this)
    });
    told.map(|finding| finding["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn says_what_is_missing() {
    let Some(binding) = binding() else { return };
    let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = TempDir::new().unwrap();
    let fails = |says: &[&str]| {
        let output = judge(folder.path(), 0, &[]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(says.iter().all(|says| stderr.contains(says)), "{stderr}");
    };
    fails(&["has no rust/kernel/gpu/buddy.rs: there is nothing to test"]);
    copy(&kernel_tree().join("rust"), &folder.path().join("rust"));
    let newer = format!("{binding}\nuse crate::sync::SpinLock;\nuse crate::num::Bounded;\n");
    fs::write(folder.path().join(BINDING), newer).unwrap();
    fails(&[
        "`crate::sync::SpinLock`, in kernel-binding/kernel/src/sync.rs",
        "`crate::num`, in kernel-binding/kernel/src/num.rs",
        "UPGRADE.md says how.",
    ]);
    fs::remove_file(folder.path().join("rust/kernel/ptr.rs")).unwrap();
    fails(&["has no rust/kernel/ptr.rs, which its binding needs"]);
}

#[test]
fn a_tree_that_cannot_be_judged_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let empty = path(folder.path());
    command_line::assert_wrong_usage(&["binding", "--binding", &empty], "there is nothing to test");
    let missing = path(&folder.path().join("missing"));
    command_line::assert_wrong_usage(&["binding", "--binding", &missing], "missing");
    let file = path(&kernel_tree().join(HEADER));
    command_line::assert_wrong_usage(&["binding", "--binding", &file], "is a file");
    // Older series have no binding, or an allocator in another form.
    for series in ["6.12", "6.12.95", "6.1"] {
        if common::project().join("vendor/linux").join(series).is_dir() {
            let says = "there is nothing to test";
            command_line::assert_wrong_usage(&["binding", "--kernel", series], says);
        }
    }
    if binding().is_some() {
        let tree = path(&kernel_tree());
        let arguments = ["binding", "--kernel", &empty, "--binding", &tree];
        command_line::assert_wrong_usage(&arguments, &format!("has no {HEADER}, over which"));
    }
}

/// A tree is compiled again even if its files are older than the last build.
#[test]
fn takes_what_is_there_and_not_what_was() {
    let Some(binding) = binding() else { return };
    let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = TempDir::new().unwrap();
    copy(&kernel_tree().join("rust"), &folder.path().join("rust"));
    let path = folder.path().join(BINDING);
    // `size()` is too large by one.
    let other = binding.replacen("self.0.params.size", "self.0.params.size + 1", 1);
    for (text, passes) in [(&binding, true), (&other, false), (&binding, true)] {
        fs::write(&path, text).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30)).unwrap();
        let output = judge(folder.path(), 0, &["--seconds", "0"]);
        // An example of the binding's own asserts it.
        assert_eq!(output.status.success(), passes, "{}", text_of(&output));
    }
}

fn text_of(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(path, to).unwrap();
        }
    }
}
