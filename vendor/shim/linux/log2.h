/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement: functions only; the kernel also folds constants. If the kernel's
 * result is undefined (a power of two above 2^63), so is this one.
 */
#ifndef SHIM_LINUX_LOG2_H
#define SHIM_LINUX_LOG2_H

#include <linux/bitops.h>

static inline int ilog2(u64 x)
{
	return fls64(x) - 1;
}

static inline bool is_power_of_2(unsigned long x)
{
	return x && !(x & (x - 1));
}

static inline unsigned long roundup_pow_of_two(unsigned long x)
{
	return 1UL << fls_long(x - 1);
}

static inline unsigned long rounddown_pow_of_two(unsigned long x)
{
	return 1UL << (fls_long(x) - 1);
}

#endif
