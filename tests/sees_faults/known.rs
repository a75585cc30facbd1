//! Faults in the code of each known breach, with its name first: the list of known breaches must
//! hide none of them. Some would fix the breach, which is a change as well.

use super::plant::Edit::{Put, Skip};
use super::plant::Shows::{InLockstep, MayDie, UnderFaults};
use super::plant::{Fault, fault};

#[rustfmt::skip]
pub const KNOWN: &[Fault] = &[
    fault("contiguous-ignores-alignment: it is kept, not doubled", "gpu_buddy_alloc_blocks",
        Skip("min_block_size = size"), InLockstep),
    fault("contiguous-ignores-alignment: it is aligned after all", "gpu_buddy_alloc_blocks",
        Put("roundup_pow_of_two(size)", "max(roundup_pow_of_two(size), min_block_size)"), InLockstep),
    fault("range-ignores-alignment: the range is ignored instead", "__gpu_buddy_alloc_blocks",
        Put("flags & GPU_BUDDY_RANGE_ALLOCATION",
            "(flags & GPU_BUDDY_RANGE_ALLOCATION) && size >= min_block_size"), InLockstep),
    fault("range-skips-clear: it never takes the other state", "__gpu_buddy_alloc_range_bias",
        Put("!fallback", "fallback"), InLockstep),
    fault("range-skips-clear: it takes any state at once", "__alloc_range_bias",
        Put("!fallback && block_incompatible(block, flags)", "0"), InLockstep),
    fault("range-ignores-top-down: right halves come last", "__alloc_range_bias",
        Put("list_add(&block->right->tmp_link, &dfs)",
            "(flags & GPU_BUDDY_TOPDOWN_ALLOCATION) ? list_add_tail(&block->right->tmp_link, &dfs) \
             : list_add(&block->right->tmp_link, &dfs)"), InLockstep),
    fault("offset-aligned-flips-tree: it tries one alone", "gpu_buddy_offset_aligned_allocation",
        Put("tree == GPU_BUDDY_CLEAR_TREE", "tree != GPU_BUDDY_CLEAR_TREE"), InLockstep),
    fault("offset-aligned-flips-tree: it misses the top order", "gpu_buddy_offset_aligned_allocation",
        Put("tmp <= mm->max_order", "tmp < mm->max_order"), InLockstep),
    fault("offset-aligned-not-top-down: now the halves are", "gpu_buddy_offset_aligned_allocation",
        Put("gpu_buddy_block_offset_alignment(right) >= alignment",
            "(flags & GPU_BUDDY_TOPDOWN_ALLOCATION) && \
             gpu_buddy_block_offset_alignment(right) >= alignment"), InLockstep),
    fault("top-down-fallback: there is none", "alloc_from_freetree",
        Put("tree == GPU_BUDDY_CLEAR_TREE", "tree != GPU_BUDDY_CLEAR_TREE"), InLockstep),
    fault("top-down-fallback: the top order is missed", "alloc_from_freetree",
        Put("tmp <= mm->max_order", "tmp < mm->max_order"), InLockstep),
    fault("range-used-without-flag: it need not be aligned", "gpu_buddy_alloc_blocks",
        Put("!IS_ALIGNED(start | end, min_block_size)", "0"), InLockstep),
    fault("merge-within-unused-range: the lowest block alone", "__force_merge",
        Put("rb_last(&mm->free_trees[tree][i])", "rb_first(&mm->free_trees[tree][i])"), InLockstep),
    fault("empty-range-is-unbounded: it is empty", "__alloc_range_bias",
        Put("end - 1", "(end ? end - 1 : 0)"), InLockstep),
    fault("enospc-hides-enomem: in an exact range too", "split_block",
        Put("-ENOMEM", "-ENOSPC"), UnderFaults),
    fault("enospc-hides-enomem: the other way round", "gpu_buddy_alloc_blocks",
        Put("-ENOSPC", "-ENOMEM"), InLockstep),
    fault("large-size-truncated: it may be too large", "gpu_buddy_alloc_blocks",
        Put("size > mm->size", "0"), MayDie),
    fault("try-harder-misses-run: around larger blocks", "__alloc_contig_try_harder",
        Put("rounddown_pow_of_two(size)", "roundup_pow_of_two(size)"), MayDie),
    fault("try-harder-misses-run: not for two chunks", "__alloc_contig_try_harder",
        Put("order == 0", "order <= 1"), InLockstep),
    fault("contiguous-range-rounds-up: it leaves the range", "gpu_buddy_alloc_blocks",
        Put("!(flags & GPU_BUDDY_RANGE_ALLOCATION)", "1"), InLockstep),
    fault("merge-stops-early: before it is needed", "gpu_buddy_alloc_blocks",
        Put("order == min_order", "order <= min_order + 1"), MayDie),
    fault("reset-clear-misses-blocks: the top order too", "gpu_buddy_reset_clear",
        Put("i <= mm->max_order", "i < mm->max_order"), InLockstep),
    fault("reset-clear-misses-blocks: nothing is merged", "gpu_buddy_reset_clear",
        Skip("__force_merge"), MayDie),
];
