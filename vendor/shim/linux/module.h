/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement: the loader runs a module's init function before main(), so once
 * and before any thread. The two functions are also reachable under fixed
 * names, for tests; there is one module.
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
	bool shim_cache_fails;						\
	int shim_module_init(void)					\
	{								\
		return function();					\
	}								\
	static void __attribute__((constructor)) shim_module_load(void)	\
	{								\
		(void)function();					\
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
