/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state of an allocator as plain data, for every generation. Part of
 * adapter.c, which explains the SHIM_ names.
 */
#ifndef SHIM_MODULE_STATE_H
#define SHIM_MODULE_STATE_H

#include <module/module.h>
#include <module/names.h>

static void accounts(const void *memory, struct gpu_buddy_accounts *accounts)
{
	const buddy_t *mm = memory;

	accounts->size = mm->size;
	accounts->chunk_size = mm->chunk_size;
	accounts->avail = mm->avail;
#ifdef SHIM_HAS_CLEAR
	accounts->clear_avail = mm->clear_avail;
#else
	accounts->clear_avail = 0;
#endif
	accounts->n_roots = mm->n_roots;
	accounts->max_order = mm->max_order;
}

static u8 record_state(u64 header)
{
	u64 state = header & CONSTANT(BUDDY_HEADER_STATE);

	if (state == CONSTANT(BUDDY_ALLOCATED))
		return GPU_BUDDY_RECORD_ALLOCATED;
	if (state == CONSTANT(BUDDY_FREE))
		return GPU_BUDDY_RECORD_FREE;
	if (state == CONSTANT(BUDDY_SPLIT))
		return GPU_BUDDY_RECORD_SPLIT;
	return GPU_BUDDY_RECORD_INVALID;
}

static void record(const void *memory, struct gpu_buddy_record *record)
{
	const block_t *block = memory;
	u64 header = block->header;

	record->block = block;
	record->parent = block->parent;
	record->left = block->left;
	record->right = block->right;
	record->offset = header & CONSTANT(BUDDY_HEADER_OFFSET);
	record->order = header & CONSTANT(BUDDY_HEADER_ORDER);
	record->state = record_state(header);
#ifdef SHIM_HAS_CLEAR
	record->clear = header & CONSTANT(BUDDY_HEADER_CLEAR);
#else
	record->clear = false;
#endif
	/*
	 * The links of an allocated block belong to the caller's list, which the
	 * caller may change without the lock.
	 */
	__builtin_memset(record->links, 0, sizeof(record->links));
	if (record->state != GPU_BUDDY_RECORD_ALLOCATED) {
#if defined(SHIM_FREE_TREES) || defined(SHIM_FREE_TREE)
		record->links[0] = block->rb.__rb_parent_color;
		record->links[1] = (u64)block->rb.rb_right;
		record->links[2] = (u64)block->rb.rb_left;
#else
		record->links[0] = (u64)block->link.next;
		record->links[1] = (u64)block->link.prev;
#endif
	}
#ifdef SHIM_HAS_OFFSET_ALIGN
	record->subtree_max_alignment = block->subtree_max_alignment;
#else
	record->subtree_max_alignment = 0;
#endif
}

/* Whether a pointer is at least aligned and not null. */
static bool is_readable(const void *block)
{
	return block && (uintptr_t)block % _Alignof(block_t) == 0;
}

static size_t tree(const void *memory, struct gpu_buddy_record *records,
		   size_t capacity)
{
	const buddy_t *mm = memory;
	/* One right half is waiting for each block on the way down. */
	struct { const block_t *block; u32 below; } next[CONSTANT(BUDDY_MAX_ORDER) + 3];
	size_t count = 0;

	for (u32 i = 0; i < mm->n_roots; i++) {
		u32 waiting = 0;

		next[waiting].block = mm->roots[i];
		next[waiting++].below = CONSTANT(BUDDY_MAX_ORDER) + 1;
		while (waiting) {
			const block_t *block = next[--waiting].block;
			u32 below = next[waiting].below;
			struct gpu_buddy_record *out = &records[count];

			if (!is_readable(block))
				continue;
			if (count++ == capacity)
				return count;
			record(block, out);
			/* Only descending orders, so that this ends even if links are wrong. */
			if (out->state != GPU_BUDDY_RECORD_SPLIT || !out->order ||
			    out->order >= below)
				continue;
			next[waiting].block = block->right;
			next[waiting++].below = out->order;
			next[waiting].block = block->left;
			next[waiting++].below = out->order;
		}
	}
	return count;
}

/* The indices of the two trees, if the header does not define them. */
#ifdef SHIM_HAS_TREE_NAMES
#define CLEAR_TREE CONSTANT(BUDDY_CLEAR_TREE)
#define DIRTY_TREE CONSTANT(BUDDY_DIRTY_TREE)
#else
#define CLEAR_TREE 0
#define DIRTY_TREE 1
#endif

static void orders(const void *memory, struct gpu_buddy_order *orders, u32 count)
{
	const buddy_t *mm = memory;

	for (u32 i = 0; i < count; i++) {
		struct gpu_buddy_order *order = &orders[i];

		__builtin_memset(order, 0, sizeof(*order));
#ifdef SHIM_HAS_SCOREBOARD
		order->free_count = mm->free_scoreboard[i];
		order->used_count = mm->used_scoreboard[i];
#endif
#if defined(SHIM_FREE_TREES)
		order->heads[0].head = &mm->free_trees[CLEAR_TREE][i];
		order->heads[0].first = mm->free_trees[CLEAR_TREE][i].rb_node;
		order->heads[1].head = &mm->free_trees[DIRTY_TREE][i];
		order->heads[1].first = mm->free_trees[DIRTY_TREE][i].rb_node;
#elif defined(SHIM_FREE_TREE)
		order->heads[0].head = &mm->free_tree[i];
		order->heads[0].first = mm->free_tree[i].rb_node;
#else
		order->heads[0].head = &mm->free_list[i];
		order->heads[0].first = mm->free_list[i].next;
		order->heads[0].last = mm->free_list[i].prev;
#endif
	}
}

#endif
