/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counts the cost of a call in steps: one for each list entry, each neighbour
 * in a tree, and each slab call. The count depends only on the source, not on
 * the machine or the compiler. Every long walk consists of such steps. The
 * descent in a balanced tree is short, and not counted.
 */
#ifndef SHIM_MODULE_STEPS_H
#define SHIM_MODULE_STEPS_H

#include <linux/types.h>

/*
 * The steps of this thread; defined in adapter.c. With another thread-local
 * storage model, a loaded module would call a function for each access.
 */
extern __thread u64 shim_steps
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

static inline void shim_step(void)
{
	shim_steps++;
}

#endif
