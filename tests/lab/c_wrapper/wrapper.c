// SPDX-License-Identifier: GPL-2.0-only
/*
 * A wrapper in C over the kernel's allocator. It calls the functions of
 * gpu_buddy::ffi by pointer, and says when it holds its lock. `flaw` plants a
 * mistake.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

struct gpu_buddy;

struct list_head {
	struct list_head *next, *prev;
};

struct functions {
	size_t size_of_buddy;
	int (*init)(struct gpu_buddy *mm, uint64_t size, uint64_t chunk_size);
	void (*fini)(struct gpu_buddy *mm);
	int (*alloc_blocks)(struct gpu_buddy *mm, uint64_t start, uint64_t end,
			    uint64_t size, uint64_t min_block_size,
			    struct list_head *blocks, unsigned long flags);
	void (*free_list)(struct gpu_buddy *mm, struct list_head *blocks,
			  unsigned int flags);
	void (*held)(const void *lock);
	void (*released)(const void *lock);
};

enum flaw {
	NONE,
	NO_LOCK_TO_FREE,
	FREES_TWICE,
	NEVER_TORN_DOWN,
};

struct manager {
	const struct functions *call;
	struct gpu_buddy *mm;
	pthread_mutex_t lock;
	enum flaw flaw;
};

static void lock(struct manager *manager)
{
	pthread_mutex_lock(&manager->lock);
	manager->call->held(&manager->lock);
}

static void unlock(struct manager *manager)
{
	manager->call->released(&manager->lock);
	pthread_mutex_unlock(&manager->lock);
}

int manager_new(const struct functions *call, uint64_t size,
		uint64_t chunk_size, int flaw, struct manager **made)
{
	struct manager *manager = calloc(1, sizeof(*manager));
	int error;

	manager->call = call;
	manager->flaw = flaw;
	manager->mm = calloc(1, call->size_of_buddy);
	pthread_mutex_init(&manager->lock, NULL);
	error = call->init(manager->mm, size, chunk_size);
	if (error) {
		free(manager->mm);
		free(manager);
		return error;
	}
	*made = manager;
	return 0;
}

int manager_alloc(struct manager *manager, uint64_t size,
		  uint64_t min_block_size, struct list_head *blocks)
{
	int error;

	blocks->next = blocks->prev = blocks;
	lock(manager);
	error = manager->call->alloc_blocks(manager->mm, 0, 0, size,
					    min_block_size, blocks, 0);
	unlock(manager);
	return error;
}

void manager_free(struct manager *manager, struct list_head *blocks)
{
	struct list_head again = *blocks;

	if (manager->flaw != NO_LOCK_TO_FREE)
		lock(manager);
	manager->call->free_list(manager->mm, blocks, 0);
	if (manager->flaw == FREES_TWICE)
		manager->call->free_list(manager->mm, &again, 0);
	if (manager->flaw != NO_LOCK_TO_FREE)
		unlock(manager);
}

const struct gpu_buddy *manager_buddy(const struct manager *manager)
{
	return manager->mm;
}

void manager_destroy(struct manager *manager)
{
	lock(manager);
	if (manager->flaw != NEVER_TORN_DOWN)
		manager->call->fini(manager->mm);
	unlock(manager);
	/* What is not torn down is not freed either. */
	if (manager->flaw != NEVER_TORN_DOWN)
		free(manager->mm);
	pthread_mutex_destroy(&manager->lock);
	free(manager);
}
