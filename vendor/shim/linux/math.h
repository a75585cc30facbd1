/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement: rounding to powers of two. As in the kernel, it wraps around at
 * the end of the first argument's type.
 */
#ifndef SHIM_LINUX_MATH_H
#define SHIM_LINUX_MATH_H

#define SHIM_ALIGN_MASK(x, alignment) ((__typeof__(x))(alignment) - 1)

#define round_down(x, alignment) ((x) & ~SHIM_ALIGN_MASK(x, alignment))
#define round_up(x, alignment) \
	(((x) + SHIM_ALIGN_MASK(x, alignment)) & ~SHIM_ALIGN_MASK(x, alignment))
#define IS_ALIGNED(x, alignment) (((x) & SHIM_ALIGN_MASK(x, alignment)) == 0)

#endif
