/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement: a printer collects text, and passes each complete line to the
 * kernel log. Long lines are cut, as in printk.c.
 */
#ifndef SHIM_DRM_DRM_PRINT_H
#define SHIM_DRM_DRM_PRINT_H

#include <linux/compiler.h>
#include <linux/types.h>

struct drm_printer {
	char text[1024];
	size_t length;
};

void __printf(2, 3) drm_printf(struct drm_printer *printer, const char *format, ...);

#endif
