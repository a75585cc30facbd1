/* SPDX-License-Identifier: GPL-2.0-only */
/* No-op: included by series 6.12, but nothing in it is used. */
#ifndef SHIM_DRM_DRM_PRINT_H
#define SHIM_DRM_DRM_PRINT_H

#endif
