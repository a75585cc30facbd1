/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Included after the kernel's own <linux/rbtree.h>: counts steps to a
 * neighbour. Inside a macro its own name is not expanded, so the kernel's
 * function is called.
 */
#ifndef SHIM_MODULE_RBTREE_STEPS_H
#define SHIM_MODULE_RBTREE_STEPS_H

/* lib/rbtree.c defines the functions. */
#ifndef SHIM_DEFINES_RBTREE
#include <module/steps.h>

#define rb_first(root) (shim_step(), rb_first(root))
#define rb_last(root) (shim_step(), rb_last(root))
#define rb_next(node) (shim_step(), rb_next(node))
#define rb_prev(node) (shim_step(), rb_prev(node))
#define rb_first_postorder(root) (shim_step(), rb_first_postorder(root))
#define rb_next_postorder(node) (shim_step(), rb_next_postorder(node))
#endif

#endif
