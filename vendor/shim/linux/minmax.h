/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacement: without the kernel's check that both sides have the same signedness. */
#ifndef SHIM_LINUX_MINMAX_H
#define SHIM_LINUX_MINMAX_H

#define min(a, b) ({					\
	__auto_type shim_a = (a);			\
	__auto_type shim_b = (b);			\
	shim_a < shim_b ? shim_a : shim_b;		\
})

#define max(a, b) ({					\
	__auto_type shim_a = (a);			\
	__auto_type shim_b = (b);			\
	shim_a > shim_b ? shim_a : shim_b;		\
})

#define swap(a, b) do {					\
	__auto_type shim_swap = (a);			\
	(a) = (b);					\
	(b) = shim_swap;				\
} while (0)

#endif
