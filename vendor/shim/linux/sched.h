/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * No-op: user threads are preempted anyway. Includes lockdep.h, as the kernel's
 * header does.
 */
#ifndef SHIM_LINUX_SCHED_H
#define SHIM_LINUX_SCHED_H

#include <linux/lockdep.h>

#define cond_resched() ((void)0)

#endif
