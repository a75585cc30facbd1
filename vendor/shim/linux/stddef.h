/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacement: offsetof from the compiler. */
#ifndef SHIM_LINUX_STDDEF_H
#define SHIM_LINUX_STDDEF_H

#include <linux/types.h>

#define offsetof(type, member) __builtin_offsetof(type, member)

#endif
