/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacement: a hundred ticks a second of the monotonic clock. */
#ifndef SHIM_LINUX_JIFFIES_H
#define SHIM_LINUX_JIFFIES_H

#include <linux/ktime.h>

#define HZ 100
#define jiffies ((unsigned long)(ktime_get() / (1000000000 / HZ)))
#define time_after(a, b) ((long)((b) - (a)) < 0)
#define time_before(a, b) time_after(b, a)
#define MAX_SCHEDULE_TIMEOUT ((long)(~0UL >> 1))

#endif
