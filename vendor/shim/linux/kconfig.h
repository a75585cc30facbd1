/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement. Included before every unit, as in the kernel, but with a fixed
 * configuration: KUnit, so that the allocator's own assertions reach a running
 * test, and lockdep, so that its lock assertions are compiled.
 * src/runtime/lockdep.rs decides at run time whether these are active.
 */
#ifndef SHIM_LINUX_KCONFIG_H
#define SHIM_LINUX_KCONFIG_H

#define CONFIG_64BIT 1
#define CONFIG_KUNIT 1
#define CONFIG_LOCKDEP 1
#define CONFIG_GPU_BUDDY 1

/* Only for #if, where an undefined name is 0. */
#define IS_ENABLED(option) ((option) + 0)

#endif
