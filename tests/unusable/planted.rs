//! BUGs and warnings in the middle of each function. They are planted in a copy of the kernel,
//! with which one test builds and runs the others.

#[cfg(lockdep)]
mod lock;
mod logger;

use std::fs;
use std::process::Command;

use super::*;

/// The chunk size of a space chooses what is planted for it; other sizes meet nothing.
mod plant {
    pub const BLOCK_ALLOC: u64 = 1 << 13;
    pub const SPLIT: u64 = 1 << 14;
    pub const FREE: u64 = 1 << 15;
    pub const MERGE: u64 = 1 << 16;
    pub const PRINT: u64 = 1 << 17;
    pub const ADDR_TO_BLOCK: u64 = 1 << 18;
    pub const LOCK_TOLD: u64 = 1 << 19;
    /// A warning, in each function that the safe API calls.
    pub const WARN: u64 = 1 << 20;
}

const ALLOCATOR: &str = "drivers/gpu/buddy.c";
const HEADER: &str = "include/linux/gpu_buddy.h";

/// Puts a statement at the beginning of the C function `name`; false if there is no such
/// function.
fn plant(text: &mut String, name: &str, statement: &str) -> bool {
    let call = format!("{name}(");
    let body = text.match_indices(&call).find_map(|(start, _)| {
        let end = start + text[start..].find(')')?;
        text[end..].starts_with(")\n{").then_some(end + ")\n{".len())
    });
    if let Some(body) = body {
        text.insert_str(body, statement);
    }
    body.is_some()
}

/// Builds this binary with a kernel in which a BUG is planted in the middle of each function,
/// and runs the other tests of this file.
#[test]
fn a_bug_in_the_middle_of_each_function() {
    if std::env::var_os(PLANTED).is_some() {
        return;
    }
    let kernel = tempfile::tempdir().expect("a folder");
    let copied = Command::new("cp")
        .arg("-RL")
        .arg(common::kernel_tree().join("."))
        .arg(kernel.path())
        .status();
    assert!(copied.expect("cp runs").success());
    // Functions that a later kernel may have in another form.
    let mut missing = Vec::new();
    let mut edit = |file: &str, plants: &[(&str, u64, bool)]| {
        let path = kernel.path().join(file);
        let mut text = fs::read_to_string(&path).expect(file);
        for &(function, chunk_size, needed) in plants {
            let statement = match chunk_size {
                plant::LOCK_TOLD => {
                    format!("WARN_ON(mm->chunk_size == {chunk_size} && mm->lock_dep_map);")
                }
                // Before anything is initialised.
                plant::WARN if function == "gpu_buddy_init" => {
                    format!("WARN_ON(chunk_size == {chunk_size});")
                }
                plant::WARN => format!("WARN_ON(mm->chunk_size == {chunk_size});"),
                _ => format!("BUG_ON(mm->chunk_size == {chunk_size});"),
            };
            if !plant(&mut text, function, &statement) && needed {
                missing.push(format!("{function}() in {file}"));
            }
        }
        fs::write(&path, text).expect(file);
    };
    edit(
        ALLOCATOR,
        &[
            ("gpu_block_alloc", plant::BLOCK_ALLOC, true),
            ("split_block", plant::SPLIT, true),
            ("__gpu_buddy_free", plant::FREE, true),
            ("__force_merge", plant::MERGE, true),
            ("gpu_buddy_print", plant::PRINT, true),
            ("gpu_buddy_allocated_addr_to_block", plant::ADDR_TO_BLOCK, false),
            ("gpu_buddy_init", plant::WARN, true),
            ("gpu_buddy_fini", plant::WARN, true),
            ("int gpu_buddy_alloc_blocks", plant::WARN, true),
            ("gpu_buddy_block_trim", plant::WARN, true),
            ("gpu_buddy_free_list", plant::WARN, true),
            ("gpu_buddy_free_block", plant::WARN, true),
            ("gpu_buddy_reset_clear", plant::WARN, true),
            ("gpu_buddy_print", plant::WARN, true),
        ],
    );
    if cfg!(lockdep) {
        // The first of the two is the one that asserts.
        edit(HEADER, &[("gpu_buddy_driver_lock_held", plant::LOCK_TOLD, true)]);
    }
    if !missing.is_empty() {
        common::not_found("a BUG in the middle of each function", &missing.join(", no "));
        return;
    }

    let target = common::nested_target();
    let test = ["test", "--offline", "--no-default-features", "--test", "unusable"];
    let output = common::nested_cargo(common::project(), &test)
        .arg("--target-dir")
        .arg(target.path())
        .args(["--", "--ignored", "planted::"])
        .env("GPU_BUDDY_KERNEL", kernel.path())
        .env(PLANTED, "1")
        .output()
        .expect("cargo starts");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    let tests = if cfg!(lockdep) { 15 } else { 14 };
    assert!(stdout.contains(&format!("{tests} passed; 0 failed")), "{stdout}");
}

/// Set if the kernel that is compiled in is the copy.
const PLANTED: &str = "GPU_BUDDY_PLANTED";

fn new(chunk: u64) -> gpu_buddy::Result<GpuBuddy> {
    GpuBuddy::new(params(0, 256 * chunk, chunk))
}

fn is_planted() -> bool {
    let planted = std::env::var_os(PLANTED).is_some();
    if !planted {
        let why = "only a_bug_in_the_middle_of_each_function builds it";
        common::not_tested("a kernel with planted BUGs", why);
    }
    planted
}

fn assert_planted(bug: KernelBug, chunk: u64) {
    assert_eq!(bug.condition, format!("mm->chunk_size == {chunk}"));
    assert_eq!(bug.file, ALLOCATOR);
}

#[test]
#[ignore = "for a kernel with planted BUGs"]
fn init() {
    if !is_planted() {
        return;
    }
    let Err(Error::Bug(bug)) = new(plant::BLOCK_ALLOC) else { panic!("no BUG") };
    assert_planted(bug, plant::BLOCK_ALLOC);
    // The caller's fault has the counts.
    let mut fault = Fault::none();
    let result =
        GpuBuddy::with_fault(params(0, 256 * plant::BLOCK_ALLOC, plant::BLOCK_ALLOC), &mut fault);
    assert!(result.is_err());
    assert!(fault.attempts() > 3, "it came in the middle: {fault:?}");
}

/// A space of this chunk size cannot be split. It is allocated as a whole.
fn whole(provoke: impl FnOnce(&GpuBuddy, AllocatedBlocks)) {
    let buddy = new(plant::SPLIT).expect("a space");
    let all = exact(&buddy, 0, buddy.size()).expect("free");
    let objects = buddy.live_objects();
    provoke(&buddy, all);
    assert_planted(buddy.bug().expect("unusable"), plant::SPLIT);
    assert_eq!(buddy.live_objects(), objects);
    let fini = buddy.fini().expect("the last handle");
    assert_eq!((fini.warnings, fini.leaked_objects), (vec![], 0));
}

#[test]
#[ignore = "for a kernel with planted BUGs"]
fn alloc() {
    if !is_planted() {
        return;
    }
    whole(|buddy, all| {
        drop(all);
        assert!(matches!(simple(buddy, plant::SPLIT, none()), Err(Error::Bug(_))));
    });
}

/// The trim has freed the block, and stops when it splits it.
#[test]
#[ignore = "for a kernel with planted BUGs"]
fn trim() {
    if !is_planted() {
        return;
    }
    whole(|buddy, mut all| {
        let avail = buddy.avail();
        assert!(matches!(all.trim(None, plant::SPLIT), Err(Error::Bug(_))));
        // The block was counted as free before the BUG; now nobody has it.
        assert_eq!((avail, buddy.avail()), (0, buddy.size()));
        assert!(all.is_empty());
        assert_eq!((all.size(), format!("{all:?}")), (0, "[]".to_owned()));
        assert!(all.take(0).is_none());
        assert!(matches!(all.trim(None, plant::SPLIT), Err(Error::Bug(_))));
    });
}

#[test]
#[ignore = "for a kernel with planted BUGs"]
fn drop_blocks() {
    if is_planted() {
        let bug = unusable(plant::FREE, |buddy| {
            drop(exact(buddy, 0, 7 * plant::FREE).expect("free"));
            None
        });
        assert_planted(bug, plant::FREE);
    }
}

#[test]
#[ignore = "for a kernel with planted BUGs"]
fn free_as_allocated() {
    if is_planted() {
        let bug = unusable(plant::FREE, |buddy| {
            exact(buddy, 0, 7 * plant::FREE).expect("free").free_as_allocated();
            None
        });
        assert_planted(bug, plant::FREE);
    }
}

#[test]
#[ignore = "for a kernel with planted BUGs"]
fn reset_clear() {
    if is_planted() {
        let bug = unusable(plant::MERGE, |buddy| buddy.reset_clear(true).err());
        assert_planted(bug, plant::MERGE);
    }
}

#[test]
#[ignore = "for a kernel with planted BUGs"]
fn print() {
    if is_planted() {
        let bug = unusable(plant::PRINT, |buddy| buddy.print().err());
        assert_planted(bug, plant::PRINT);
    }
}

#[test]
#[ignore = "for a kernel with planted BUGs"]
fn block_at() {
    if is_planted() && KERNEL.has("addr_to_block") {
        let bug = unusable(plant::ADDR_TO_BLOCK, |buddy| buddy.block_at(0).err());
        assert_planted(bug, plant::ADDR_TO_BLOCK);
    }
}

/// In `fini`, and in the drop of the last handle, which reports nothing.
#[test]
#[ignore = "for a kernel with planted BUGs"]
fn fini() {
    if !is_planted() {
        return;
    }
    let buddy = new(plant::MERGE).expect("a space");
    let fini = buddy.fini().expect("the last handle");
    assert_planted(fini.bug.expect("a BUG"), plant::MERGE);
    assert_eq!((fini.warnings, fini.leaked_objects), (vec![], 0));

    drop(new(plant::MERGE).expect("a space"));
    let buddy = new(plant::MERGE).expect("a space");
    let blocks = simple(&buddy, plant::MERGE, none()).expect("room");
    drop(buddy);
    drop(blocks);
}
