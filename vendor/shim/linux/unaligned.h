/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacement: a copy through the compiler. */
#ifndef SHIM_LINUX_UNALIGNED_H
#define SHIM_LINUX_UNALIGNED_H

#define put_unaligned(value, pointer) do {				\
	__typeof__(*(pointer)) shim_value = (value);			\
	__builtin_memcpy((pointer), &shim_value, sizeof(shim_value));	\
} while (0)

#endif
