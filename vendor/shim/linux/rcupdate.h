/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement: plain accesses. The allocator's trees are only walked under its
 * lock, so there is no reader without the lock.
 */
#ifndef SHIM_LINUX_RCUPDATE_H
#define SHIM_LINUX_RCUPDATE_H

#include <linux/compiler.h>

#define rcu_assign_pointer(pointer, value) ((pointer) = (value))
#define rcu_dereference_raw(pointer) (pointer)

#endif
