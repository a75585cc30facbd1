/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacement: includes the shims of the headers that the kernel's includes. */
#ifndef SHIM_LINUX_KERNEL_H
#define SHIM_LINUX_KERNEL_H

#include <linux/bug.h>
#include <linux/container_of.h>
#include <linux/err.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/overflow.h>
#include <linux/printk.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define lower_32_bits(x) ((u32)(x))
#define upper_32_bits(x) ((u32)((u64)(x) >> 32))

#endif
