/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement. The kernel tracks every lock. This only answers whether this
 * thread holds the lock that the allocator was given. The answer is in
 * src/runtime/lockdep.rs.
 */
#ifndef SHIM_LINUX_LOCKDEP_H
#define SHIM_LINUX_LOCKDEP_H

#include <linux/bug.h>

/* Its address identifies the lock. */
struct lockdep_map {
	const char *name;
};

#define lock_is_held_type(map, read) shim_runtime->lock_is_held(map)
#define lockdep_assert(condition) ((void)WARN_ON(!(condition)))

#endif
