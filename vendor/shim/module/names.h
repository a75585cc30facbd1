/* SPDX-License-Identifier: GPL-2.0-only */
/* The allocator's header and its names, with the prefix of the tree: drm_ or gpu_. */
#ifndef SHIM_MODULE_NAMES_H
#define SHIM_MODULE_NAMES_H

#ifdef SHIM_DRM
#include <drm/drm_buddy.h>
#define NAME(name) drm_##name
#define CONSTANT(name) DRM_##name
#else
#include <linux/gpu_buddy.h>
#define NAME(name) gpu_##name
#define CONSTANT(name) GPU_##name
#endif

typedef struct NAME(buddy) buddy_t;
typedef struct NAME(buddy_block) block_t;

#endif
