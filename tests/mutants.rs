//! Faults planted in the allocator: torture finds each, and makes it short.
//!
//! The faults are edits of a copy of the kernel's `buddy.c`, made here. One copy
//! has them all, so that one build serves; at run time the environment says which
//! of them is there. With none of them the copy is the kernel's code.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{NestedTarget, kernel_tree, nested_target, project};
use gpu_buddy::KERNEL;
use serde_json::Value;

/// Names the fault that is there, by its place in the table, counted from 1.
const VARIABLE: &str = "GPU_BUDDY_PLANTED";

/// The series that the places are of, which is the twin's.
const SERIES: &str = "7.3";

const ALLOCATOR: &str = "drivers/gpu/buddy.c";

/// A trace is short if it has no more operations than this.
const SHORT: u64 = 10;

/// How long torture may take to find a fault, in seconds.
const SECONDS: u64 = 20;

/// Torture that says nothing for so long hangs, or shrinks without an end.
const PATIENCE: Duration = Duration::from_secs(SECONDS + 10);

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
    /// In lockstep; the process may also die, or hang, as the structures are
    /// corrupt then.
    OrDies,
    /// Only where memory for the allocator's own objects runs out.
    UnderFaults,
}
use Shows::{InLockstep, OrDies, UnderFaults};

const fn fault(
    name: &'static str,
    function: &'static str,
    edit: Edit,
    shows: Shows,
) -> Fault {
    Fault { name, function, edit, shows }
}

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
        Skip("rbtree_remove"), OrDies),
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
    fault("a reset swaps clear and dirty", "gpu_buddy_reset_clear",
        Put("is_clear ? GPU_BUDDY_CLEAR_TREE : GPU_BUDDY_DIRTY_TREE", "src_tree"), OrDies),
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
        Skip("iter = rb_prev(iter)"), OrDies),
    fault("a contiguous run needs no alignment", "__alloc_contig_try_harder",
        Put("IS_ALIGNED(rhs_offset, min_block_size)", "1"), InLockstep),
    fault("a trim ignores where it starts", "gpu_buddy_block_trim", Skip("new_start = *start"), InLockstep),
    fault("a trim may leave the block", "gpu_buddy_block_trim",
        Put("range_overflows(new_start, new_size, block_end)", "0"), InLockstep),
    fault("a trimmed block forgets its parent", "gpu_buddy_block_trim",
        Skip("block->parent = parent"), OrDies),
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
    fault("an exact range need not be aligned", "gpu_buddy_alloc_blocks",
        Put("!IS_ALIGNED(start | end, min_block_size)", "0"), InLockstep),
];

/// The body of the function `name`.
fn body(source: &str, name: &str) -> Range<usize> {
    let call = format!("{name}(");
    let definitions: Vec<_> = source
        .match_indices(&call)
        .filter(|&(place, _)| !source[..place].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .filter_map(|(place, _)| {
            let end = place + source[place..].find(')')?;
            source[end..].starts_with(")\n{").then_some(end + 2)
        })
        .collect();
    let [start] = definitions[..] else { panic!("{} functions {name}()", definitions.len()) };
    let length = source[start..].find("\n}\n").expect("a function ends");
    start..start + length
}


/// What to put where for the fault with this number.
fn replacement(source: &str, number: usize, fault: &Fault) -> (Range<usize>, String) {
    let body = body(source, fault.function);
    let (Skip(text) | Put(text, _)) = fault.edit;
    let place = source[body.clone()]
        .find(text)
        .unwrap_or_else(|| panic!("{}: no {text:?} in {}()", fault.name, fault.function));
    let start = body.start + place;
    match fault.edit {
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
    }
}

/// The allocator with all faults, of which none is there unless it is chosen.
fn with_faults(source: &str) -> String {
    let mut replacements: Vec<_> =
        FAULTS.iter().zip(1..).map(|(fault, number)| replacement(source, number, fault)).collect();
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
    text
}

/// Makes the copy, and builds the command with it. Both stay for the next time.
fn build(target: &NestedTarget) -> PathBuf {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    // `-u`, so that what has not changed is as old as it was.
    let status = Command::new("cp").arg("-RLu").arg(kernel_tree()).arg(&copy).status();
    assert!(status.expect("cp runs").success() || copy.is_dir());
    copy
}
