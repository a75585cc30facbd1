//! Faults planted in the allocator: torture finds each, and makes it short.
//!
//! The faults are edits of a copy of the kernel's `buddy.c`, made here. One copy
//! has them all, so that it is compiled once; at run time the environment says which
//! of them is there. With none of them the copy is the kernel's code.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{kernel_tree, not_found, not_tested};
use gpu_buddy::diff::reference::Reference;
use gpu_buddy::module::Module;
use serde_json::Value;

/// Names the fault that is there, by its place in the table, counted from 1.
const VARIABLE: &str = "GPU_BUDDY_PLANTED";

const ALLOCATOR: &str = "drivers/gpu/buddy.c";

/// A trace is short if it has no more operations than this.
const SHORT: u64 = 12;

/// How long torture may take to find a fault, in seconds.
const SECONDS: u64 = 20;

/// Torture that says nothing for so long hangs, or shrinks without an end.
const PATIENCE: Duration = Duration::from_secs(SECONDS + 100);

struct Fault {
    name: &'static str,
    function: &'static str,
    edit: Edit,
    shows: Shows,
}

/// An edit of a function, where it first has a short text.
enum Edit {
    /// Leaves out the statement that begins on the line with this text.
    Skip(&'static str),
    /// Puts another expression in place of one.
    Put(&'static str, &'static str),
}
use Edit::{Put, Skip};

/// How a fault comes to light.
#[derive(Clone, Copy, PartialEq)]
enum Shows {
    /// In lockstep with the twin.
    InLockstep,
    /// In lockstep; the process may also die, or hang.
    MayDie,
    /// Only where threads share an allocator.
    AmongThreads,
    /// Only where memory for the allocator's own objects runs out.
    UnderFaults,
}
use Shows::{AmongThreads, InLockstep, MayDie, UnderFaults};

const fn fault(name: &'static str, function: &'static str, edit: Edit, shows: Shows) -> Fault {
    Fault { name, function, edit, shows }
}

/// Those in the checks of arguments show since the laboratory gives the C its arguments as
/// they are.
#[rustfmt::skip]
const FAULTS: &[Fault] = &[
    fault("offset 0 is not aligned", "gpu_buddy_block_offset_alignment",
        Put("64 + 1", "0"), InLockstep),
    fault("trees are sorted the other way", "rbtree_insert",
        Put("gpu_buddy_block_offset(block) < gpu_buddy_block_offset(node)",
            "gpu_buddy_block_offset(block) >= gpu_buddy_block_offset(node)"), InLockstep),
    fault("an insertion does not tell its ancestors", "rbtree_insert",
        Skip("node->subtree_max_alignment ="), InLockstep),
    fault("used blocks are not counted", "mark_allocated", Skip("used_scoreboard"), InLockstep),
    fault("used blocks stay counted", "mark_free", Skip("used_scoreboard"), InLockstep),
    fault("split blocks stay counted as free", "mark_split", Skip("free_scoreboard"), InLockstep),
    fault("buddies are never merged", "__gpu_buddy_free",
        Put("!gpu_buddy_block_is_free(buddy)", "1"), InLockstep),
    fault("unlike buddies are merged", "__gpu_buddy_free", Put("!force_merge", "0"), InLockstep),
    fault("two clear halves make a dirty whole", "__gpu_buddy_free",
        Skip("mark_cleared(parent)"), InLockstep),
    fault("a buddy merged by force stays counted as clear", "__gpu_buddy_free",
        Skip("clear_avail"), InLockstep),
    fault("a merged buddy stays counted as free", "__gpu_buddy_free",
        Skip("free_scoreboard"), InLockstep),
    fault("a merged buddy stays in its tree", "__gpu_buddy_free",
        Skip("rbtree_remove"), MayDie),
    fault("merging by force goes on too far", "__force_merge",
        Put("order >= min_order", "order > min_order"), InLockstep),
    fault("merging by force begins an order too low", "__force_merge",
        Put("min_order - 1", "(int)min_order - 2"), InLockstep),
    fault("merging by force ignores the range", "__force_merge",
        Put("!contains(start, end, block_start, block_end)", "0"), InLockstep),
    fault("a block merged by force stays counted as clear", "__force_merge",
        Skip("clear_avail"), InLockstep),
    fault("roots begin at 0", "gpu_buddy_init", Skip("offset += root_size"), InLockstep),
    fault("the right half forgets that it is clear", "split_block",
        Skip("mark_cleared(block->right)"), InLockstep),
    fault("a split block stays clear", "split_block", Skip("clear_reset"), InLockstep),
    fault("half of a split is leaked", "split_block", Skip("gpu_block_free"), UnderFaults),
    fault("reset blocks are not counted as clear", "gpu_buddy_reset_clear",
        Skip("clear_avail +="), InLockstep),
    fault("a reset to dirty leaves blocks clear", "gpu_buddy_reset_clear",
        Skip("clear_reset"), MayDie),
    fault("a free is not counted", "gpu_buddy_free_block", Skip("mm->avail"), InLockstep),
    fault("a clear free is not counted as clear", "gpu_buddy_free_block",
        Skip("mm->clear_avail"), InLockstep),
    fault("a lookup finds the block before", "gpu_buddy_allocated_addr_to_block",
        Put("gpu_buddy_block_size(mm, block) - 1", "gpu_buddy_block_size(mm, block)"), InLockstep),
    fault("a dirty free stays clear", "__gpu_buddy_free_list", Skip("clear_reset"), InLockstep),
    fault("a range prefers the other state", "block_incompatible",
        Put("needs_clear != gpu_buddy_block_is_clear(block)",
            "needs_clear == gpu_buddy_block_is_clear(block)"), InLockstep),
    fault("a range wants larger blocks", "__alloc_range_bias",
        Put("gpu_buddy_block_order(block) < order", "gpu_buddy_block_order(block) <= order"), InLockstep),
    fault("a range ends a byte early", "__alloc_range_bias",
        Put("adjusted_end + 1", "adjusted_end"), InLockstep),
    fault("a range is used up from the other half", "__alloc_range_bias",
        Put("list_add(&block->left->tmp_link, &dfs)", "list_add_tail(&block->left->tmp_link, &dfs)"), InLockstep),
    fault("top-down misses blocks that fit", "get_maxblock",
        Put("i = order", "i = order + 1"), InLockstep),
    fault("the wrong tree comes first", "alloc_from_freetree",
        Put("flags & GPU_BUDDY_CLEAR_ALLOCATION", "!(flags & GPU_BUDDY_CLEAR_ALLOCATION)"), InLockstep),
    fault("the wrong half is taken", "alloc_from_freetree",
        Put("block->right", "block->left"), InLockstep),
    fault("the thread before decides", "alloc_from_freetree",
        Put("flags & GPU_BUDDY_TOPDOWN_ALLOCATION",
            "({ static __thread char me; static char *last; char *before = last; last = &me; \
             (mm->avail != mm->size && before != &me) || flags & GPU_BUDDY_TOPDOWN_ALLOCATION; })"),
        AmongThreads),
    fault("splits are not undone", "alloc_from_freetree",
        Skip("__gpu_buddy_undo_splits"), UnderFaults),
    fault("a subtree is passed over", "gpu_buddy_subtree_can_satisfy",
        Put("block->subtree_max_alignment >= alignment",
            "block->subtree_max_alignment > alignment"), InLockstep),
    fault("an alignment is not enough", "gpu_buddy_find_block_aligned",
        Put("gpu_buddy_block_offset_alignment(block) >= alignment",
            "gpu_buddy_block_offset_alignment(block) > alignment"), InLockstep),
    fault("half of the alignment will do", "gpu_buddy_offset_aligned_allocation",
        Put("ilog2(min_block_size)", "ilog2(min_block_size) - 1"), InLockstep),
    fault("an exact range takes a byte more", "__alloc_range",
        Put("start + size - 1", "start + size"), InLockstep),
    fault("an exact range stays counted as clear", "__alloc_range",
        Skip("clear_avail -="), InLockstep),
    fault("an exact range may be short", "__alloc_range",
        Put("total_allocated < size", "0"), InLockstep),
    fault("a contiguous run is not aligned", "__alloc_contig_aligned_retry",
        Put("round_down(unaligned_offset, min_block_size)", "unaligned_offset"), InLockstep),
    fault("a contiguous run begins too far left", "__alloc_contig_try_harder",
        Put("rhs_offset - (size - filled)", "rhs_offset - min(size, rhs_offset)"), InLockstep),
    fault("a contiguous run is sought at one place for ever", "__alloc_contig_try_harder",
        Skip("iter = rb_prev(iter)"), MayDie),
    fault("a contiguous run needs no alignment", "__alloc_contig_try_harder",
        Put("IS_ALIGNED(rhs_offset, min_block_size)", "1"), InLockstep),
    fault("a trim ignores where it starts", "gpu_buddy_block_trim", Skip("new_start = *start"), InLockstep),
    fault("a trimmed block forgets its parent", "gpu_buddy_block_trim",
        Skip("block->parent = parent"), MayDie),
    fault("a failed trim counts its block as free", "gpu_buddy_block_trim",
        Skip("mm->avail -="), UnderFaults),
    fault("an allocation goes for the smallest blocks", "gpu_buddy_alloc_blocks",
        Put("order--", "order = min_order"), InLockstep),
    fault("an allocation is not counted", "gpu_buddy_alloc_blocks", Skip("mm->avail -="), InLockstep),
    fault("nothing is merged to make room", "gpu_buddy_alloc_blocks",
        Put("!__force_merge(mm, start, end, fallback_order)", "0"), InLockstep),
    fault("the tail is not trimmed enough", "gpu_buddy_alloc_blocks",
        Put("(size - original_size)", "(size - original_size) / 2"), InLockstep),
    fault("a failed allocation keeps its blocks", "gpu_buddy_alloc_blocks",
        Skip("gpu_buddy_free_list_internal"), InLockstep),
    fault("an exact range is looked for anywhere", "gpu_buddy_alloc_blocks",
        Put("start + size == end", "0"), InLockstep),
    fault("an alignment need not be a power of two", "gpu_buddy_alloc_blocks",
        Put("!is_power_of_2(min_block_size)", "0"), MayDie),
    fault("a request need not be made of chunks", "gpu_buddy_alloc_blocks",
        Put("!IS_ALIGNED(start | end | size, mm->chunk_size)", "0"), MayDie),
    fault("a range may end beyond the space", "gpu_buddy_alloc_blocks",
        Put("end > mm->size", "0"), MayDie),
    fault("a request may be larger than the space", "gpu_buddy_alloc_blocks",
        Put("range_overflows(start, size, mm->size)", "0"), MayDie),
    fault("a trim may leave more than there is", "gpu_buddy_block_trim",
        Put("new_size > gpu_buddy_block_size(mm, block)", "0"), MayDie),
    fault("a trim may begin before its block", "gpu_buddy_block_trim",
        Put("new_start < block_start", "0"), MayDie),
    fault("the teardown merges in the wrong place", "gpu_buddy_fini",
        Put("gpu_buddy_block_offset(mm->roots[i])", "0"), InLockstep),
    fault("the teardown leaks an array", "gpu_buddy_fini", Skip("kfree(mm->roots)"), InLockstep),
];

/// The body of the function `name`, if there is one function of that name.
fn body(source: &str, name: &str) -> Option<Range<usize>> {
    let call = format!("{name}(");
    let definitions: Vec<_> = source
        .match_indices(&call)
        .filter(|&(place, _)| !source[..place].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .filter_map(|(place, _)| {
            let end = place + source[place..].find(')')?;
            source[end..].starts_with(")\n{").then_some(end + 2)
        })
        .collect();
    let [start] = definitions[..] else { return None };
    let length = source[start..].find("\n}\n").expect("a function ends");
    Some(start..start + length)
}

/// What to put where for the fault with this number, if the source has its place.
fn replacement(source: &str, number: usize, fault: &Fault) -> Option<(Range<usize>, String)> {
    let body = body(source, fault.function)?;
    let (Skip(text) | Put(text, _)) = fault.edit;
    let start = body.start + source[body].find(text)?;
    Some(match fault.edit {
        Skip(_) => {
            let line = source[..start].rfind('\n').map_or(0, |end| end + 1);
            let end = start + source[start..].find(';').expect("a statement ends") + 1;
            let statement = source[line..end].trim_start();
            let start = end - statement.len();
            (start..end, format!("{{ if (!planted({number})) {statement} }}"))
        }
        Put(text, other) => {
            let end = start + text.len();
            (start..end, format!("(planted({number}) ? ({other}) : ({text}))"))
        }
    })
}

/// The allocator with all faults that it has a place for, of which none is there unless
/// it is chosen; and their numbers.
fn with_faults(source: &str) -> (String, Vec<usize>) {
    let mut replacements = Vec::new();
    let mut numbers = Vec::new();
    for (fault, number) in FAULTS.iter().zip(1..) {
        if let Some(replacement) = replacement(source, number, fault) {
            replacements.push(replacement);
            numbers.push(number);
        } else {
            let (Skip(text) | Put(text, _)) = fault.edit;
            let fault_name = format!("the fault {:?}", fault.name);
            not_found(&fault_name, &format!("{text:?} in one function {}()", fault.function));
        }
    }
    replacements.sort_by_key(|(range, _)| range.start);
    let mut text = format!(
        "extern char *getenv(const char *);\n\
         extern int atoi(const char *);\n\
         static int planted(int number)\n\
         {{ static int chosen = -1; \
         if (chosen < 0) {{ char *name = getenv(\"{VARIABLE}\"); chosen = name ? atoi(name) : 0; }} \
         return chosen == number; }}\n"
    );
    let mut done = 0;
    for (range, replacement) in replacements {
        assert!(done <= range.start, "two faults in the same place: {replacement}");
        text += &source[done..range.start];
        text += &replacement;
        done = range.end;
    }
    text += &source[done..];
    (text, numbers)
}

/// Writes a file, but leaves one that has this content already as old as it is.
fn write_if_changed(path: &Path, content: &[u8]) {
    if fs::read(path).is_ok_and(|old| old == content) {
        return;
    }
    let folder = path.parent().expect("a file is in a folder");
    fs::create_dir_all(folder).and_then(|()| fs::write(path, content)).expect("a file");
}

/// Copies a folder, but for the allocator.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else if !path.ends_with(ALLOCATOR) {
            write_if_changed(&to, &fs::read(&path).expect("a file"));
        }
    }
}

/// Makes the copy. The numbers are those of the faults in it.
fn plant() -> (PathBuf, Vec<usize>) {
    let kernel = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    copy(&kernel_tree(), &kernel);
    let source = fs::read_to_string(kernel_tree().join(ALLOCATOR)).expect(ALLOCATOR);
    let (source, numbers) = with_faults(&source);
    write_if_changed(&kernel.join(ALLOCATOR), source.as_bytes());
    (kernel, numbers)
}

/// What came of a run.
struct Found {
    caught: Caught,
    /// What was found, in words.
    finding: String,
    /// How many operations it took, and how many are left of them.
    operations: u64,
    shrunk_to: u64,
    trace: String,
    seconds: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Caught {
    No,
    Found,
    /// Without a report.
    Died,
}

/// Tortures the copy with the fault of this number; 0 is none.
fn torture(kernel: &Path, number: usize, shows: Shows, out: &Path) -> Found {
    let started = Instant::now();
    fs::create_dir(out).expect("a folder");
    let json = out.join("json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-buddy"));
    command
        .args(["torture", "--seed", "2", "--json", "--out"])
        .arg(out)
        .arg("--kernel")
        .arg(kernel)
        .env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("modules"))
        .env(VARIABLE, number.to_string())
        .stdout(fs::File::create(&json).expect("a file"))
        .stderr(Stdio::null());
    // Without a fault the run is a fixed one, so that it is the same everywhere.
    match number {
        0 => command.args(["--ops", "300000"]),
        _ => command.args(["--seconds", &SECONDS.to_string()]),
    };
    match shows {
        UnderFaults => command.args(["--faults", "0.02", "--against", "contract"]),
        AmongThreads => command.args(["--threads", "4", "--shared"]),
        InLockstep | MayDie => &mut command,
    };
    let mut child = command.spawn().expect("it starts");
    let code = wait(&mut child);
    let seconds = started.elapsed().as_secs_f64();

    let object: Value =
        serde_json::from_slice(&fs::read(&json).expect("a file")).unwrap_or_default();
    let failure = &object["failures"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let caught = match code {
        Some(Some(0)) => Caught::No,
        Some(Some(1)) => Caught::Found,
        _ => Caught::Died,
    };
    Found {
        caught,
        finding: text(&failure["finding"]),
        operations: failure["operations"].as_u64().unwrap_or(0),
        shrunk_to: failure["shrunk_to"].as_u64().unwrap_or(0),
        trace: text(&failure["trace"]),
        seconds,
    }
}

/// The exit code, where it has one; `None` where it had to be killed.
fn wait(child: &mut Child) -> Option<Option<i32>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return Some(status.code());
        }
        if Instant::now() >= deadline {
            child.kill().and_then(|()| child.wait()).expect("it ends");
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn torture_finds_each_planted_fault() {
    if !Reference::models(Module::compiled_in().features()) {
        not_tested("planted faults", "the twin makes other choices than this kernel");
        return;
    }
    let (kernel, numbers) = plant();
    let out = tempfile::tempdir().expect("a folder");

    // Number 0 is the copy without a fault.
    let mut jobs: Vec<_> = [(0, InLockstep), (0, UnderFaults), (0, AmongThreads)]
        .into_iter()
        .chain(numbers.iter().map(|&number| (number, FAULTS[number - 1].shows)))
        .collect();
    // What takes longest begins first.
    jobs.sort_by_key(|&(_, shows)| shows != MayDie);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let index = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(&(number, shows)) = jobs.get(index)
                {
                    let found =
                        torture(&kernel, number, shows, &out.path().join(index.to_string()));
                    results.lock().expect("no panic").push((number, found));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no panic");
    results.sort_by_key(|&(number, _)| number);

    let mut table = String::new();
    let mut wrong = Vec::new();
    for (number, found) in &results {
        let Found { caught, finding, operations, shrunk_to, trace, seconds } = found;
        let fault = number.checked_sub(1).map(|index| &FAULTS[index]);
        let (name, function) = fault.map_or(("none", ""), |fault| (fault.name, fault.function));
        let by = match caught {
            Caught::No => "nothing",
            Caught::Found => finding.as_str(),
            Caught::Died => "its death",
        };
        writeln!(
            table,
            "{name:52} {function:36} {operations:>7} {shrunk_to:>3} {seconds:5.1}  {by:.90}"
        )
        .expect("a string grows");
        let as_expected = match (fault, caught) {
            (None, Caught::No) => true,
            (Some(fault), Caught::Found) => {
                let died = finding.starts_with("crash: ") || finding.starts_with("hang: ");
                // What threads did together is not made short.
                (*shrunk_to <= SHORT || fault.shows == AmongThreads)
                    && (fault.shows == MayDie || !died)
            }
            _ => false,
        };
        if !as_expected {
            wrong.push(format!("{name}: {caught:?}, {shrunk_to} operations\n{trace}"));
        }
    }
    // Not through `println!`, which the test harness keeps to itself.
    let head = format!(
        "{:52} {:36} {:>7} {:>3} {:>5}  caught by",
        "fault", "function", "after", "to", "s"
    );
    writeln!(io::stdout(), "{head}\n{table}").expect("it is written");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(FAULTS.len() >= 20);
}
