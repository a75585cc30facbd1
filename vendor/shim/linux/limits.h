/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacement: the limits that the files use. */
#ifndef SHIM_LINUX_LIMITS_H
#define SHIM_LINUX_LIMITS_H

#include <linux/types.h>

#define U32_MAX ((u32)~0U)
#define U64_MAX ((u64)~0ULL)
#define ULONG_MAX (~0UL)
#define LONG_MAX ((long)(~0UL >> 1))

#endif
