/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacement: nanoseconds of the system's monotonic clock. */
#ifndef SHIM_LINUX_KTIME_H
#define SHIM_LINUX_KTIME_H

#include <linux/types.h>

typedef s64 ktime_t;

s64 gpu_buddy_rt_ktime_get(void);

static inline ktime_t ktime_get(void)
{
	return gpu_buddy_rt_ktime_get();
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
