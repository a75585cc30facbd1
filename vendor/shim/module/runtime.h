/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of functions that a kernel's C needs at run time. Rust fills it in
 * (src/runtime/table.rs), and passes it when a module is loaded. The C calls
 * Rust only through this table, so neither side links to the other's symbols.
 *
 * After a change here or in module.h, increment GPU_BUDDY_MODULE_ABI there and
 * MODULE_ABI in src/module/abi.rs.
 */
#ifndef SHIM_MODULE_RUNTIME_H
#define SHIM_MODULE_RUNTIME_H

#include <linux/compiler.h>
#include <linux/types.h>

struct kunit;
struct lockdep_map;
struct shim_kunit_check;

struct gpu_buddy_runtime {
	u32 abi;
	u32 size;

	/* Memory: zeroed, or null. */
	void *(*object_alloc)(size_t size);
	void (*object_free)(void *object, size_t size);
	void *(*kmalloc)(size_t count, size_t size);
	void (*kfree)(const void *memory);
	/* Whether the creation of a cache succeeds. */
	bool (*cache_create)(const char *name, size_t object_size);

	/* The texts are literals. bug() unwinds. */
	void (*bug)(const char *condition, const char *file, unsigned int line);
	void (*warn)(const char *condition, const char *file, unsigned int line);
	void (*printk)(int level, const char *text);
	bool (*lock_is_held)(const struct lockdep_map *map);

	u32 (*random_u32)(void);
	s64 (*ktime_get)(void);

	void (*kunit_fail)(struct kunit *test, const struct shim_kunit_check *check,
			   const char *expected, const char *values,
			   const char *message);
	/* KUnit's own name for it is a macro. */
	void (*fail_current_test)(const char *file, unsigned int line,
				  const char *message);
};

/* Set when the module is loaded, before any call of the kernel's C. */
extern const struct gpu_buddy_runtime *shim_runtime;

static inline void __noreturn __cold shim_bug(const char *condition,
					      const char *file, unsigned int line)
{
	shim_runtime->bug(condition, file, line);
	__builtin_unreachable();
}

#endif
