/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of functions on a kernel's allocator: the only symbol that a module
 * exports. It is the same for every generation of the source. What a generation
 * lacks has no capability bit, and a null pointer for its function.
 *
 * src/module/abi.rs has the same layout in Rust.
 */
#ifndef SHIM_MODULE_MODULE_H
#define SHIM_MODULE_MODULE_H

#include <linux/types.h>
#include <module/runtime.h>

#define GPU_BUDDY_MODULE_ABI 3

struct gpu_buddy_module;
struct kunit_suite;
struct list_head;
struct lockdep_map;

/* Bits of gpu_buddy_module.capabilities. */
enum gpu_buddy_capability {
	GPU_BUDDY_CAP_CLEAR = 1 << 0,		/* tracks clear and dirty memory */
	GPU_BUDDY_CAP_RESET_CLEAR = 1 << 1,
	GPU_BUDDY_CAP_CONTIGUOUS = 1 << 2,
	GPU_BUDDY_CAP_TRIM_DISABLE = 1 << 3,
	GPU_BUDDY_CAP_TRIM_START = 1 << 4,	/* trims from a given start */
	GPU_BUDDY_CAP_ADDR_TO_BLOCK = 1 << 5,
	GPU_BUDDY_CAP_SCOREBOARD = 1 << 6,	/* counts blocks by order */
	GPU_BUDDY_CAP_OFFSET_ALIGN = 1 << 7,
	GPU_BUDDY_CAP_LOCKDEP = 1 << 8,
	GPU_BUDDY_CAP_GET_BUDDY = 1 << 9,
	GPU_BUDDY_CAP_UNDO_SPLITS = 1 << 10,	/* survives a failed split */
	GPU_BUDDY_CAP_ROUNDS_UP = 1 << 11,	/* accepts odd sizes: rounds, then trims */
};

/* The data structure of the free blocks of an order. */
enum gpu_buddy_free_kind {
	GPU_BUDDY_FREE_TWO_TREES,	/* one tree of clear blocks, one of dirty ones */
	GPU_BUDDY_FREE_TREE,
	GPU_BUDDY_FREE_LIST,
};

enum gpu_buddy_record_state {
	GPU_BUDDY_RECORD_INVALID,
	GPU_BUDDY_RECORD_ALLOCATED,
	GPU_BUDDY_RECORD_FREE,
	GPU_BUDDY_RECORD_SPLIT,
};

/* One block as plain data. */
struct gpu_buddy_record {
	const void *block, *parent, *left, *right;
	u64 offset;
	/*
	 * For a free block, its links to other free blocks. In a tree: parent and
	 * colour, right, left. In a list: next, prev.
	 */
	u64 links[3];
	u32 order;
	u32 subtree_max_alignment;
	u8 state;
	bool clear;
};

/* The state of one order. `heads` has clear and dirty blocks, or only the first head is used. */
struct gpu_buddy_order {
	u64 free_count, used_count;
	struct {
		const void *head;
		/* The root of a tree, or the first and the last entry of a list. */
		const void *first, *last;
	} heads[2];
};

struct gpu_buddy_accounts {
	u64 size, chunk_size, avail, clear_avail;
	u32 n_roots, max_order;
};

struct gpu_buddy_module {
	u32 abi;
	/* The sizes of this table and of the structures in its calls. */
	u32 size, runtime_size, record_size, order_size, accounts_size;
	u32 kunit_suite_size, kunit_case_size, kunit_check_size;

	u32 capabilities;
	u32 free_kind;
	/* The highest order that a block's header can have. */
	u32 max_order;
	/* The sizes of an allocator and a block, and the offsets of a block's links. */
	u32 mm_size, block_size, link_offset, node_offset;

	/* Stores the runtime's table, and calls the module's init function. */
	int (*load)(const struct gpu_buddy_runtime *runtime);
	void (*unload)(void);

	int (*init)(void *mm, u64 size, u64 chunk_size);
	void (*fini)(void *mm);
	void (*set_lock)(void *mm, struct lockdep_map *map);
	int (*alloc_blocks)(void *mm, u64 start, u64 end, u64 size,
			    u64 min_block_size, struct list_head *blocks,
			    unsigned long flags);
	void (*free_list)(void *mm, struct list_head *blocks, unsigned int flags);
	void (*free_block)(void *mm, void *block);
	int (*block_trim)(void *mm, u64 *start, u64 new_size,
			  struct list_head *blocks);
	void (*reset_clear)(void *mm, bool clear);
	/* Returns a block, null, or an error pointer. */
	const void *(*addr_to_block)(void *mm, u64 addr);
	void (*print)(void *mm);
	void (*block_print)(void *mm, void *block);
	/* The steps of the C on this thread so far: see steps.h. */
	u64 (*steps)(void);

	void (*accounts)(const void *mm, struct gpu_buddy_accounts *accounts);
	void (*record)(const void *block, struct gpu_buddy_record *record);
	/*
	 * All blocks, parents first and the left half before the right. Writes at
	 * most `capacity` records. Returns the number of blocks, or `capacity` + 1
	 * if there are more, because a damaged tree may have no end.
	 */
	size_t (*tree)(const void *mm, struct gpu_buddy_record *records,
		       size_t capacity);
	/* The orders from 0 to `count` - 1. */
	void (*orders)(const void *mm, struct gpu_buddy_order *orders, u32 count);

	/* Null if the tree has no suite. */
	struct kunit_suite *const *suite;
	void (*forget_seed)(void);
};

#endif
