/* SPDX-License-Identifier: GPL-2.0-only */
/* No-op: the files include it but use nothing from it. */
#ifndef SHIM_LINUX_ONCE_H
#define SHIM_LINUX_ONCE_H

#endif
