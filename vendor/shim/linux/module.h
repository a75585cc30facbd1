/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement: a module's init and exit functions get fixed names.
 * module/adapter.c calls the first when the module is loaded; for the
 * compiled-in kernel, that is on first use. One module is one library.
 */
#ifndef SHIM_LINUX_MODULE_H
#define SHIM_LINUX_MODULE_H

#include <linux/bug.h>
#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/slab.h>

int shim_module_init(void);
void shim_module_exit(void);

#define module_init(function)						\
	int shim_module_init(void)					\
	{								\
		return function();					\
	}

#define module_exit(function)						\
	void shim_module_exit(void)					\
	{								\
		function();						\
	}

#define MODULE_AUTHOR(text) _Static_assert(1, "")
#define MODULE_DESCRIPTION(text) _Static_assert(1, "")
#define MODULE_LICENSE(text) _Static_assert(1, "")

#endif
