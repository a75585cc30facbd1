/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counts what a call costs, in steps: one to an entry of a list, one to a neighbour in a
 * tree, one call of the slab. The number depends on the source alone, not on the machine
 * or the compiler. Every walk that can be long is made of such steps; a way down a tree
 * is not counted, since it is as short as the tree is balanced.
 */
#ifndef SHIM_MODULE_STEPS_H
#define SHIM_MODULE_STEPS_H

#include <linux/types.h>

/*
 * Of this thread, since it began: adapter.c defines it. With any other model of
 * thread-local storage, a loaded module would call a function to find it.
 */
extern __thread u64 shim_steps
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

static inline void shim_step(void)
{
	shim_steps++;
}

#endif
