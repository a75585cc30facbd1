/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement: memory comes from the arena of the allocator whose scope the
 * thread is in, or else from malloc; see src/runtime/arena.rs. Any allocation
 * can be made to fail there. A cache is a static description; creating one
 * fails if the runtime says so, and destroying one does nothing.
 */
#ifndef SHIM_LINUX_SLAB_H
#define SHIM_LINUX_SLAB_H

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/types.h>
#include <module/runtime.h>
#include <module/steps.h>

/* There is only one kind of memory, so the flags are ignored. */
#define GFP_KERNEL ((gfp_t)0)

struct kmem_cache {
	const char *name;
	size_t object_size;
};

#define KMEM_CACHE(type, flags) ({				\
	static struct kmem_cache shim_cache = {			\
		.name = #type,					\
		.object_size = sizeof(struct type),		\
	};							\
	shim_runtime->cache_create(shim_cache.name,		\
				   shim_cache.object_size) ?	\
		&shim_cache : NULL;				\
})

static inline void kmem_cache_destroy(struct kmem_cache *cache __maybe_unused)
{
}

static inline void *kmem_cache_zalloc(struct kmem_cache *cache,
				      gfp_t flags __maybe_unused)
{
	shim_step();
	return shim_runtime->object_alloc(cache->object_size);
}

static inline void kmem_cache_free(struct kmem_cache *cache, void *object)
{
	shim_step();
	shim_runtime->object_free(object, cache->object_size);
}

static inline void *kcalloc(size_t count, size_t size,
			    gfp_t flags __maybe_unused)
{
	shim_step();
	return shim_runtime->kmalloc(count, size);
}

/*
 * Memory that need not be zeroed is filled with a pattern, so that a read of
 * uninitialised memory shows, and is the same on every run. The value is that
 * of SLUB's debugging.
 */
static inline void *kmalloc_array(size_t count, size_t size, gfp_t flags)
{
	void *memory = kcalloc(count, size, flags);

	if (memory)
		__builtin_memset(memory, 0x5a, count * size);
	return memory;
}

#define kmalloc(size, flags) kmalloc_array(1, size, flags)
#define kzalloc(size, flags) kcalloc(1, size, flags)

/* The first argument is a type, or an expression of that type. */
#define kmalloc_objs(what, count, ...) \
	((__typeof__(what) *)kmalloc_array(count, sizeof(what), GFP_KERNEL))
#define kzalloc_objs(what, count, ...) \
	((__typeof__(what) *)kcalloc(count, sizeof(what), GFP_KERNEL))
#define kmalloc_obj(what, ...) kmalloc_objs(what, 1)
#define kzalloc_obj(what, ...) kmalloc_objs(what, 1)

static inline void kfree(const void *memory)
{
	shim_step();
	shim_runtime->kfree(memory);
}

#endif
