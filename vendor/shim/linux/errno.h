/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacement: the numbers that the files use. */
#ifndef SHIM_LINUX_ERRNO_H
#define SHIM_LINUX_ERRNO_H

#define ENXIO 6
#define ENOMEM 12
#define EINVAL 22
#define ENOSPC 28

#endif
