//! `gpu-buddy replay`, as a user runs it: what it prints of a file, what it says if there is
//! nothing to do, and when it checks the whole tree.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::command_line::{assert_wrong_usage, command, text};
use crate::common::{kernel_tree, not_found};
use tempfile::TempDir;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    fn file(&self, trace: &str) -> PathBuf {
        let file = self.0.path().join("some.trace");
        fs::write(&file, trace).expect("it is written");
        file
    }

    /// What a replay prints, and its exit code.
    fn replay(&self, trace: &str, arguments: &[&str]) -> (String, i32) {
        let file = self.file(trace);
        let mut command = command(&["replay"]);
        command.env("XDG_CACHE_HOME", crate::common::module_cache());
        let output = command.args(arguments).arg(file).output().expect("it runs");
        assert_eq!(text(&output.stderr), "");
        (text(&output.stdout), output.status.code().expect("an exit code"))
    }
}

/// Every kernel places these allocations alike.
const FILE: &str = "\
# Reported by mail.

space size=0x10000 chunk=4096 base=4G # 64K
front = alloc 0x4000 range=0..0x4000 # the lower quarter
# Half of it goes.
trim front 8192
front += alloc 4K range=0x8000..0x9000 # grows

free front[1]
free front
# That is all.
";

const PRINTED: &str = "\
# Reported by mail.

space size=0x10000 chunk=4096 base=4G  # 64K
front = alloc 0x4000 range=0..0x4000  -> 4G order 2  # the lower quarter
# Half of it goes.
trim front 8192  -> 4G order 1
front += alloc 4K range=0x8000..0x9000  -> 4G order 1, 4194336K order 0  # grows

free front[1]
free front
# That is all.
";

#[test]
fn the_file_is_printed_as_it_is() {
    let place = Place::new();
    for arguments in [&[][..], &["--plain"], &["--against", "contract"]] {
        assert_eq!(place.replay(FILE, arguments), (PRINTED.to_owned(), 0), "{arguments:?}");
    }
}

#[test]
fn it_says_why_there_is_nothing_to_do() {
    let trace = "\
space size=64K chunk=4K
large = alloc 128K
free large[0]
small = alloc 4K range=0..4K
free small[1]
free small[0]
free small[0]
trim small 4K
huge = alloc 4K
fini
free huge
";
    let (output, code) = Place::new().replay(trace, &["--plain"]);
    assert_eq!(code, 0);
    for line in [
        "free large[0]  -> nothing to do: large failed with EINVAL in line 2",
        "free small[1]  -> refused: line 5 frees small[1], but small has 1 block",
        "free small[0]\n",
        "free small[0]  -> refused: line 7 frees small[0], but line 6 has freed the last block \
         of small",
        "trim small 4K  -> EINVAL",
        "free huge  -> nothing to do: line 10 tears the allocator down",
    ] {
        assert!(output.contains(line), "{line}\n{output}");
    }
}

/// Operations that the C does not survive are skipped, with the reason.
#[test]
fn it_says_what_is_not_done() {
    let trace = "space size=12E chunk=1T\na = alloc 9E contiguous\nfree a\n";
    let (output, _) = Place::new().replay(trace, &["--plain"]);
    assert!(
        output.contains("a = alloc 9E contiguous  -> skipped: roundup_pow_of_two()"),
        "{output}"
    );
    assert!(
        output.contains("free a  -> nothing to do: line 2, which allocates a, was skipped"),
        "{output}"
    );
}

#[test]
fn a_second_free_is_wrong_usage() {
    let place = Place::new();
    let file = place.file("space size=64K chunk=4K\nring = alloc 4K\nfree ring\nfree ring\n");
    assert_wrong_usage(
        &["replay", file.to_str().expect("UTF-8")],
        "line 4, column 6: expected an allocation that is not freed yet, found 'ring', which \
         line 3 frees",
    );
}

/// Thousands of small blocks that stay; then two large ones that are freed as cleared, and
/// as many operations again.
fn long_trace(blocks: usize) -> String {
    let mut trace = "space size=256M chunk=4K\n".to_owned();
    for index in 0..blocks {
        writeln!(trace, "small_{index} = alloc 4K range={}K..{}K", 8 * index, 8 * index + 4)
            .unwrap();
    }
    trace += "left = alloc 512K range=192M..197120K\n";
    trace += "right = alloc 512K range=197120K..197632K\n";
    trace += "free left cleared\nfree right cleared\n";
    for index in 0..blocks / 2 {
        writeln!(trace, "free small_{}", 2 * index).unwrap();
    }
    trace
}

/// The number of full checks, from the last line.
fn checked(output: &str) -> Option<usize> {
    let (_, rest) = output.split_once("(whole tree checked after ")?;
    rest.split_once(" of ")?.0.parse().ok()
}

/// The checks take a bounded part of a long replay: less than 2 s in total.
#[test]
fn a_long_trace_is_checked_as_far_as_is_cheap() {
    let place = Place::new();
    let trace = long_trace(8000);
    let begin = Instant::now();
    let (output, code) = place.replay(&trace, &[]);
    let (judged, begin) = (begin.elapsed(), Instant::now());
    assert_eq!(code, 0, "{}", output.lines().last().unwrap_or_default());
    let checked = checked(&output).expect("not after each");
    assert!((500..6000).contains(&checked), "{checked}");
    // Every check visits 10,000 blocks and more: all of them take a minute.
    assert!(judged < Duration::from_secs(20), "{judged:?}");
    let (output, _) = place.replay(&trace, &["--plain"]);
    assert!(!output.contains("whole tree checked"));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());

    // A short one is checked after each operation.
    let (output, _) = place.replay(&long_trace(50), &[]);
    assert!(!output.contains("whole tree checked"), "{output}");
}

/// A finding of a late check is traced to the operation that caused it.
#[test]
fn what_is_found_late_is_traced_to_its_line() {
    let place = Place::new();
    let source = fs::read_to_string(kernel_tree().join("drivers/gpu/buddy.c")).expect("the C");
    // Two cleared halves of 512K are not merged.
    let (function, check) = ("__gpu_buddy_free(", "if (!force_merge) {");
    let Some((head, tail)) = source.split_once(function).and_then(|(head, tail)| {
        let (before, after) = tail.split_once(check)?;
        Some((format!("{head}{function}{before}"), after))
    }) else {
        return not_found("the kernel that does not merge", check);
    };
    let tree = place.0.path().join("tree");
    for folder in ["drivers/gpu", "drivers/gpu/tests", "include/linux", "lib"] {
        fs::create_dir_all(tree.join(folder)).expect("a folder");
        for entry in kernel_tree().join(folder).read_dir().expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if ["buddy", "rbtree", "random"].iter().any(|part| name.contains(part)) {
                fs::copy(&path, tree.join(folder).join(&name)).expect("it is copied");
            }
        }
    }
    let planted = "if (gpu_buddy_block_is_clear(block) && gpu_buddy_block_order(block) == 7)\n\
                   \t\t\tbreak;\n\t\tif (!force_merge) {";
    fs::write(tree.join("drivers/gpu/buddy.c"), format!("{head}{planted}{tail}")).expect("written");

    let tree = tree.to_str().expect("UTF-8");
    let (output, code) =
        place.replay(&long_trace(6000), &["--kernel", tree, "--against", "contract"]);
    assert_eq!(code, 1);
    let told: Vec<_> = output.lines().filter(|line| line.starts_with("  ")).collect();
    assert!(told[0].starts_with("  ** consistent: the halves"), "{told:?}");
    // The space, the blocks, two large ones, and the free of the second.
    assert_eq!(told[2], "     first seen after line 6005: free right cleared");
    // The contract finds it as well. Each finding is traced once.
    assert!(told[3].starts_with("  ** merged: "), "{told:?}");
    assert_eq!(told[5], told[2]);
    assert_eq!(told.iter().filter(|line| line.contains("first seen")).count(), 2, "{told:?}");

    // A check after each operation finds it there.
    let short = long_trace(10);
    let (output, _) = place.replay(&short, &["--kernel", tree, "--against", "contract"]);
    assert!(output.contains("free right cleared\n  ** consistent: "), "{output}");
    assert!(!output.contains("first seen"), "{output}");
}

/// A trace without operations is about the creation. With operations, it is a mistake.
#[test]
fn a_refused_space_is_the_outcome() {
    let place = Place::new();
    for plain in [&[][..], &["--plain"]] {
        let (printed, code) = place.replay("space size=0 chunk=4K # nothing\n", plain);
        assert_eq!((printed.as_str(), code), ("space size=0 chunk=4K  -> EINVAL  # nothing\n", 0));
    }
    let file = place.file("space size=0 chunk=4K\na = alloc 4K\n");
    let file = file.to_str().expect("text");
    assert_wrong_usage(&["replay", file], "no allocator can manage such a space: EINVAL");
}
