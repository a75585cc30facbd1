/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement: the seed of a KUnit run, so that a run can be repeated; see
 * src/kunit.rs. Includes prandom.h, because series 6.12 relies on that.
 */
#ifndef SHIM_LINUX_RANDOM_H
#define SHIM_LINUX_RANDOM_H

#include <linux/types.h>
#include <module/runtime.h>

static inline u32 get_random_u32(void)
{
	return shim_runtime->random_u32();
}

static inline void get_random_bytes(void *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		((u8 *)bytes)[i] = shim_runtime->random_u32();
}

#include <linux/prandom.h>

#endif
