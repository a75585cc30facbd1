/* SPDX-License-Identifier: GPL-2.0-only */
/* What bindgen reads: the kernel's header. */

#include <linux/gpu_buddy.h>
#include <linux/err.h>

/*
 * Constants that the header makes with function-like macros, which bindgen
 * cannot evaluate. The prefix is dropped in Rust.
 */
#define EXPORT_CONSTANT(name) static const u64 CONSTANT_##name = name

EXPORT_CONSTANT(GPU_BUDDY_RANGE_ALLOCATION);
EXPORT_CONSTANT(GPU_BUDDY_TOPDOWN_ALLOCATION);
EXPORT_CONSTANT(GPU_BUDDY_CONTIGUOUS_ALLOCATION);
EXPORT_CONSTANT(GPU_BUDDY_CLEAR_ALLOCATION);
EXPORT_CONSTANT(GPU_BUDDY_CLEARED);
EXPORT_CONSTANT(GPU_BUDDY_TRIM_DISABLE);
EXPORT_CONSTANT(GPU_BUDDY_HEADER_OFFSET);
EXPORT_CONSTANT(GPU_BUDDY_HEADER_STATE);
EXPORT_CONSTANT(GPU_BUDDY_HEADER_CLEAR);
EXPORT_CONSTANT(GPU_BUDDY_HEADER_ORDER);
