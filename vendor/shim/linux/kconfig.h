/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement. Included ahead of every unit, as in the kernel, but the
 * configuration is fixed here: KUnit so that the allocator's own assertions
 * reach a running test, lockdep so that its locking annotations are compiled
 * (whether they are armed is decided at run time, see src/runtime/lockdep.rs).
 */
#ifndef SHIM_LINUX_KCONFIG_H
#define SHIM_LINUX_KCONFIG_H

#define CONFIG_64BIT 1
#define CONFIG_KUNIT 1
#define CONFIG_LOCKDEP 1
#define CONFIG_GPU_BUDDY 1

/* Good in #if only, where a name without a definition counts as 0. */
#define IS_ENABLED(option) ((option) + 0)

#endif
