// SPDX-License-Identifier: GPL-2.0-only
/*
 * The same table of functions for every generation of the allocator. All
 * differences between them are in this file, names.h and state.h: names, free
 * lists or trees, arguments that were added later. The build defines what the
 * tree's header has: see src/module/tree.rs.
 *
 *   SHIM_DRM            the names begin with drm_, not with gpu_
 *   SHIM_FREE_TREES     free blocks are in two trees per order
 *   SHIM_FREE_TREE      ... in one tree
 *                       ... else in one list
 *   SHIM_HAS_...        a field or function is there
 */

#include <kunit/test.h>
#include <module/module.h>
#include <module/names.h>
#include <module/state.h>
#include <module/steps.h>

const struct gpu_buddy_runtime *shim_runtime;
__thread u64 shim_steps;

int shim_module_init(void);
void shim_module_exit(void);

static int load(const struct gpu_buddy_runtime *runtime)
{
	shim_runtime = runtime;
	return shim_module_init();
}

/* --- flags ------------------------------------------------------------------ */

/*
 * This crate's flags have the values of the newest kernel. If a tree has a
 * flag, its value must be the same, so that flags are passed on unchanged.
 */
#ifdef SHIM_DRM
#define SAME(name, bit) _Static_assert(DRM_BUDDY_##name == 1 << (bit), #name)
#else
#define SAME(name, bit) _Static_assert(GPU_BUDDY_##name == 1 << (bit), #name)
#endif

SAME(RANGE_ALLOCATION, 0);
SAME(TOPDOWN_ALLOCATION, 1);
#ifdef SHIM_HAS_CONTIGUOUS
SAME(CONTIGUOUS_ALLOCATION, 2);
#endif
#ifdef SHIM_HAS_CLEAR
SAME(CLEAR_ALLOCATION, 3);
SAME(CLEARED, 4);
#endif
#ifdef SHIM_HAS_TRIM_DISABLE
SAME(TRIM_DISABLE, 5);
#endif

/* --- calls ------------------------------------------------------------------ */

static int init(void *mm, u64 size, u64 chunk_size)
{
	return NAME(buddy_init)(mm, size, chunk_size);
}

static void fini(void *mm)
{
	NAME(buddy_fini)(mm);
}

#ifdef SHIM_HAS_LOCKDEP
static void set_lock(void *mm, struct lockdep_map *map)
{
	((buddy_t *)mm)->lock_dep_map = map;
}
#endif

static int alloc_blocks(void *mm, u64 start, u64 end, u64 size,
			u64 min_block_size, struct list_head *blocks,
			unsigned long flags)
{
	return NAME(buddy_alloc_blocks)(mm, start, end, size, min_block_size,
					blocks, flags);
}

static void free_list(void *mm, struct list_head *blocks, unsigned int flags)
{
#ifdef SHIM_HAS_FREE_FLAGS
	NAME(buddy_free_list)(mm, blocks, flags);
#else
	(void)flags;
	NAME(buddy_free_list)(mm, blocks);
#endif
}

static void free_block(void *mm, void *block)
{
	NAME(buddy_free_block)(mm, block);
}

static int block_trim(void *mm, u64 *start, u64 new_size,
		      struct list_head *blocks)
{
#ifdef SHIM_HAS_TRIM_START
	return NAME(buddy_block_trim)(mm, start, new_size, blocks);
#else
	(void)start;
	return NAME(buddy_block_trim)(mm, new_size, blocks);
#endif
}

#ifdef SHIM_HAS_RESET_CLEAR
static void reset_clear(void *mm, bool clear)
{
	NAME(buddy_reset_clear)(mm, clear);
}
#endif

#ifdef SHIM_HAS_ADDR_TO_BLOCK
static const void *addr_to_block(void *mm, u64 addr)
{
	return NAME(buddy_allocated_addr_to_block)(mm, addr);
}
#endif

static void print(void *mm)
{
#ifdef SHIM_HAS_PRINTER
	struct drm_printer printer = {};

	NAME(buddy_print)(mm, &printer);
#else
	NAME(buddy_print)(mm);
#endif
}

#ifdef SHIM_HAS_BLOCK_PRINT
static void block_print(void *mm, void *block)
{
#ifdef SHIM_HAS_PRINTER
	struct drm_printer printer = {};

	NAME(buddy_block_print)(mm, block, &printer);
#else
	NAME(buddy_block_print)(mm, block);
#endif
}
#endif

static u64 steps(void)
{
	return shim_steps;
}

/* --- the table -------------------------------------------------------------- */

#ifdef SHIM_HAS_SUITE
static void forget_seed(void)
{
	shim_kunit_forget_seed();
}
#endif

__attribute__((visibility("default")))
extern const struct gpu_buddy_module gpu_buddy_module;

const struct gpu_buddy_module gpu_buddy_module = {
	.abi = GPU_BUDDY_MODULE_ABI,
	.size = sizeof(struct gpu_buddy_module),
	.runtime_size = sizeof(struct gpu_buddy_runtime),
	.record_size = sizeof(struct gpu_buddy_record),
	.order_size = sizeof(struct gpu_buddy_order),
	.accounts_size = sizeof(struct gpu_buddy_accounts),
	.kunit_suite_size = sizeof(struct kunit_suite),
	.kunit_case_size = sizeof(struct kunit_case),
	.kunit_check_size = sizeof(struct shim_kunit_check),

	.capabilities = 0
#ifdef SHIM_HAS_CLEAR
		| GPU_BUDDY_CAP_CLEAR
#endif
#ifdef SHIM_HAS_RESET_CLEAR
		| GPU_BUDDY_CAP_RESET_CLEAR
#endif
#ifdef SHIM_HAS_CONTIGUOUS
		| GPU_BUDDY_CAP_CONTIGUOUS
#endif
#ifdef SHIM_HAS_TRIM_DISABLE
		| GPU_BUDDY_CAP_TRIM_DISABLE
#endif
#ifdef SHIM_HAS_TRIM_START
		| GPU_BUDDY_CAP_TRIM_START
#endif
#ifdef SHIM_HAS_ADDR_TO_BLOCK
		| GPU_BUDDY_CAP_ADDR_TO_BLOCK
#endif
#ifdef SHIM_HAS_SCOREBOARD
		| GPU_BUDDY_CAP_SCOREBOARD
#endif
#ifdef SHIM_HAS_OFFSET_ALIGN
		| GPU_BUDDY_CAP_OFFSET_ALIGN
#endif
#ifdef SHIM_HAS_LOCKDEP
		| GPU_BUDDY_CAP_LOCKDEP
#endif
#ifdef SHIM_HAS_GET_BUDDY
		| GPU_BUDDY_CAP_GET_BUDDY
#endif
#ifdef SHIM_HAS_UNDO_SPLITS
		| GPU_BUDDY_CAP_UNDO_SPLITS
#endif
#ifdef SHIM_HAS_ROUNDS_UP
		| GPU_BUDDY_CAP_ROUNDS_UP
#endif
		,
#if defined(SHIM_FREE_TREES)
	.free_kind = GPU_BUDDY_FREE_TWO_TREES,
	.node_offset = offsetof(block_t, rb),
#elif defined(SHIM_FREE_TREE)
	.free_kind = GPU_BUDDY_FREE_TREE,
	.node_offset = offsetof(block_t, rb),
#else
	.free_kind = GPU_BUDDY_FREE_LIST,
	.node_offset = offsetof(block_t, link),
#endif
	.max_order = CONSTANT(BUDDY_MAX_ORDER),
	.mm_size = sizeof(buddy_t),
	.block_size = sizeof(block_t),
	.link_offset = offsetof(block_t, link),

	.load = load,
	.unload = shim_module_exit,
	.init = init,
	.fini = fini,
#ifdef SHIM_HAS_LOCKDEP
	.set_lock = set_lock,
#endif
	.alloc_blocks = alloc_blocks,
	.free_list = free_list,
	.free_block = free_block,
	.block_trim = block_trim,
#ifdef SHIM_HAS_RESET_CLEAR
	.reset_clear = reset_clear,
#endif
#ifdef SHIM_HAS_ADDR_TO_BLOCK
	.addr_to_block = addr_to_block,
#endif
	.print = print,
#ifdef SHIM_HAS_BLOCK_PRINT
	.block_print = block_print,
#endif
	.steps = steps,
	.accounts = accounts,
	.record = record,
	.tree = tree,
	.orders = orders,
#ifdef SHIM_HAS_SUITE
	.suite = &shim_kunit_suite,
	.forget_seed = forget_seed,
#endif
};
