/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacement: a function on u64, the only type that the allocator compares. */
#ifndef SHIM_LINUX_OVERFLOW_H
#define SHIM_LINUX_OVERFLOW_H

#include <linux/types.h>

/* Whether start + size, computed without wrapping, is beyond max. */
static inline bool shim_range_overflows(u64 start, u64 size, u64 max)
{
	return start >= max || size > max - start;
}

/* A macro, because one series tests it with #ifndef. */
#define range_overflows(start, size, max) shim_range_overflows(start, size, max)

#endif
