/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacement: counts a step, and does not check the member's type. */
#ifndef SHIM_LINUX_CONTAINER_OF_H
#define SHIM_LINUX_CONTAINER_OF_H

#include <linux/stddef.h>
#include <module/steps.h>

#define container_of(pointer, type, member) \
	(shim_step(), (type *)((char *)(pointer) - offsetof(type, member)))

#endif
