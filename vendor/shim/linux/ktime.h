/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacement: nanoseconds of the system's monotonic clock. */
#ifndef SHIM_LINUX_KTIME_H
#define SHIM_LINUX_KTIME_H

#include <linux/types.h>
#include <module/runtime.h>

typedef s64 ktime_t;

static inline ktime_t ktime_get(void)
{
	return shim_runtime->ktime_get();
}

static inline ktime_t ktime_sub(ktime_t later, ktime_t earlier)
{
	return later - earlier;
}

static inline s64 ktime_to_ms(ktime_t time)
{
	return time / 1000000;
}

#endif
